"""The one real clock; tests hand in their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exporter.model import Clock

JUMP: Final = 2.0
"""Seconds by which the wall clock must part from the monotonic one to have been set: smaller ones are corrections."""


class SystemClock:
    """Time as the operating system tells it."""

    def time(self) -> float:
        """Return seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class Jumps:
    """Notices when the wall clock of a machine was set, by what it has parted from the monotonic one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = self._parted()

    @property
    def is_due(self) -> bool:
        """Whether there is one that nobody has taken yet."""
        return abs(self._parted() - self._offset) >= JUMP

    def taken(self) -> float:
        """Return by how many seconds the clock was set since the last call: 0 where that was no more than corrected."""
        before, self._offset = self._offset, self._parted()
        jumped = self._offset - before
        return jumped if abs(jumped) >= JUMP else 0.0

    def _parted(self) -> float:
        return self._clock.time() - self._clock.monotonic()
