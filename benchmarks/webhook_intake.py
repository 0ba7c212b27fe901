"""Measure the webhook: ten alerts a request, on the disk before the answer, 64 connections.

    python benchmarks/webhook_intake.py [--rounds 5] [--seconds 3] [--no-slow] [--json FILE]

In turn, one at a time: an aiohttp server that reads the body and answers 200, `watchbridge serve` with a token and one
rule that enqueues, and the same with one transaction for each request in place of one for all that wait, each on
SQLite (synchronous=FULL) and on PostgreSQL. `new`: alerts that nobody has seen; each makes an incident, an item and an
entry of the audit. `again`: re-sends of what is known. On the slow disk each fsync takes 10 ms: the store is in memory
and strace delays the call, SQLite only. CPU is user plus system time of the server, without PostgreSQL's own.
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

from intake_contenders import Contender, durable_postgresql, in_memory, nothing, watchbridge
from servers.programs import short_folder

WORKLOADS = ("new", "again")
WARM_SECONDS = 0.5


def alternate(contenders: list[Contender], rounds: int, seconds: float) -> None:
    """Let each alone in turn; who goes first changes."""
    for contender in contenders:
        contender.ask("first", 0)
        contender.ask("new", WARM_SECONDS)
    for number in range(rounds):
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            for what in WORKLOADS:
                contender.round(what, seconds)


def usual(rounds: int, seconds: float) -> list[Contender]:
    """Return the contenders after their rounds on the disk that is there."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        server = stack.enter_context(durable_postgresql())
        contenders = [stack.enter_context(nothing(folder))]
        for way, group in (("", True), (", one by one", False)):
            file = f"sqlite:///{folder}/state{int(group)}/watchbridge.db"
            for engine, url in (("SQLite", file), ("PostgreSQL", server.create_database())):
                contenders.append(stack.enter_context(watchbridge(f"{engine}{way}", folder, url, group=group)))
        alternate(contenders, rounds, seconds)
        return contenders


def slow(rounds: int, seconds: float) -> list[Contender]:
    """Return ours and the one without groups after their rounds on a disk whose fsync takes 10 ms."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(in_memory())
        contenders = []
        for name, group in (("SQLite, one by one", False), ("SQLite", True)):
            url = f"sqlite:///{folder}/state{int(group)}/watchbridge.db"
            contenders.append(stack.enter_context(watchbridge(name, folder, url, group=group, slow=True)))
        alternate(contenders, rounds, seconds)
        return contenders


def described(values: list[float], digits: int = 0) -> str:
    """Return minimum, median and maximum."""
    return " ".join(f"{one:8.{digits}f}" for one in (min(values), median(values), max(values)))


def show(title: str, contenders: list[Contender]) -> None:
    """Print a table for each workload, with ratios to the first contender, round by round."""
    for what in WORKLOADS:
        print(f"\n{title}, {what}: requests/s, to the first (both min, median, max); ms of CPU; ms p50 and p99")
        first = contenders[0]
        for one in contenders:
            rate = one.figures(what, "rate")
            ratios = [mine / theirs for mine, theirs in zip(rate, first.figures(what, "rate"), strict=True)]
            cpu = median(one.figures(what, "cpu"))
            less = median(first.figures(what, "cpu")) / cpu
            late = [1000 * median(one.figures(what, figure)) for figure in ("p50", "p99")]
            print(
                f"{one.name:24}{described(rate)}   {described(ratios, 3)}   {cpu:6.3f} ({less:.3f})"
                f"   {late[0]:7.1f} {late[1]:7.1f}"
            )


def main() -> None:
    """Measure both disks and print their tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=3.0)
    arguments.add_argument("--no-slow", action="store_true")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    found: dict[str, Any] = {}
    for title, measure in (("this disk", usual), *(() if given.no_slow else (("fsync of 10 ms", slow),))):
        contenders = measure(given.rounds, given.seconds)
        show(title, contenders)
        found[title] = {one.name: one.rounds for one in contenders}
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
