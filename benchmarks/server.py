"""Measure whole servers: `watchbridge serve`, prometheus_client's server, and a server of Go's client_golang.

    python benchmarks/server.py [--series 1000 10000 100000] [--rounds 7] [--json FILE]

Ours is the real program with a third party's collector, installed by an entry point, of whose values a tenth changes
with each scrape; prometheus_client has the same data. The Go server is Debian's Pushgateway with the same series pushed
to it: its values stand still, each line has two labels more (job, instance), and it has no OpenMetrics. The order of
the servers turns from round to round. CPU is user plus system time of the whole process as the kernel counts it.

"watchbridge, capped" is ours with a label whose values come from data: each scrape makes them safe and counts them.
The longest gap of our event loop is the longest answer of /-/healthy, asked every 2 ms on another connection.
Needs Linux, and what `tests/install-servers bench` installs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from server_collector import FAMILIES
from server_contenders import OTHERS, Contender, Way, ours
from servers.programs import short_folder

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"
WAYS = (
    Way("text", TEXT, gzip=False),
    Way("text, gzip", TEXT, gzip=True),
    Way("OpenMetrics", OPENMETRICS, gzip=False),
    Way("OpenMetrics, gzip", OPENMETRICS, gzip=True),
)
SCRAPES_PER_ROUND = 50_000
"""Series in all; at least two scrapes, so that small bodies are measured as long as large ones."""

Gaps = dict[str, dict[str, list[float]]]


def check(contenders: list[Contender], series: int) -> None:
    """All must show the same series, and those that change must change a tenth from scrape to scrape."""
    for contender in contenders:
        with contender.connection() as connection:
            before, after = (_values(contender.ask(connection, WAYS[0])[1]) for _ in range(2))
        assert len(before) == series, f"{contender.name} shows {len(before)} series"
        changed = sum(before[sample] != after[sample] for sample in before)
        if "Go" in contender.name:
            assert changed == 0
            continue
        assert changed == series // 10, f"{contender.name} changed {changed} values"
        known = contenders[0].name
        if contender.name == known:
            names = before.keys()
        assert before.keys() == names, f"{contender.name} and {known} show different series"


def _values(body: bytes) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in body.decode().splitlines() if line.startswith("many_")]
    return {sample: float(value) for sample, _, value in lines}


def measured(series: int, rounds: int) -> tuple[list[Contender], Gaps]:
    """Start all servers and measure them in turn."""
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(short_folder()) for _ in range(2 + len(OTHERS))]
        contenders = [stack.enter_context(ours(series, folders[0]))]
        contenders.append(stack.enter_context(ours(series, folders[1], data_label="target")))
        contenders += [stack.enter_context(make(series, folders[n + 2])) for n, make in enumerate(OTHERS)]
        check(contenders, series)
        scrapes = max(2, SCRAPES_PER_ROUND // series)
        for way in WAYS:
            able = [contender for contender in contenders if contender.knows(way)]
            for number in range(rounds):
                first = number % len(able)
                for contender in able[first:] + able[:first]:
                    contender.round(way, scrapes)
        gaps = {contender.name: gaps_of(contender, rounds) for contender in contenders[:2]}
    return contenders, gaps


def gaps_of(contender: Contender, rounds: int) -> dict[str, list[float]]:
    """Return the longest answers of /-/healthy in ms: idle, and during scrapes."""
    found = {"idle": [contender.gap(None) for _ in range(rounds)]}
    for way in WAYS[:2]:
        found[way.name] = [contender.gap(way) for _ in range(rounds)]
    return found


def described(values: list[float]) -> str:
    """Return minimum, median and maximum."""
    return f"{min(values):9.2f} {median(values):9.2f} {max(values):9.2f}"


def show(series: int, contenders: list[Contender], gaps: Gaps) -> None:
    """Print the tables of one number of series."""
    print(f"\n{series:,} series in {len(FAMILIES)} families; ms per scrape")
    print(
        f"{'':20}{'':22}{'CPU min    median       max':>30}{'wall min    median       max':>33}{'KiB':>9}  CPU / ours"
    )
    for way in WAYS:
        mine = median(contenders[0].cpu[way.name])
        for contender in contenders:
            cpu, wall = contender.cpu.get(way.name), contender.wall.get(way.name)
            if cpu is None or wall is None:
                continue
            size = contender.size[way.name] / 1024
            print(
                f"{way.name:20}{contender.name:22} {described(cpu)}    {described(wall)} {size:9.0f}"
                f"  {median(cpu) / mine:10.1f}"
            )
    for name, found in gaps.items():
        for when, longest in found.items():
            print(f"longest answer of /-/healthy, {name}, {when}: {described(longest)}")


def main() -> None:
    """Measure each number of series and print its tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--series", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    results: list[dict[str, Any]] = []
    for series in given.series:
        contenders, gaps = measured(series, given.rounds)
        show(series, contenders, gaps)
        servers = {
            one.name: {"cpu_ms": one.cpu, "wall_ms": one.wall, "bytes": one.size, "gap_ms": gaps.get(one.name)}
            for one in contenders
        }
        results.append({"series": series, "servers": servers})
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
