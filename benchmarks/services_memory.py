"""Measure the memory and the start of `watchbridge serve` by the number of its services.

    python benchmarks/services_memory.py [--services 0 1000 10000] [--json FILE]

Each service is an HTTP probe of a local target every 60 s, the store is SQLite. Memory is what is resident after each
service was probed twice and a few scrapes as Prometheus makes them. The times count from the start of the process:
until it listens, until a scrape shows all services, until all of them were probed. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from probe_contenders import raise_descriptors, resident_mib, targets, watchbridge
from probes import LONG_EVERY, Row, samples, services, total
from servers.programs import short_folder, until

GOAL_MIB = 150.0
SCRAPES = 4
PATIENCE = 3 * LONG_EVERY


def shown(found: dict[str, float]) -> int:
    """Return how many services a scrape shows."""
    return sum(sample.startswith("watchbridge_service_state{") and 'state="up"' in sample for sample in found)


def measured(count: int) -> Row:
    """Start the program with so many services and return times in seconds and memory in MiB."""
    with short_folder() as folder, targets(folder) as there:
        begun = time.monotonic()
        with watchbridge(folder, services(there.urls(count), LONG_EVERY)) as (program, port):
            row = {"listens after, s": time.monotonic() - begun}
            until(lambda: shown(samples(port)) == count, PATIENCE, "a scrape with all services")
            row["all are shown after, s"] = time.monotonic() - begun
            row["memory then, MiB"] = resident_mib(program.pid)
            until(lambda: there.served() >= count, PATIENCE, "a probe of each")
            row["all were probed after, s"] = time.monotonic() - begun
            until(lambda: there.served() >= 2 * count, PATIENCE, "two probes of each")
            for _ in range(SCRAPES):
                found = samples(port)
                time.sleep(1.0)
            row["services up"] = sum(
                value for sample, value in found.items() if sample.startswith("watchbridge_service_state{")
            )
            row["series"] = len(found)
            row["runs"] = total(found, "watchbridge_probe_runs_total")
            row["memory, MiB"] = resident_mib(program.pid)
            return row


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--services", type=int, nargs="+", default=[0, 1000, 10_000])
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    raise_descriptors()
    rows = {count: measured(count) for count in given.services}
    print(f"{'services':28}" + "".join(f"{count:>12,}" for count in rows))
    for what in next(iter(rows.values()), {}):
        print(f"{what:28}" + "".join(f"{row[what]:12,.1f}" for row in rows.values()))
    print(f"The goal at 10,000 services is less than {GOAL_MIB:g} MiB.")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
