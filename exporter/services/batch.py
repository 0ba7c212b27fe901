"""What waits to be committed of the services: bounded, however long the store cannot be written."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.services.standing import Transition

if TYPE_CHECKING:
    from exporter.model import Reading
    from exporter.services.service import Service
    from exporter.services.standing import Standing

KEPT_READINGS: Final = 50_000
"""Readings that wait for a store that cannot be written, before the oldest are dropped; counts are never."""
KEPT_TRANSITIONS: Final = 100_000
"""Transitions that wait, over all services, before what lies between the first and the last of each is forgotten."""
READINGS_AT_ONCE: Final = 20_000
"""Readings of one commit: after a long outage one with all of them could take longer than the store allows."""
FORGOTTEN: Final = "its state changed more often than could be kept while the store could not be written"


class Noted(NamedTuple):
    """A reading that is to be stored."""

    service: Service
    reading: Reading
    at: float


class Dropped(NamedTuple):
    """A service that nobody watches from `at` on, and what became of it since the last commit."""

    standing: Standing
    transitions: list[Transition]
    at: float


def _readings() -> deque[Noted]:
    return deque(maxlen=KEPT_READINGS)


@dataclass(slots=True)
class Batch:
    """What waits for the next commit."""

    readings: deque[Noted] = field(default_factory=_readings)
    runs: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Successes and failures by service."""
    transitions: dict[int, list[Transition]] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    """Services that are ours no longer: their open stretch ends."""
    rebased: bool = False
    """Whether the wall clock jumped, so that the heartbeat may go back."""

    def note(self, service: Service, reading: Reading, at: float) -> None:
        """Take a reading."""
        self.readings.append(Noted(service, reading, at))
        self._count(service.id, int(reading.success), int(not reading.success))

    def transit(self, transition: Transition) -> None:
        """Take a transition; those of a service come in the order of their times."""
        self.transitions.setdefault(transition.service.id, []).append(transition)

    def drop(self, standing: Standing, at: float) -> None:
        """Take that a service is watched by nobody any more; its transitions are no others' to apply."""
        self.dropped.append(Dropped(standing, self.transitions.pop(standing.service.id, []), at))

    def named(self) -> set[int]:
        """Return the services that something is to be written of."""
        noted = {one.service.id for one in self.readings} | {one.standing.service.id for one in self.dropped}
        return noted | self.runs.keys() | self.transitions.keys()

    def split(self) -> Batch:
        """Leave here what one commit takes, and return the rest: readings alone are ever too many."""
        rest = Batch()
        rest.readings.extend(islice(self.readings, READINGS_AT_ONCE, None))
        while len(self.readings) > READINGS_AT_ONCE:
            self.readings.pop()
        return rest

    def before(self, later: Batch) -> Batch:
        """Return both as one: this one could not be written."""
        for identity, (success, failure) in later.runs.items():
            self._count(identity, success, failure)
        for identity, transitions in later.transitions.items():
            self.transitions.setdefault(identity, []).extend(transitions)
        self.readings.extend(later.readings)
        self.dropped += later.dropped
        self.rebased |= later.rebased
        return self

    def shorten(self) -> None:
        """Forget what lies between the first and the last transition of each service, once there are too many."""
        if sum(len(transitions) for transitions in self.transitions.values()) <= KEPT_TRANSITIONS:
            return
        for transitions in self.transitions.values():
            if len(transitions) > 1:
                first = transitions[0]
                transitions[:-1] = [Transition(first.service, "unknown", FORGOTTEN, first.at)]

    def _count(self, identity: int, success: int, failure: int) -> None:
        known = self.runs.get(identity, (0, 0))
        self.runs[identity] = known[0] + success, known[1] + failure
