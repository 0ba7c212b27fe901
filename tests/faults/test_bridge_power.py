"""The power is cut while deliveries are stored: what was acknowledged is on the disk (F02)."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from e2e.bridge_scenes import Books, configuration, kept
from e2e.service_scenes import base
from faults.rounds import rounds
from servers import powercut
from servers.deliveries import History, Sender
from servers.program import Program
from servers.programs import until

if TYPE_CHECKING:
    from pathlib import Path

    from servers.powercut import Event

DELIVERIES = 60
"""Enough for SQLite to move what is in its log to the database at least once."""
HOW = ("nothing", "prefix", "torn")


@pytest.fixture
def strace() -> str:
    """Give the path of strace."""
    found = shutil.which("strace")
    if found is None and os.environ.get("CI"):
        pytest.fail("strace is not installed: run tests/install-servers", pytrace=False)
    if found is None:
        pytest.skip("strace is not installed: tests/install-servers does that")
    return found


def test_f02_what_was_acknowledged_is_on_the_disk_when_the_power_is_cut(
    strace: str, watchbridge, tmp_path: Path
) -> None:
    """At any moment, whatever became of what was not synced: every acknowledged alert is there, and the file whole."""
    config = configuration(tmp_path)
    history = History(tmp_path / "history")
    happened = _traced(strace, watchbridge, config, history, tmp_path)
    in_order = [line.split()[1] for line in history.path.read_text().splitlines() if line.startswith("acked ")]
    writes = sum(event.what == "write" for event in happened)
    assert writes > DELIVERIES
    assert any(event.what == "sync" and event.path.endswith(".db") for event in happened), "nothing was moved"

    chance = random.Random(2)  # noqa: S311 - a test
    first = next(place for place, event in enumerate(happened) if event.what == "answer")
    moments = sorted(chance.randrange(first, len(happened)) for _ in range(rounds(25, 500)))
    disk, done = powercut.Disk(), 0
    for number, moment in enumerate(moments):
        for event in happened[done : moment + 1]:
            disk.happen(event)
        done = moment + 1
        after = tmp_path / f"cut-{number}"
        after.mkdir()
        disk.cut(after, HOW[number % 3], chance)
        books = Books(f"sqlite:///{after}/watchbridge.db")
        assert books.whole(), (number, moment)
        kept(books, history.of("sent"), set(in_order[: disk.answers * ALERTS]))
        shutil.rmtree(after)
    assert disk.answers > DELIVERIES / 2


def test_f02_the_cut_finds_what_was_not_synced(strace: str, watchbridge, tmp_path: Path) -> None:
    """On a disk that ignores syncs the same cuts lose what was acknowledged: the test above could fail."""
    config = configuration(tmp_path)
    history = History(tmp_path / "history")
    disk = powercut.Disk(syncs=False)
    for event in _traced(strace, watchbridge, config, history, tmp_path, 3):
        disk.happen(event)
    after = tmp_path / "cut"
    after.mkdir()
    disk.cut(after, "nothing", random.Random(3))  # noqa: S311 - a test
    assert disk.answers >= 3
    assert sum(path.stat().st_size for path in after.iterdir()) == 0


ALERTS = 5


def _traced(
    strace: str, watchbridge, config: dict, history: History, folder: Path, deliveries: int = DELIVERIES
) -> list[Event]:
    """Let a program take deliveries, one after the other, and return what it did to its files meanwhile."""
    run, trace = folder / "traced", folder / "trace"
    run.mkdir()
    served = [sys.executable, "-m", "exporter", "serve", "--config", str(watchbridge.configuration(config))]
    argv = [strace, *powercut.ARGUMENTS, "-o", str(trace), *served]
    program = Program(argv, run, watchbridge.environment())
    watchbridge.started.append(program)
    program.wait_ready()
    # Of one at a time the order of the answers is that of the acknowledgements.
    with Sender(base(program), history, threads=1, alerts=ALERTS) as sender:
        until(lambda: sender.acked() >= deliveries, 60, "the deliveries to be stored")
    assert (set(sender.statuses), sender.failures) == ({200}, {})
    with trace.open() as lines:
        os.kill(int(next(lines).split()[0]), signal.SIGTERM)  # strace keeps signals to itself
    assert program.wait() == 0
    return powercut.events(trace, folder / "state")
