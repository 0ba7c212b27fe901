"""When a worker looks at the store, and what it found due there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.store.changes import Changes

if TYPE_CHECKING:
    from exporter.model import Clock, ItemState
    from exporter.store.backlog_due import Outlook
    from exporter.store.store import Store

POLL: Final = 1.0
"""Seconds between two looks at what is due, where nobody wakes the worker."""
IDLE: Final = 30.0
"""The same where nothing was written to the store since, which a file tells."""
SHORTEST: Final = 0.01
"""Seconds that the worker rests at least."""


class Horizon:
    """What is due by the last look, and when the next one is worth it. Times are monotonic, in seconds."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.due: dict[str, tuple[ItemState, ...]] = {}
        """By queue, the states in which something is due that has not begun."""
        self._clock = clock
        self._changes = Changes(store, IDLE)
        self._is_awake = True
        self._look_at = clock.monotonic()
        self._due_at = 0.0

    def wake(self) -> None:
        """Let the next look be at once."""
        self._is_awake = True

    def forget(self) -> None:
        """Note that the last look, or what came of it, did not come to its end."""
        self._changes.forget()

    def wait(self, now: float) -> float:
        """Return in how many seconds a look is worth it."""
        return self._look_at - now

    def calls(self, now: float) -> bool:
        """Return whether to look now; where another look could find nothing new, that is put off."""
        if self._is_awake:
            return True
        if now < self._look_at:
            return False
        if now >= self._due_at or self._changes.possible(now):
            return True
        self._look_at = now + POLL
        return False

    def looks(self, now: float) -> None:
        """Note that a look begins."""
        self._is_awake = False
        self._look_at = now + POLL
        self._changes.looked(now)

    def found(self, outlook: Outlook, now: float) -> None:
        """Take what a look that began at `now` found."""
        self.due, self._due_at = outlook.states, float("inf")
        if outlook.next_at is not None:
            self._due_at = now + max(SHORTEST, outlook.next_at - self._clock.time())
            self._look_at = min(self._look_at, self._due_at)
