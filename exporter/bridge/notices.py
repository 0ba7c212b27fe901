"""Who is told of what: an entry of `notify` becomes an item of the built-in queue `notifications`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter import matchers
from exporter.bridge.options import NOTIFICATIONS
from exporter.policy import stricter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.config import Configuration
    from exporter.matchers import Matcher
    from exporter.model import Mode

RUNS_PROGRAMS: Final = frozenset({"command"})
"""Kinds of actions that start something here: only the mode auto lets them, where telling somebody is no deed."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An entry of `notify` as it was read; `index` is its place, which its items name."""

    index: int
    on: str
    kind: str
    matchers: tuple[Matcher, ...]
    mode: Mode


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told to whom: the key and the reason of an item of the queue `notifications`."""

    index: int
    key: str
    reason: str
    mode: Mode

    @property
    def queue(self) -> str:
        """Return the queue."""
        return NOTIFICATIONS


def notices(configuration: Configuration) -> tuple[Notice, ...]:
    """Return the entries of `notify` of a configuration that was checked."""
    mode: Any = configuration.mode or "observe"
    return tuple(
        Notice(
            index,
            one.on,
            one.action.kind,
            matchers.compiled(one.matchers),
            stricter(mode, "auto") if one.action.kind in RUNS_PROGRAMS else "auto",
        )
        for index, one in enumerate(configuration.notify)
    )


def of(
    known: tuple[Notice, ...], on: str, number: int, event: str, reason: str, labels: Mapping[str, str]
) -> Iterator[Told]:
    """Yield who is to be told of an event of an incident or an item (its number), for example `opened`."""
    for notice in known:
        if notice.on == on and matchers.every(notice.matchers, labels):
            yield Told(notice.index, f"{notice.index}:{on}:{number}:{event}", reason, notice.mode)
