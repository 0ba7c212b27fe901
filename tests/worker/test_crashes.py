"""A server that is killed at each point of a run: nothing is run again before it was judged (F03, I7)."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from exporter.store import action_runs, backlog

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = """
import asyncio, os, signal, sys
from exporter import acting, config, probing
from exporter.clock import SystemClock
from exporter.services.maintenance import Maintenance
from exporter.store.options import StoreOptions
from exporter.store.store import Store
from exporter.worker import books, runs, worker

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def main(url, text, point):
    clock = SystemClock()
    if point == "before":
        runs.acting.run = kill
    elif point == "after":
        books.Books.record = kill
    elif point == "recorded":
        written = books.counters.added
        async def added(*arguments):
            await written(*arguments)
            if arguments[2]:
                kill()
        books.counters.added = added
    store = await Store.open(StoreOptions.from_scalar(url), clock, exclusive=True)
    configuration = config.parse(text, name="test.yml")
    maintenance = Maintenance(())
    maintenance.known = True
    parts = probing.Parts(wire=None, databases={}, clock=clock, permits=lambda _: True)
    made = worker.Worker(store, clock, "old", "")
    made.adopt(configuration, acting.Parts(clock=clock), parts, maintenance)
    made.start()
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


VERIFY = ", verify: {kind: command, argv: [/usr/bin/test, -s, MARKS]}"
RAN = {"before": 0, "running": 1, "after": 1, "recorded": 1}


@pytest.mark.parametrize("verify", ["", VERIFY], ids=["unverified", "verified"])
@pytest.mark.parametrize("point", RAN)
async def test_a_kill_at_each_point(
    place: Callable[..., Any], new_url: Callable[[str], str], marks: Any, point: str, verify: str
) -> None:
    """The next server judges the run by the probe, or keeps it for a person; the action ran once at most until then."""
    ran, state = RAN[point], "done" if verify else "dead"
    url = new_url("sqlite")
    action = marks.action("kill -9 $PPID; sleep 60" if point == "running" else "")
    text = f"mode: auto\nqueues: {{q: {{{action}, backoff: [0s]{verify.replace('MARKS', str(marks.path))}}}}}\n"
    here = await place(text, url)
    number = await here.add()
    process = subprocess.run(  # noqa: ASYNC221 -- nothing else runs on this loop
        [sys.executable, "-c", SERVER, url, text, point], capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == -9, process.stderr
    assert (await here.state(number), marks.count) == ("running", ran)
    worker = here.worker()
    await here.turn(worker)
    item = await here.item(number)
    if point == "before" and verify:
        # It was not done, so it is tried again, and done.
        assert (item.state, marks.count) in {("failed", 0), ("done", 1)}
        await here.turn(worker)
        item = await here.item(number)
    assert item.state == state
    assert marks.count == max(ran, int(state == "done"))
    assert (await action_runs.of(here.store, number))[0].outcome == "interrupted"
    assert (await here.counted())["q", "command", "interrupted"] == 1.0
    assert await backlog.counts(here.store) == {("q", state): 1}
