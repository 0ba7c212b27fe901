"""Which replica owns a service, and which replicas live. Pure: time is an argument.

Ownership is by rendezvous hashing (Thaler and Ravishankar, 1998): each service goes to the live replica with the
highest hash, so that a replica that comes or goes moves only its own share. What belongs to a node goes to one of the
node's own replicas. A replica lives while its heartbeat changes, by the clock of who looks: replicas whose clocks
differ agree all the same.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

DEAD_AFTER: Final = 10.0
"""Seconds without a new heartbeat after which a replica's services go to the others; it beats each second."""


def candidates(replicas: Mapping[str, str | None], node: str | None) -> Collection[str]:
    """Return which of the replicas, given with their nodes, may own what belongs to a node.

    Those of that node; any where none of them is on it: looked at from elsewhere is better than by nobody.
    """
    if node is None:
        return replicas
    return [replica for replica, where in replicas.items() if where == node] or replicas


def owner(service: str, replicas: Iterable[str]) -> str | None:
    """Return the replica that owns a service; None without any."""
    return max(replicas, key=lambda replica: (_weight(service, replica), replica), default=None)


def _weight(service: str, replica: str) -> bytes:
    return hashlib.blake2b(service.encode(), key=replica.encode()[:64], digest_size=8).digest()


class Liveness:
    """Sees by their heartbeats which other replicas live."""

    def __init__(self, own: str) -> None:
        """Take our own name: we live."""
        self._own = own
        self._looked = -math.inf
        self._seen: dict[str, tuple[object, float]] = {}

    def look(self, heartbeats: Mapping[str, object], now: float) -> frozenset[str]:
        """Return the live replicas by what changes with each heartbeat; `now` is monotonic, in seconds.

        A replica that is seen for the first time counts as live until it has had the time to beat. So do all of them
        after a time in which we did not look: where the store was away nobody could beat.
        """
        known = self._seen if now - self._looked < DEAD_AFTER / 2 else {}
        self._looked = now
        self._seen = {
            name: (beat, now) if known.get(name, (None, 0.0))[0] != beat else known[name]
            for name, beat in heartbeats.items()
        }
        living = {name for name, (_, since) in self._seen.items() if now - since < DEAD_AFTER}
        return frozenset(living | {self._own})
