"""What was seen since the last commit, as one batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from exporter.model import Reading
    from exporter.services.service import Service
    from exporter.services.standing import Standing, Transition

KEPT_READINGS: Final = 50_000
"""Readings that wait for a store that cannot be written, before the oldest are dropped; counts are never."""


class Noted(NamedTuple):
    """A reading that is to be stored."""

    service: Service
    reading: Reading
    at: float


@dataclass(slots=True)
class Batch:
    """What waits for the next commit."""

    readings: list[Noted] = field(default_factory=list)
    runs: dict[int, tuple[int, int]] = field(default_factory=dict)
    transitions: dict[int, list[Transition]] = field(default_factory=dict)
    dropped: list[Standing] = field(default_factory=list)
    """Services that are ours no longer: their open stretch ends."""
    rebased: bool = False
    """Whether the wall clock jumped, so that the heartbeat may go back."""

    def before(self, later: Batch) -> Batch:
        """Return both as one: this one could not be written."""
        for identity, (success, failure) in later.runs.items():
            known = self.runs.get(identity, (0, 0))
            self.runs[identity] = known[0] + success, known[1] + failure
        for identity, transitions in later.transitions.items():
            self.transitions.setdefault(identity, []).extend(transitions)
        self.readings = (self.readings + later.readings)[-KEPT_READINGS:]
        self.dropped += later.dropped
        self.rebased |= later.rebased
        return self
