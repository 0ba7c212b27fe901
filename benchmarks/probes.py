"""Measure probing end to end: `watchbridge serve` that Prometheus scrapes, beside blackbox_exporter by `/probe`.

    python benchmarks/probes.py [--targets 1000] [--seconds 60] [--rounds 3] [--full] [--large 10000] [--json FILE]

- Both sides probe the same local HTTP targets every 15 s, in turn, each with a Prometheus of its own: ours with one
  scrape every 15 s of the installed program (services, verdicts, SQLite store, uptime), the peer with one scrape of
  `/probe` for each target. Counted is what the kernel says that both processes took, after a while to settle, for the
  requests that the targets really answered. With
  `--full` a third side is ours with `series: full` for each service.
- Many services: so many at 60 s, of which a tenth hangs: how late runs begin, how long a scrape and /-/healthy take.

Needs Linux, and what `tests/install-servers bench` installs.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import itertools
import json
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from probe_contenders import (
    blackbox,
    cpu_seconds,
    described,
    get,
    prometheus,
    raise_descriptors,
    resident_mib,
    targets,
    watchbridge,
)
from servers.programs import HOST, short_folder, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from probe_contenders import Targets

EVERY = 15.0
LONG_EVERY = 60.0
POLL_SECONDS = 0.05
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}
Row = dict[str, float]


def services(urls: list[str], every: float, **more: Any) -> dict[str, Any]:
    """Return the services of a configuration."""
    return {
        f"target-{n}": {"probe": {"kind": "http", "url": url, "every": f"{every:g}s"}, **more}
        for n, url in enumerate(urls)
    }


def samples(port: int) -> dict[str, float]:
    """Scrape as Prometheus does and return the samples by their text."""
    body = gzip.decompress(get(port, "/metrics", HEADERS)).decode()
    lines = (line.rpartition(" ") for line in body.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def total(found: Mapping[str, float], name: str) -> float:
    """Return the sum of a family's series."""
    return sum(value for sample, value in found.items() if sample.startswith(name))


@contextlib.contextmanager
def our_side(folder: Path, there: Targets, count: int, **more: Any) -> Iterator[tuple[int, int]]:
    """Start ours with its Prometheus; yield both processes."""
    with watchbridge(folder, services(there.urls(count), EVERY, **more)) as (program, port):
        job = {"job_name": "watchbridge", "static_configs": [{"targets": [f"{HOST}:{port}"]}]}
        with prometheus(folder, job, EVERY) as (pid, _):
            yield program.pid, pid


@contextlib.contextmanager
def peer_side(folder: Path, there: Targets, count: int) -> Iterator[tuple[int, int]]:
    """Start blackbox_exporter with its Prometheus; yield both processes."""
    with blackbox(folder) as (exporter, port):
        job = {
            "job_name": "blackbox",
            "metrics_path": "/probe",
            "params": {"module": ["bench"]},
            "static_configs": [{"targets": there.urls(count)}],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": f"{HOST}:{port}"},
            ],
        }
        with prometheus(folder, job, EVERY) as (pid, _):
            yield exporter, pid


SIDES = {"watchbridge": our_side, "watchbridge, full": our_side, "blackbox_exporter": peer_side}


def one_round(name: str, there: Targets, count: int, seconds: float) -> Row:
    """Let one side run and return what it took for 1,000 probes, in CPU seconds, and its memory in MiB."""
    more = {"series": "full"} if "full" in name else {}
    with short_folder() as folder, SIDES[name](folder, there, count, **more) as (exporter, prom):
        begun = there.served()
        until(lambda: there.served() >= begun + 2 * count, 5 * EVERY, "two probes of each target")
        served, before = there.served(), (cpu_seconds(exporter), cpu_seconds(prom))
        time.sleep(seconds)
        probes = there.served() - served
        spent = [1000 * (cpu_seconds(pid) - was) / probes for pid, was in zip((exporter, prom), before, strict=True)]
        expected = count * seconds / EVERY
        if abs(probes - expected) > max(0.1 * expected, 1.5 * count):
            sys.exit(f"{name} made {probes} probes where {expected:.0f} were due.")
        return {
            "exporter": spent[0],
            "Prometheus": spent[1],
            "both": sum(spent),
            "exporter, MiB": resident_mib(exporter),
            "Prometheus, MiB": resident_mib(prom),
        }


def end_to_end(names: list[str], count: int, seconds: float, rounds: int) -> dict[str, list[Row]]:
    """Let these sides run in turn."""
    rows: dict[str, list[Row]] = {name: [] for name in names}
    with short_folder() as folder, targets(folder) as there:
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                rows[name].append(one_round(name, there, count, seconds))
    return rows


def many(count: int, seconds: float) -> Row:
    """Run so many services, of which a tenth hangs, and return how late things are, in seconds."""
    with short_folder() as folder, targets(folder) as there:
        urls = [url if n % 10 else f"http://{HOST}:{there.hung}/{n}" for n, url in enumerate(there.urls(count))]
        with watchbridge(folder, services(urls, LONG_EVERY)) as (program, port):
            first = "first probes of all services"
            until(lambda: total(samples(port), "watchbridge_probe_runs_total") >= count, 3 * LONG_EVERY, first)
            return _watched(program.pid, port, count, seconds)


def _watched(pid: int, port: int, count: int, seconds: float) -> Row:
    answers: list[float] = []
    over = threading.Event()

    def poll() -> None:
        while not over.wait(POLL_SECONDS):
            begun = time.perf_counter()
            get(port, "/-/healthy")
            answers.append(time.perf_counter() - begun)

    before, cpu = samples(port), cpu_seconds(pid)
    poller = threading.Thread(target=poll)
    poller.start()
    scrapes: list[float] = []
    begun = time.monotonic()
    after = before
    while time.monotonic() < begun + seconds:
        time.sleep(EVERY)
        asked = time.perf_counter()
        after = samples(port)
        scrapes.append(time.perf_counter() - asked)
    over.set()
    poller.join()
    runs = total(after, "watchbridge_probe_runs_total") - total(before, "watchbridge_probe_runs_total")
    answers.sort()
    return {
        "runs": runs,
        "runs due": count * (time.monotonic() - begun) / LONG_EVERY,
        "runs left out": total(after, "watchbridge_probe_skipped") - total(before, "watchbridge_probe_skipped"),
        "99 of 100 runs began within, s": late(before, after, 0.99),
        "longest scrape, s": max(scrapes),
        "median answer of /-/healthy, s": median(answers),
        "99 of 100 answers of /-/healthy within, s": answers[int(len(answers) * 0.99)],
        "longest answer of /-/healthy, s": answers[-1],
        "CPU seconds for 1,000 runs": 1000 * (cpu_seconds(pid) - cpu) / runs,
        "memory, MiB": resident_mib(pid),
    }


def late(before: Mapping[str, float], after: Mapping[str, float], share: float) -> float:
    """Return within how many seconds a share of the runs began: the upper bound of a bucket of the lag."""
    name = 'watchbridge_probe_lag_seconds_bucket{le="'
    counts = {sample[len(name) : -2]: after[sample] - before[sample] for sample in after if sample.startswith(name)}
    wanted = share * counts["+Inf"]
    return min(float(bound) for bound, count in counts.items() if count >= wanted)


def show(rows: dict[str, list[Row]], large: Row | None, count: int) -> None:
    """Print the tables."""
    if any(rows.values()):
        print(f"CPU seconds for 1,000 probes{'min':>23} {'median':>10} {'max':>10}   to ours")
        ours = rows["watchbridge"]
        for name, what in itertools.product(
            rows, ("exporter", "Prometheus", "both", "exporter, MiB", "Prometheus, MiB")
        ):
            values, mine = ([row[what] for row in found] for found in (rows[name], ours))
            print(f"{name:22}{what:18}{described(values, 3)} {median(values) / median(mine):9.1f}")
    if large:
        print(f"\n{count:,} services at {LONG_EVERY:g} s, a tenth of them hung")
        for what, value in large.items():
            print(f"{what:44}{value:12,.3f}")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--targets", type=int, default=1000)
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--full", action="store_true")
    arguments.add_argument("--large", type=int, default=10_000)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    raise_descriptors()
    names = [name for name in SIDES if given.full or "full" not in name]
    rows = end_to_end(names, given.targets, given.seconds, given.rounds)
    large = many(given.large, 2 * given.seconds) if given.large else None
    show(rows, large, given.large)
    if given.json:
        given.json.write_text(json.dumps({"end_to_end": rows, "many": large}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
