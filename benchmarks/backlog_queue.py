"""Measure durable queues: enqueue, claim and complete, each step with its commit, over ten connections.

    python benchmarks/backlog_queue.py [--rounds 5] [--batches 1 10 100] [--jobs 500] [--python PATH] [--json FILE]

Ours is the backlog as the worker of `serve` uses it: claim with gate, plan, lease, fence and a row for the run, then
its end with counters. Beside it on the same PostgreSQL, each in a database of its own: PgQueuer as its own workers run
it (a queue manager for each connection) and by its bare queries, and Procrastinate by its job manager, which claims and
completes one by one whatever the batch is (so it gets fewer jobs). pg-boss is a program for Node and is not run here.
One at a time, in turn, each in a process of its own with ten connections. Ours on SQLite (synchronous=FULL) is shown
alone: the peers have none. `--jobs` is for a batch of 1; larger batches get more. CPU is that of the client's process.
The peers are installed by pip into a temporary environment: needs the network once, Linux, and PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from intake_contenders import BENCHMARKS, durable_postgresql
from servers.program import CHECKOUT
from servers.programs import run, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 10
PEERS = ("pgqueuer==1.6.0", "procrastinate==3.10.0", "asyncpg==0.32.0", "psycopg[binary,pool]==3.3.9")
PEER = "pgqueuer, workers"
MORE = {1: 1, 10: 6, 100: 20}
"""How many times as many jobs a batch gets."""


@dataclass
class Contender:
    """A queue in its process, and what each round of a batch showed."""

    name: str
    process: subprocess.Popen[str]
    rounds: dict[int, list[dict[str, float]]] = field(default_factory=dict)

    def ask(self, jobs: int, batch: int) -> dict[str, float]:
        """Let it work off jobs and return what that took."""
        assert self.process.stdin
        assert self.process.stdout
        print(jobs, batch, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has ended.")
        found: dict[str, float] = json.loads(line)
        return found

    def figures(self, batch: int, figure: str) -> list[float]:
        """Return jobs a second of each round (`all`, `stored`, `worked`), or `cpu` in ms a job."""
        found = self.rounds[batch]
        if figure == "cpu":
            return [1000 * one["cpu"] / one["jobs"] for one in found]
        if figure == "all":
            return [one["jobs"] / (one["stored"] + one["worked"]) for one in found]
        return [one["jobs"] / one[figure] for one in found]


def peers_installed(folder: Path) -> Path:
    """Return a Python that has the peers."""
    venv.create(folder / "peers", with_pip=True)
    python = folder / "peers" / "bin" / "python"
    run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PEERS], seconds=600)
    return python


@contextlib.contextmanager
def started(name: str, kind: str, url: str, python: Path | str = sys.executable) -> Iterator[Contender]:
    """Start a queue in a process of its own."""
    argv = [str(python), str(BENCHMARKS / "queue_workers.py"), kind, url, str(CONNECTIONS)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield Contender(name, process)
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait(30)


def measured(folder: Path, batches: list[int], jobs: int, rounds: int, python: Path | None) -> list[Contender]:
    """Return the contenders after their rounds."""
    python = python or peers_installed(folder)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(durable_postgresql())
        file = f"sqlite:///{folder}/state/watchbridge.db"
        contenders = [
            stack.enter_context(started("watchbridge", "watchbridge", server.create_database())),
            stack.enter_context(started("pgqueuer, queries", "pgqueuer", server.create_database(), python)),
            stack.enter_context(started("pgqueuer, workers", "pgqueuer-workers", server.create_database(), python)),
            stack.enter_context(started("procrastinate", "procrastinate", server.create_database(), python)),
            stack.enter_context(started("watchbridge, SQLite", "watchbridge", file)),
        ]
        for contender in contenders:
            contender.ask(CONNECTIONS, 1)  # not counted
        for batch in batches:
            for number in range(rounds):
                first = number % len(contenders)
                for contender in contenders[first:] + contenders[:first]:
                    many = jobs if contender.name == "procrastinate" else jobs * MORE.get(batch, 1)
                    contender.rounds.setdefault(batch, []).append(contender.ask(many, batch))
        return contenders


def described(values: list[float], digits: int = 0) -> str:
    """Return minimum, median and maximum."""
    return " ".join(f"{one:8.{digits}f}" for one in (min(values), median(values), max(values)))


def show(contenders: list[Contender], batch: int) -> None:
    """Print the table of one batch."""
    (peer,) = (one for one in contenders if one.name == PEER)
    print(f"\nbatch {batch}: jobs/s and to {PEER} (each min, median, max); stored/s; completed/s; ms of CPU")
    for one in contenders:
        rate = one.figures(batch, "all")
        ratios = [mine / theirs for mine, theirs in zip(rate, peer.figures(batch, "all"), strict=True)]
        rest = [median(one.figures(batch, figure)) for figure in ("stored", "worked", "cpu")]
        print(f"{one.name:22}{described(rate)}   {described(ratios, 2)}   {rest[0]:8.0f} {rest[1]:8.0f} {rest[2]:8.3f}")


def main() -> None:
    """Measure each batch and print its table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--batches", type=int, nargs="+", default=[1, 10, 100])
    arguments.add_argument("--jobs", type=int, default=500)
    arguments.add_argument("--python", type=Path, help="one that has the peers already")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    with short_folder() as folder:
        contenders = measured(folder, given.batches, given.jobs, given.rounds, given.python)
    for batch in given.batches:
        show(contenders, batch)
    if given.json:
        found = {one.name: one.rounds for one in contenders}
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
