"""Processes that work off one store share what there is (F09)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, new

from exporter.store import backlog

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS = 5000
WORKER = """
import asyncio, sys, time
from exporter.store import backlog_claims
from exporter.store.action_runs import Ended
from exporter.store.backlog_claims import Begin, Finish, Holder, Wish
from exporter.store.options import StoreOptions
from exporter.store.store import Store

async def work(store, name):
    holder, ends, mine = Holder(name, name, 30.0), [], []
    while True:
        async with store.writing() as connection:
            assert len(await backlog_claims.finished(connection, holder.owner, ends)) == len(ends)
            wish, begin = Wish("q", 50, ("pending",)), Begin("command", "/bin/true")
            found = await backlog_claims.claimed(connection, store, holder, wish, lambda *_: begin)
        ends = [Finish(one, "done", "", 200.0, Ended(one.id, one.fence, "done", "", "", 200.0)) for one in found.begun]
        mine += [one.id for one in found.begun]
        if not ends:
            return mine

async def main(url, name):
    store = await Store.open(StoreOptions.from_scalar(url), time, exclusive=False)
    print("ready", flush=True)
    sys.stdin.readline()
    found = await asyncio.gather(*(work(store, f"{name}-{place}") for place in range(3)))
    await store.close()
    print(*(number for mine in found for number in mine))

asyncio.run(main(*sys.argv[1:]))
"""


def both(url: str) -> list[list[int]]:
    """Let two processes claim until nothing is left, and return the numbers that each had."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        said = [worker.communicate(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [error for _, error in said] == ["", ""]
    return [[int(number) for number in out.split()] for out, _ in said]


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
async def test_two_processes_claim_each_item_once(
    new_url: Callable[[str], str], open_store: Callable[..., Any], engine: str
) -> None:
    """Five thousand items, two processes with three claims at a time each: none twice, none left, no deadlock."""
    url = new_url(engine)
    store = await open_store(url)
    await enqueue(store, [new(f"k{place}") for place in range(ITEMS)])
    shares = await asyncio.to_thread(both, url)
    assert all(shares)
    claimed = [number for share in shares for number in share]
    assert len(claimed) == len(set(claimed)) == ITEMS
    assert await backlog.counts(store) == {("q", "done"): ITEMS}
