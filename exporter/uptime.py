"""How much of a time a service was up: sums and ratios over stretches of elapsed seconds. Time is an argument.

What is planned (maintenance) and what nobody saw (unknown) is in no ratio. Days are 86,400 seconds: a change of clocks
makes none longer.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.model import State

HOUR: Final = 3600.0
DAY: Final = 86_400.0
WINDOWS: Final[Mapping[str, float]] = {"1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}
"""Seconds of the windows that ratios are exported for, by the value of the label `window`."""

KEPT: Final = 91 * DAY
"""Seconds that a History remembers: the longest window, and a day for a clock that is set back."""

_LONGEST_PERIOD: Final = 365 * DAY
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,3})([hd])\Z", re.ASCII)
_FEW: Final = 64
"""Stretches too old that are left in place, so that dropping them is rare."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in one state, from `began` to `ended` in seconds since 1970; None: it still lasts."""

    state: State
    began: float
    ended: float | None = None


def seconds(stretches: Iterable[Stretch], since: float, until: float) -> dict[State, float]:
    """Return the seconds of each state that was seen between two times; a stretch that still lasts ends at `until`.

    The stretches do not overlap. One that ends before it began, as after a clock was set back, counts 0.
    """
    found: dict[State, float] = {}
    for stretch in stretches:
        ended = until if stretch.ended is None else min(stretch.ended, until)
        lasted = ended - max(stretch.began, since)
        if lasted > 0:
            found[stretch.state] = found.get(stretch.state, 0.0) + lasted
    return found


def ratio(seconds: Mapping[State, float]) -> float | None:
    """Return the share of up and degraded in what was observed, from 0 to 1; None when nothing was."""
    good = seconds.get("up", 0.0) + seconds.get("degraded", 0.0)
    observed = good + seconds.get("down", 0.0)
    return good / observed if observed > 0 else None


def period(text: str) -> float:
    """Return the seconds of a period such as 1h, 24h, 7d or 90d, at most 365d; ValueError says what was wanted."""
    if found := _PERIOD.match(text):
        length = int(found[1]) * (HOUR if found[2] == "h" else DAY)
        if length <= _LONGEST_PERIOD:
            return length
    raise ValueError(
        f"found {text[:20]!r}, wanted a period of hours or days up to 365d, such as 1h, 24h, 7d, 30d or 90d"
    )


class History:
    """What one service was, and for how long, as far back as the longest window.

    Each moment counts once, and the latest word on it wins: a clock that is set back takes the history with it.
    """

    __slots__ = ("_began", "_ended", "_good", "_observed", "_open", "_states")

    def __init__(self, stretches: Iterable[Stretch] = ()) -> None:
        self._open: Stretch | None = None
        # Of the closed stretches, in order. The sums are of all seconds up to the beginning of each.
        self._began = array("d")
        self._ended = array("d")
        self._states: list[State] = []
        self._good = array("d", [0.0])
        self._observed = array("d", [0.0])
        for stretch in stretches:
            self.add(stretch)

    def __len__(self) -> int:
        return len(self._states) + (self._open is not None)

    @property
    def state(self) -> State | None:
        """The state that lasts, None where none does."""
        return self._open.state if self._open else None

    @property
    def since(self) -> float | None:
        """When the state that lasts began, in seconds since 1970."""
        return self._open.began if self._open else None

    def add(self, stretch: Stretch) -> None:
        """Take a stretch that is known already, such as one from the store; they come in order."""
        self.became(stretch.state, stretch.began)
        if stretch.ended is not None:
            self.close(max(stretch.began, stretch.ended))

    def became(self, state: State, at: float) -> None:
        """Take a new state from this time on; the one that lasted ends. The same state again goes on."""
        if self._open and self._open.state == state and self._open.began <= at:
            return
        self.close(at)
        self._open = Stretch(state, at)

    def close(self, at: float) -> None:
        """End the state that lasts at this time: nothing is known from there on."""
        lasted, self._open = self._open, None
        if lasted:
            self._push(lasted.state, lasted.began, at)
        while self._states and self._ended[-1] > at:
            state, began = self._pop()
            self._push(state, began, at)
        self._drop(at - KEPT)

    def ratios(self, now: float) -> dict[str, float]:
        """Return the ratio of each window that ends `now`; a window in which nothing was observed is absent."""
        good, observed = self._until(now)
        found: dict[str, float] = {}
        for name, length in WINDOWS.items():
            good_before, observed_before = self._until(now - length)
            if (seen := observed - observed_before) > 0:
                # The sums round: a service that was always up has 1, not a little more.
                found[name] = min(1.0, max(0.0, (good - good_before) / seen))
        return found

    def _until(self, at: float) -> tuple[float, float]:
        """Return the good and the observed seconds up to a time."""
        place = bisect_right(self._began, at) - 1
        good, observed = self._good[max(place, 0)], self._observed[max(place, 0)]
        if place >= 0:
            good, observed = _with(
                good, observed, self._states[place], min(at, self._ended[place]) - self._began[place]
            )
        if (lasts := self._open) and lasts.began < at:
            good, observed = _with(good, observed, lasts.state, at - lasts.began)
        return good, observed

    def _push(self, state: State, began: float, ended: float) -> None:
        if ended <= began:
            return
        self._began.append(began)
        self._ended.append(ended)
        self._states.append(state)
        good, observed = _with(self._good[-1], self._observed[-1], state, ended - began)
        self._good.append(good)
        self._observed.append(observed)

    def _pop(self) -> tuple[State, float]:
        self._ended.pop()
        self._good.pop()
        self._observed.pop()
        return self._states.pop(), self._began.pop()

    def _drop(self, before: float) -> None:
        old = bisect_right(self._ended, before)
        if old < _FEW or 2 * old < len(self._states):
            return
        for column in (self._began, self._ended, self._states, self._good, self._observed):
            del column[:old]


def _with(good: float, observed: float, state: State, lasted: float) -> tuple[float, float]:
    if state in {"up", "degraded"}:
        return good + lasted, observed + lasted
    return good, observed + lasted if state == "down" else observed
