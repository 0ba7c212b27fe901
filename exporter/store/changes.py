"""Whether a look at the store could find anything new: an idle server asks the file first, which costs no query."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.store.store import Store


class Changes:
    """What one that looks again and again remembers of its last look. Times are monotonic, in seconds."""

    def __init__(self, store: Store, idle: float) -> None:
        """After `idle` seconds it is asked all the same: two commits at one time of the file may look alike."""
        self._store = store
        self._idle = idle
        self._mark: object | None = None
        self._looked_at: float | None = None

    def possible(self, now: float) -> bool:
        """Return whether something may have been written since the last look; of a shared store nobody knows."""
        if self._looked_at is None or now - self._looked_at >= self._idle:
            return True
        mark = self._store.mark()
        return mark is None or mark != self._mark

    def looked(self, now: float) -> None:
        """Note a look, before it begins."""
        self._looked_at, self._mark = now, self._store.mark()

    def forget(self) -> None:
        """Note that the last look did not come to its end."""
        self._looked_at = None
