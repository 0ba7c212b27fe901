"""Which services are in planned maintenance now, and why: windows of the configuration and of the store as one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.store import windows as stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.services.service import Service
    from exporter.store.store import Store
    from exporter.windows import Window, WindowOptions

log: Final = logging.getLogger(__name__)

_FOR_EVER: Final = float("inf")


class _Spell(NamedTuple):
    """How a window is from `since` up to `until`, in seconds since 1970: `reason` is empty while it is not active."""

    since: float
    until: float
    reason: str


_Cover = tuple[float, str]
"""When what covers a service ends, and the reason: of several the one that ends last counts."""
_NONE: Final[_Cover] = (0.0, "")


class Maintenance:
    """All windows that are planned; one is looked at anew only when it begins or ends.

    `covered` and `reason` ask nobody: what the store plans they know from the last `look`.
    """

    def __init__(self, windows: Sequence[WindowOptions]) -> None:
        self.known = False
        """Whether the store was read: until then a window of it may be open without our knowing."""
        self._of_file: tuple[Window, ...] = ()
        self._of_store: tuple[Window, ...] = ()
        self._mark: stored.Mark | None = None
        self._unreadable: frozenset[int] = frozenset()
        self._spells: dict[Window, _Spell] = {}
        self._from = self._until = 0.0
        self._rest = _NONE
        self._services: dict[str | None, _Cover] = {}
        self._groups: dict[str | None, _Cover] = {}
        self.configure(windows)

    def configure(self, windows: Sequence[WindowOptions]) -> None:
        """Take the windows of a configuration in the place of the last one's; those of the store stay."""
        self._of_file = tuple(options.window() for options in windows)
        self._until = self._from

    async def look(self, store: Store, now: float) -> None:
        """Take what the store plans, where that has changed; StoreError: what was known stays."""
        mark = await stored.mark(store)
        if self.known and mark == self._mark:
            return
        found = await stored.listed(store, now)
        self._warn([one for one in found if one.problem is not None])
        self._of_store = tuple(one.window for one in found if one.problem is None)
        # The mark from before the rows: what was added between the two is seen with the next look.
        self._mark, self.known = mark, True
        self._until = self._from

    def covered(self, services: Iterable[Service], now: float) -> Mapping[int, str]:
        """Return the reasons, by their ids, why services are in a window now; who is in none is left out."""
        self._refresh(now)
        names, groups, rest = self._services, self._groups, self._rest
        if not (names or groups or rest[1]):
            return {}
        # As `_cover`, in place: this runs each second, and calls for ten thousand would take longer than all the rest.
        return {
            service.id: reason
            for service in services
            if (
                reason := (
                    max(names[service.name], groups.get(service.group, rest))
                    if service.name in names
                    else groups.get(service.group, rest)
                )[1]
            )
        }

    def reason(self, service: str | None, group: str | None, now: float) -> str | None:
        """Return why a service is in a window now, None where it is in none; of no service: why everything is."""
        self._refresh(now)
        return self._cover(service, group)[1] or None

    def _cover(self, service: str | None, group: str | None) -> _Cover:
        return max(self._services.get(service, _NONE), self._groups.get(group, self._rest))

    def _refresh(self, now: float) -> None:
        """Find out anew who is covered, where a window has begun or ended since, or the clock was set back."""
        if self._from <= now < self._until:
            return
        self._spells = dict(self._looked_at(now))
        self._from, self._until = now, min((one.until for one in self._spells.values()), default=_FOR_EVER)
        active = [(window, (one.until, one.reason)) for window, one in self._spells.items() if one.reason]
        self._rest = max((cover for window, cover in active if window.everything), default=_NONE)
        self._services, self._groups = {}, {}
        for window, cover in active:
            for covers, names in ((self._services, window.services), (self._groups, window.groups)):
                for name in names:
                    covers[name] = max(cover, covers.get(name, self._rest))

    def _looked_at(self, now: float) -> Iterator[tuple[Window, _Spell]]:
        for window in (*self._of_file, *self._of_store):
            spell = self._spells.get(window)
            if spell is None or not spell.since <= now < spell.until:
                change = window.next_change(now)
                reason = window.reason(now) if window.active(now) else ""
                spell = _Spell(now, _FOR_EVER if change is None else change, reason)
            yield window, spell

    def _warn(self, broken: Sequence[stored.StoredWindow]) -> None:
        """Tell once of each window that cannot be kept: what is planned there would be taken for a fault."""
        for one in broken:
            if one.id not in self._unreadable:
                log.warning("the window %d is not kept: %s; end it and add it again", one.id, one.problem)
        self._unreadable = frozenset(one.id for one in broken)
