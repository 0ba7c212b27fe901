"""Restarts whose end nobody saw, in a worker: taken over, stopped, given back; each counts once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from servers.restarts import (
    FAILS,
    HELPS_NOT,
    Machine,
    attempts,
    circuit_of,
    fires,
    held_leases,
    looked,
    moving,
    opened,
    turned,
    written,
)

from exporter.circuit import Key
from exporter.store import action_runs, service_restarts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine with fences of its own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("engine", "helps"), [("sqlite", True), ("sqlite", False), ("postgres", False), ("mariadb", False)]
)
async def test_a_restart_whose_end_nobody_saw(
    engine: str, new_url: Callable[[str], str], place: Callable[..., Any], machine: Machine, *, helps: bool
) -> None:
    """Health first: what is well is done, what is not has failed and counts, and only then is it tried again (I7)."""
    here = await place(written({"web": machine.service("web", None if helps else HELPS_NOT)}), new_url(engine))
    killed = here.worker("old")
    [number] = await fires(here, "web")
    await looked(killed, 1.0)
    async with moving(here.clock):
        await here.ended(killed)
    killed.leases.runs.clear()  # it was killed before it wrote how the run ended
    assert await held_leases(here) == {"web": number}
    await here.put(number, lease_until=1.0)
    worker = here.worker()
    await looked(worker)
    async with moving(here.clock):
        await here.ended(worker)
    assert machine.marks("web") == 1
    await worker.record()
    item = await here.item(number)
    assert (item.state, item.fence) == ("done" if helps else "failed", 2)
    assert item.explanation.startswith("the end of its run was not seen; it is ")
    assert [run.outcome for run in await action_runs.of(here.store, number)] == ["interrupted"]
    assert await attempts(here) == [(None, helps)]
    assert await held_leases(here) == {}
    assert (await circuit_of(here, "web"))[0].failures == int(not helps)
    assert await here.counted() == {("restarts", "command", "interrupted"): 1.0}
    await turned(worker)
    assert machine.marks("web") == (1 if helps else 2)


async def test_who_was_taken_over_changes_nothing_any_more(place: Callable[..., Any], machine: Machine) -> None:
    """A replica that was stopped for longer than its lease writes into no circuit and ends no attempt (F08)."""
    here = await place(written({"web": machine.service("web", FAILS, timing={"delay": "1h"})}))
    slept, other = here.worker("slept"), here.worker("other")
    await turned(slept)
    await turned(other)
    [number] = await fires(here, "web")
    await looked(slept, 1.0)
    await here.ended(slept)
    await here.put(number, lease_until=1.0)
    machine.up("web").touch()
    await turned(other)

    async def seen() -> Any:
        return (
            await here.item(number),
            await circuit_of(here, "web"),
            await service_restarts.history(here.store, None, since=0.0),
            await here.counted(),
            await held_leases(here),
        )

    before = await seen()
    assert before[0].state == "done"
    await slept.record()
    assert await seen() == before
    assert slept.leases.runs == {}


async def test_what_takes_over_for_a_service_that_is_gone_ends_its_attempt(
    place: Callable[..., Any], machine: Machine
) -> None:
    """Nobody can judge it: it is left to a person, and no attempt runs on in the books."""
    here = await place(written({"web": machine.service("web"), "api": machine.service("api")}))
    killed = here.worker("old")
    [number] = await fires(here, "web")
    await looked(killed, 1.0)
    await here.ended(killed)
    killed.leases.runs.clear()
    worker = here.worker()
    here.adopt(worker, written({"api": machine.service("api")}))
    await turned(worker)
    assert (await here.state(number), await held_leases(here)) == ("dead", {})
    [found] = await service_restarts.history(here.store, "web", since=0.0)
    assert found.ended_at is not None
    assert (found.acted, found.verified) == (None, None)


@pytest.mark.parametrize("helps", [True, False], ids=["healthy", "unhealthy"])
async def test_at_the_end_of_the_server_what_runs_is_stopped_and_judged(
    place: Callable[..., Any], machine: Machine, *, helps: bool
) -> None:
    """As after a crash; its lease is given back, and nothing of it runs on."""
    pid = machine.folder / "pid"
    mends = f"touch {machine.up('web')}" if helps else "true"
    then = f"{mends}; echo $$ > {pid}; exec sleep 60"
    here = await place(written({"web": machine.service("web", then)}))
    worker = here.worker()
    [number] = await fires(here, "web")
    await looked(worker, 1.0)
    async with asyncio.timeout(20):
        while not pid.exists() or not pid.read_text().endswith("\n"):  # noqa: ASYNC110 -- a process says it
            await asyncio.sleep(0.01)
    async with moving(here.clock):
        await worker.close(0.0)
    item = await here.item(number)
    assert (item.state, item.lease_owner) == ("done" if helps else "failed", None)
    assert item.explanation.startswith("the end of its run was not seen (the server was stopped); it is ")
    assert await held_leases(here) == {}
    assert await attempts(here) == [(None, helps)]
    assert await here.counted() == {("restarts", "command", "interrupted"): 1.0}
    assert worker.leases.acting() == []


async def test_what_was_claimed_too_late_is_given_back(place: Callable[..., Any], machine: Machine) -> None:
    """Nothing of it began: no attempt is counted, the service is free, and another one is the trial."""
    here = await place(written({"web": machine.service("web")}))
    await opened(here, Key("service", "web"), ago=1.0)
    worker = here.worker()
    [number] = await fires(here, "web")
    holds, worker.leases.holds = worker.leases.holds, lambda _run: False
    await looked(worker, 1.0)
    assert (await circuit_of(here, "web"))[0].trial == number
    await here.ended(worker)
    item = await here.item(number)
    assert (item.state, item.attempts) == ("pending", 0)
    assert (await circuit_of(here, "web"))[0].trial is None
    assert (await attempts(here), await held_leases(here), machine.marks("web")) == ([], {}, 0)
    worker.leases.holds = holds
    await turned(worker)
    assert (await here.state(number), machine.marks("web"), await attempts(here)) == ("done", 1, [(True, True)])


async def test_a_claim_whose_answer_was_lost_is_given_back(place: Callable[..., Any], machine: Machine) -> None:
    """Once: the service is restarted once, and there is one attempt (F05)."""
    here = await place(written({"web": machine.service("web")}))
    await opened(here, Key("service", "web"), ago=1.0)
    worker = here.worker()
    await turned(worker)
    [number] = await fires(here, "web")
    here.store.plan.append("lost")
    worker.wake()
    await worker.tick()
    assert worker.trouble is not None
    assert (await here.state(number), await held_leases(here), machine.marks("web")) == ("running", {"web": number}, 0)
    await turned(worker)
    await turned(worker)
    assert (await here.state(number), machine.marks("web"), await attempts(here)) == ("done", 1, [(True, True)])
    assert (await circuit_of(here, "web"))[1] == "closed"
