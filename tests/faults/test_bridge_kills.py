"""The bridge is killed at any moment: while it stores deliveries, and at each step of working off an item."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.bridge_scenes import FIX, Books, Script, configuration, conserved, kept, no_tracebacks
from e2e.service_scenes import base, ready
from faults.rounds import rounds
from servers.crashes import POINTS, crashing
from servers.deliveries import History, Sender, alert, payload, post
from servers.programs import until

if TYPE_CHECKING:
    from servers.program import Program

READY_SECONDS = 30.0


def test_f01_killed_while_it_stores_it_loses_nothing_that_it_acknowledged(watchbridge, tmp_path: Path) -> None:
    """Killed again and again under load: each acknowledged alert is there once with its item, and the file is whole."""
    config = configuration(tmp_path)
    history, books = History(tmp_path / "history"), Books(config["store"])
    moments = random.Random(1)  # noqa: S311 - a test
    program = watchbridge("serve", config=config)
    with Sender(base(program), history) as sender:
        for _ in range(rounds(20, 500)):
            # Half of the kills hit it in its first deliveries, before it is warm.
            acked, due = sender.acked(), time.monotonic() + moments.uniform(0.05, 0.5)
            until(lambda acked=acked: sender.acked() > acked, READY_SECONDS, "a delivery to be acknowledged")
            until(lambda due=due: time.monotonic() > due, 5, "the moment of the kill")
            program.kill()
            assert books.whole()
            program = watchbridge("serve", config=config)
            assert ready(program)[0] == 200
    assert sender.unexpected == []
    assert set(sender.statuses) <= {200, 503}
    kept(books, history.of("sent"), history.of("acked"))
    conserved(program, books)
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


QUEUES = ("dead", "retry", "up", "down")
"""What becomes of an item whose run nobody saw end: kept, tried again, or as a probe says."""
CALLS = 4
"""A crash comes the first to fourth time that a point is reached, so that other items are in every other state."""


def _interrupted(script: Script, queue: str) -> dict:
    judged = {
        "dead": {},
        "retry": {"interrupted": "retry"},
        "up": {"verify": {"kind": "command", "argv": ["/bin/true"]}},
        "down": {"verify": {"kind": "command", "argv": ["/bin/false"]}},
    }
    return script.queue(attempts=3, concurrency=2, **judged[queue])


def _started(program: Program) -> bool:
    return bool(program.urls()) or program.exit_code is not None


@pytest.mark.parametrize("point", POINTS)
def test_f03_killed_while_it_works_it_does_nothing_twice_unless_told_to(
    watchbridge, point: str, tmp_path: Path
) -> None:
    """At each point of a run: what was begun is not begun again but where the queue or a probe says so; all ends."""
    scripts = {queue: Script(tmp_path, name=queue) for queue in QUEUES}
    rules = [{**FIX, "name": queue, "queue": queue, "continue": True} for queue in QUEUES]
    queues = {queue: _interrupted(script, queue) for queue, script in scripts.items()}
    config = configuration(tmp_path, rules=rules, queues=queues)
    books = Books(config["store"])
    for number in range(rounds(3, 150)):
        env = crashing(watchbridge, tmp_path, point, number % CALLS + 1)
        program = watchbridge("serve", config=config, env=env, wait=False)
        until(partial(_started, program), READY_SECONDS, "the start, or the crash")
        with contextlib.suppress(OSError, HTTPException, IndexError):  # it may be killed before it has answered
            post(base(program), payload([alert(f"{point.replace(' ', '-')}-{number}")]))
        assert program.wait(READY_SECONDS) == -signal.SIGKILL
    program = watchbridge("serve", config=config)
    over = "SELECT count(*) FROM backlog_items WHERE state NOT IN ('done', 'dead')"
    until(lambda: books.number(over) == 0, 60, "every item to end")
    for queue, script in scripts.items():
        began = script.began()
        assert script.overlaps() == [], queue
        assert began.keys() <= books.states(queue).keys()
        most = 3 if queue in {"retry", "down"} else 1
        assert {key: count for key, count in began.items() if count > most} == {}
        for key, state in books.states(queue).items():
            # Only a probe may say of what was never begun that it is done.
            assert state == "dead" or began[key] or queue == "up", (queue, key)
    # Whoever was killed in each of its attempts has none left.
    assert set(books.states("retry").values()) <= {"done", "dead"}
    left = "SELECT count(*) FROM backlog_items WHERE queue = 'retry' AND state = 'dead' AND attempts < 3"
    assert books.number(left) == 0
    conserved(program, books)
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


def _alive(pid: int) -> bool:
    # A zombie has ended: whoever took it over has not asked for its status yet.
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_f03_what_a_killed_server_was_running_does_not_outlive_its_deadline(watchbridge, tmp_path: Path) -> None:
    """It ends with its server, or when its time is over, and the next try finds nothing of it running."""
    script = Script(tmp_path, 'echo $$ >> "$here/pids"; sleep 60')
    queue = script.queue(attempts=2, interrupted="retry")
    queue["action"]["timeout"] = "2s"
    config = configuration(tmp_path, queues={"fix": queue})
    program = watchbridge("serve", config=config)
    assert post(base(program), payload([alert("orphan")])).status == 200
    pids = until(lambda: (script.folder / "pids").exists() and (script.folder / "pids").read_text(), 20, "the run")
    program.kill()
    orphan = int(pids.split()[0])
    try:
        until(lambda: not _alive(orphan), 10, "the end of what was left running")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(orphan, signal.SIGKILL)  # what it had started in turn
    again = watchbridge("serve", config=config)
    until(lambda: script.began()["orphan"] == 2, 20, "the second try")
    assert script.overlaps() == []
    until(lambda: Books(config["store"]).states() == {"orphan": "dead"}, 20, "the deadline of the second try")
    assert again.stop() == 0
    no_tracebacks(watchbridge.started)
