"""Which services are in planned maintenance now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.services.service import Service
    from exporter.windows import Window, WindowOptions


class Maintenance:
    """The windows of the configuration; looked at anew only when one of them begins or ends."""

    def __init__(self, windows: Sequence[WindowOptions]) -> None:
        self._windows = tuple(options.window() for options in windows)
        self._active: tuple[Window, ...] = ()
        self._from = self._until = 0.0

    def covered(self, services: Iterable[Service], now: float) -> frozenset[int]:
        """Return the ids of the services that are in a window now."""
        if not self._windows:
            return frozenset()
        if not self._from <= now < self._until:
            self._active = tuple(window for window in self._windows if window.active(now))
            changes = [change for window in self._windows if (change := window.next_change(now)) is not None]
            self._from, self._until = now, min(changes, default=float("inf"))
        if not self._active:
            return frozenset()
        # Sets, since this runs each second: ten thousand services times some windows would take longer than the rest.
        names = frozenset().union(*(window.services for window in self._active))
        groups = frozenset().union(*(window.groups for window in self._active))
        everything = any(window.everything for window in self._active)
        return frozenset(
            service.id for service in services if everything or service.name in names or service.group in groups
        )
