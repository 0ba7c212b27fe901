"""A collector as somebody else would install it: BENCHMARK_SERIES series, of which a tenth changes with each read.

`server.py` puts a copy of this file and an entry point on the path of `watchbridge serve`; its peers take their data
from here as well. BENCHMARK_DATA_LABEL=target says that the targets come from data, so that they are normalised and
capped. The values of all reads are made beforehand: what is measured is the server, not this file.
"""

from __future__ import annotations

import os
import random
from itertools import cycle
from typing import TYPE_CHECKING

from exporter.model import Family, Samples, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exporter.model import Parts

LABELS = ("client", "state", "target")
FAMILIES = tuple(
    Family(f"many_{name}", "gauge", f"The {name} of a target.", LABELS, os.environ.get("BENCHMARK_DATA_LABEL") or None)
    for name in ("probe_success", "probe_duration_seconds", "probe_last_run_timestamp_seconds", "service_state")
)


def ring(series: int) -> tuple[Samples, ...]:
    """Return four reads; from each to the next, the last to the first too, a tenth of the values change."""
    chance = random.Random(series)  # noqa: S311 # the same data in each process, nothing secret
    first = [_value(chance) for _ in range(series)]
    places = chance.sample(range(series), series // 5)
    some, others = places[: series // 10], places[series // 10 :]
    second = _changed(first, some, chance)
    third = _changed(second, others, chance)
    fourth = third.copy()
    for place in some:
        fourth[place] = first[place]
    count = series // len(FAMILIES)
    labels = [(f"client-{n % 50}", "up", f"service-{n}.example.com") for n in range(count)]
    return tuple(
        {
            family: dict(zip(labels, values[n * count : (n + 1) * count], strict=True))
            for n, family in enumerate(FAMILIES)
        }
        for values in (first, second, third, fourth)
    )


def turns() -> Iterator[Samples]:
    """Yield the reads for as many series as the environment says, without end."""
    return cycle(ring(int(os.environ["BENCHMARK_SERIES"])))


def sources(_: Parts) -> Iterable[Source]:
    """Yield the one source."""
    reads = turns()

    async def read() -> Samples:
        return next(reads)

    yield Source("many", "bench", read)


def _value(chance: random.Random) -> float:
    """Return a state, a duration or a timestamp."""
    return chance.choice((1.0, chance.random(), 1.7e9 + round(chance.random() * 1e6, 3)))


def _changed(values: list[float], places: list[int], chance: random.Random) -> list[float]:
    changed = values.copy()
    for place in places:
        while changed[place] == values[place]:
            changed[place] = _value(chance)
    return changed
