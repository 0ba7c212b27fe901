"""When things are late, in buckets of a 64th of a second: what is put in and taken out costs the same among 10,000."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKS: Final = 64
"""Buckets a second: nothing is told too early, and nothing more than 1/64 s too late."""

Item = TypeVar("Item")


class Deadlines(Generic[Item]):
    """Items by the moment from which on they are late, in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[Item]] = {}
        self._ticks: list[int] = []

    def __iter__(self) -> Iterator[Item]:
        """Yield every item, in no order."""
        for bucket in self._buckets.values():
            yield from bucket

    def put(self, item: Item, when: float) -> int:
        """Put an item in; return what `take` wants to find it again."""
        tick = math.ceil(when * TICKS)
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            heapq.heappush(self._ticks, tick)
        bucket.add(item)
        return tick

    def take(self, item: Item, tick: int) -> None:
        """Take an item out, if it is there."""
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.discard(item)

    def late(self, now: float) -> list[Item]:
        """Take out and return what is late."""
        found: list[Item] = []
        while self._ticks and self._ticks[0] <= now * TICKS:
            found += self._buckets.pop(heapq.heappop(self._ticks))
        return found

    def wait(self, now: float) -> float | None:
        """Return the seconds until something is late; None when there is nothing."""
        while self._ticks:
            tick = self._ticks[0]
            if self._buckets[tick]:
                return max(0.0, tick / TICKS - now)
            del self._buckets[heapq.heappop(self._ticks)]
        return None
