"""Whether an item may be run now. Pure: asked for each item in the transaction that claims it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.policy import stricter

if TYPE_CHECKING:
    from exporter.model import Hold, Mode

MODE_AGAIN: Final = 300.0
"""Seconds after which an item that is held because of the mode is looked at again: a changed mode makes it due."""
WINDOW_AGAIN: Final = 5.0
"""Seconds after which an item that is held by planned maintenance, or by a silence, is looked at again."""

OVER: Final = frozenset({"resolved", "silent"})
"""States of an incident for which nothing more is done."""

OBSERVED: Final = "`mode` is observe: nothing is run until that changes"
UNRELEASED: Final = "waits until a person releases it with `watchbridge backlog approve`"
RESOLVED: Final = "its alert has resolved, so nothing is done for it any more"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gate knows of an item.

    `modes` are those of which the strictest holds; `released` says that a person added or approved it, `by_hand` that
    a person runs it just now. `incident` is the state of the incident that a rule made it for. `window` and `silence`
    say why it is in planned maintenance or silenced, if it is.
    """

    now: float
    modes: tuple[Mode, ...]
    released: bool = False
    by_hand: bool = False
    incident: str | None = None
    window: str | None = None
    silence: str | None = None


@dataclass(frozen=True, slots=True)
class Go:
    """It may be run."""


@dataclass(frozen=True, slots=True)
class Held:
    """It may not be run now: a word and a sentence for why, and when to look again.

    `look_again_at` is in seconds since 1970; None: never, it is cancelled, or done where there is no word for why.
    """

    hold: Hold | None
    sentence: str
    look_again_at: float | None


def judged(facts: Facts) -> Go | Held:
    """Return whether an item may be run, by the first reason that speaks against it."""
    if facts.incident in OVER:
        return Held("resolved", RESOLVED, None)
    mode = stricter("auto", *facts.modes)
    if mode == "observe" and not facts.by_hand:
        return Held("mode", OBSERVED, facts.now + MODE_AGAIN)
    if mode == "approve" and not (facts.released or facts.by_hand):
        return Held("mode", UNRELEASED, facts.now + MODE_AGAIN)
    if facts.window is not None:
        return Held("window", facts.window, facts.now + WINDOW_AGAIN)
    if facts.silence is not None:
        return Held("silenced", facts.silence, facts.now + WINDOW_AGAIN)
    return Go()
