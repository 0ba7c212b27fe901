"""What one scrape costs to render: ours beside prometheus_client, on the same data, in the same run.

    python benchmarks/exposition.py [--series 1000 10000 100000] [--runs 7] [--json FILE]

Between two scrapes a tenth of the values change. CPU is user plus system time of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import platform
import random
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from exporter.exposition import Exposition, Form, compressed
from exporter.model import Family, Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAMILIES = tuple(
    Family(f"watchbridge_{name}", "gauge", f"The {name} of a target.", ("client", "target", "state"))
    for name in ("probe_success", "probe_duration_seconds", "probe_last_run_timestamp_seconds", "service_state")
)
CHANGED = 0.1


class Data:
    """Samples of a size, of which a tenth changes at each turn."""

    def __init__(self, series: int) -> None:
        self.random = random.Random(series)  # noqa: S311 # the same data in each run, nothing secret
        self.series = series
        self.values = [self.value() for _ in range(series)]
        self.kept = self.labels("up")

    def value(self) -> float:
        """Return a state, a duration or a timestamp."""
        return self.random.choice((1.0, self.random.random(), 1.7e9 + round(self.random.random() * 1e6, 3)))

    def labels(self, state: str) -> list[tuple[str, ...]]:
        """Return new tuples of new texts, as a collector that remembers nothing makes them."""
        return [(f"client-{n % 50}", f"service-{n}.example.com", state) for n in range(self.series // len(FAMILIES))]

    def turn(self) -> None:
        """Change a tenth of the values."""
        for place in self.random.sample(range(self.series), int(self.series * CHANGED)):
            self.values[place] = self.value()

    def samples(self, labels: list[tuple[str, ...]]) -> Samples:
        """Return the values now, under the given labels in each family."""
        size = self.series // len(FAMILIES)
        return {
            family: dict(zip(labels, self.values[n * size : (n + 1) * size], strict=True))
            for n, family in enumerate(FAMILIES)
        }


class Peer:
    """A custom collector of prometheus_client over the same samples."""

    def __init__(self) -> None:
        self.samples: Samples = {}
        self.built: list[GaugeMetricFamily] | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def build(self) -> Iterator[GaugeMetricFamily]:
        """Yield the samples as families of prometheus_client, made as its documentation shows."""
        for family, series in self.samples.items():
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for labels, value in series.items():
                metric.add_metric(labels, value)
            yield metric

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families for the registry."""
        yield from self.build() if self.built is None else self.built


Times = dict[str, list[tuple[float, float]]]


def timed(times: Times, name: str, work: Callable[[], Any]) -> Any:
    """Run the work and note its CPU and wall time in milliseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    spent = (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3
    times.setdefault(name, []).append(spent)
    return result


def measured(series: int, runs: int) -> tuple[Times, dict[str, int]]:
    """Return the times of each way to render and the sizes of the bodies, after one scrape that is not counted."""
    data, peer, times = Data(series), Peer(), Times()
    ours, fresh, churned = (Exposition(FAMILIES) for _ in range(3))
    for turn in range(-1, runs):
        noted = times if turn >= 0 else Times()
        data.turn()
        samples, anew = data.samples(data.kept), data.samples(data.labels("up"))
        other = data.samples([(*of[:2], f"turn-{turn}") if n % 10 == 0 else of for n, of in enumerate(data.kept)])
        body = timed(noted, "ours", lambda: ours.render([samples], Form.TEXT_0_0_4))  # noqa: B023 # run at once
        small = timed(noted, "gzip, ours", lambda: compressed(body))  # noqa: B023 # run at once
        timed(noted, "ours, label texts made anew", lambda: fresh.render([anew], Form.TEXT_0_0_4))  # noqa: B023 # run at once
        timed(noted, "ours, a tenth of the label sets new", lambda: churned.render([other], Form.TEXT_0_0_4))  # noqa: B023 # run at once
        peer.samples, peer.built = samples, None
        theirs = timed(noted, "prometheus_client", lambda: generate_latest(peer.registry))
        timed(noted, "gzip level 6, as its handler", lambda: gzip.compress(theirs, 6))  # noqa: B023 # run at once
        timed(noted, "gzip level 1", lambda: gzip.compress(theirs, 1))  # noqa: B023 # run at once
        peer.built = list(peer.build())
        timed(noted, "prometheus_client, families built before", lambda: generate_latest(peer.registry))
        timed(noted, "copying the bytes", lambda: bytearray(body))  # noqa: B023 # run at once
        assert len(body.splitlines()) == len(theirs.splitlines()) == series + 2 * len(FAMILIES)
    return times, {"body": len(body), "gzip, ours": len(small), "gzip level 6": len(gzip.compress(body, 6))}


async def longest_gaps(series: int, runs: int) -> tuple[list[float], list[float]]:
    """Return the longest gap in ms of a loop that ticks each ms: while a thread renders and compresses, and idle."""
    data, exposition = Data(series), Exposition(FAMILIES)

    def scrape() -> None:
        compressed(exposition.render([samples], Form.TEXT_0_0_4))

    busy, idle = [], []
    for turn in range(runs + 1):
        data.turn()
        samples = data.samples(data.kept)
        gaps = await gap_during(asyncio.to_thread(scrape)), await gap_during(asyncio.sleep(0.05))
        if turn:  # the first render writes every line
            busy.append(gaps[0])
            idle.append(gaps[1])
    return busy, idle


async def gap_during(work: Any) -> float:
    task, longest, last = asyncio.ensure_future(work), 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest * 1e3


def low_middle_high(values: list[float]) -> str:
    return f"{min(values):9.3f} {median(values):9.3f} {max(values):9.3f}"


def show(series: int, times: Times, sizes: dict[str, int], gaps: tuple[list[float], list[float]]) -> None:
    print(f"\n{series:,} series, a tenth changed; bytes: {sizes}")
    print(f"{'ms per scrape':44}{'CPU min    median       max':>31}   {'wall min    median       max':>31}")
    for name, spent in times.items():
        cpu, wall = ([pair[which] for pair in spent] for which in (0, 1))
        print(f"{name:44}{low_middle_high(cpu)}   {low_middle_high(wall)}")
    cpu = {name: median(pair[0] for pair in spent) for name, spent in times.items()}
    ours, peer = cpu["ours"], cpu["prometheus_client"]
    print(f"ratios of CPU, prometheus_client to ours: plain {peer / ours:.1f}, gzip "
          f"{(peer + cpu['gzip level 6, as its handler']) / (ours + cpu['gzip, ours']):.1f} (its level 1: "
          f"{(peer + cpu['gzip level 1']) / (ours + cpu['gzip, ours']):.1f}), families built before "
          f"{cpu['prometheus_client, families built before'] / ours:.1f}; ours to copying "
          f"{ours / cpu['copying the bytes']:.0f}")  # fmt: skip
    print(
        f"longest gap of a loop beside a rendering thread, ms: {low_middle_high(gaps[0])}; "
        f"idle {low_middle_high(gaps[1])}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {platform.machine()}, {options.runs} runs")
    results = []
    for series in options.series:
        times, sizes = measured(series, options.runs)
        gaps = asyncio.run(longest_gaps(series, options.runs))
        show(series, times, sizes, gaps)
        names = {
            name: {"cpu_ms": [c for c, _ in spent], "wall_ms": [w for _, w in spent]} for name, spent in times.items()
        }
        results.append({"series": series, "bytes": sizes, "times": names, "gap_ms": {"busy": gaps[0], "idle": gaps[1]}})
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
