"""What is known of one service while the program runs, and the decisions on it. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.model import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.model import State
    from exporter.services.service import Service

_NONE: Final[Mapping[str, float]] = MappingProxyType({})


def kept(reading: Reading, *, full: bool) -> Reading:
    """Return what is kept of a reading until the next one of its service: its facts only `/probe` shows.

    Phases and components are shown of services with `series: full`; of ten thousand others they would take 4 MiB.
    """
    return Reading(
        reading.state,
        reading.reason,
        reading.duration,
        reading.cause,
        reading.phases if full else _NONE,
        reading.status_code,
        reading.tls_expiry,
        reading.components if full else (),
    )


class Transition(NamedTuple):
    """A service is in another state from `at` on, in seconds since 1970."""

    service: Service
    state: State
    reason: str
    at: float


@dataclass(slots=True)
class Counted:
    """What the store has committed of a service: never ahead of it, so that no kill makes a counter fall.

    `seconds` are of closed stretches; the open one, which is the row `number`, is in `state` since `began`.
    """

    runs_success: int = 0
    runs_failure: int = 0
    seconds: dict[State, float] = field(default_factory=dict)
    state: State = "unknown"
    began: float = 0.0
    number: int = 0


def spent_by(counted: Counted, transitions: Iterable[Transition], until: float | None = None) -> dict[State, float]:
    """Return what the stretches that these transitions end have lasted, and the last one if it ends too."""
    spent: dict[State, float] = {}
    state, began = counted.state, counted.began
    for one in transitions:
        spent[state] = spent.get(state, 0.0) + max(0.0, one.at - began)
        state, began = one.state, one.at
    if until is not None:
        spent[state] = spent.get(state, 0.0) + max(0.0, until - began)
    return spent


@dataclass(slots=True, eq=False)
class Standing:
    """How a service stands: its last reading, its state now and since when, and what was counted."""

    service: Service
    state: State = "unknown"
    since: float = 0.0
    reason: str = "not probed yet"
    reading: Reading | None = None
    ran_at: float | None = None
    expires: float = 0.0
    """When the last reading is too old to be shown, in seconds since 1970."""
    stale: bool = True
    """Whether the last reading was found too old, so that nothing of it is shown any more."""
    window: str | None = None
    """Why it is in planned maintenance, None while it is not."""
    counted: Counted = field(default_factory=Counted)

    def fresh(self, now: float) -> bool:
        """Return whether the last reading still says something; one from the future is taken for one of now."""
        return self.reading is not None and now <= self.expires

    def note(self, reading: Reading, at: float) -> Transition | None:
        """Take a reading that ended `at`, and return the transition that it makes."""
        self.reading, self.ran_at, self.expires = reading, at, at + self.service.stale_after(at)
        self.stale = False
        return self._settled(at)

    def due(self, now: float, *, window: str | None) -> bool:
        """Return whether time alone has changed its state, or what is shown of its last reading."""
        return window != self.window or (not self.stale and now > self.expires)

    def look(self, now: float, *, window: str | None) -> Transition | None:
        """Return the transition that time makes: a window begins or ends, a reading becomes too old."""
        self.window, self.stale = window, not self.fresh(now)
        return self._settled(now)

    def rebase(self, before: float, after: float) -> None:
        """Go on at another time of the wall clock: a reading is no older for that."""
        self.since = after
        self.expires += after - before

    def _settled(self, now: float) -> Transition | None:
        state, reason = self._judged(now)
        self.reason = reason
        if state == self.state:
            return None
        # A clock that was set back must not let a stretch end before it began.
        self.state, self.since = state, max(now, self.since)
        return Transition(self.service, state, reason, self.since)

    def _judged(self, now: float) -> tuple[State, str]:
        if self.window is not None:
            return "maintenance", self.window
        if self.reading is None:
            return "unknown", self.service.problem or "not probed yet"
        if not self.fresh(now):
            return "unknown", "its last reading is more than three intervals old"
        return self.reading.state, self.reading.reason
