"""Restarts in a worker whose clock is set, or is not that of the store: nothing waits longer, or for less."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from servers.restarts import (
    FAILS,
    MANY,
    Machine,
    circuit_of,
    fires,
    opened,
    told,
    turned,
    written,
)

from exporter.circuit import Key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine with fences of its own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return Machine(tmp_path)


async def test_a_clock_that_is_set_forward_opens_no_half(place: Callable[..., Any], machine: Machine) -> None:
    """By a day: the circuit waits for as long as before, and a budget is spent for as long (I14)."""
    services = {
        "web": machine.service("web", FAILS, circuit={"failures": 1}, timing={"rest": "1s", "attempts": 1}),
        "api": machine.service("api"),
    }
    budgets = [{"scope": "service", "restarts": 1, "per": "1h", "names": ["api"]}]
    here = await place(written(services, budgets=budgets, fleet_breaker={"enabled": False}))
    worker = here.worker()
    web, _ = await fires(here, "web", "api")
    await turned(worker)
    machine.up("api").unlink()
    for seconds in (86_400.0, -86_400.0, 86_400.0):
        here.clock.pass_(1.0)
        here.clock.set(seconds)
        [api] = await fires(here, "api")
        await turned(worker, 60.0)
        assert await told(here, [web, api]) == [("held", "circuit"), ("held", "budget")]
    assert (machine.marks("web"), machine.marks("api")) == (1, 1)
    await turned(worker, 125.0)
    assert (machine.marks("web"), machine.marks("api")) == (2, 1)


async def test_what_fails_again_is_restarted_though_the_clock_was_set(
    place: Callable[..., Any], machine: Machine
) -> None:
    """Its alert fired after the last restart that helped, whatever the clock said when (I14)."""
    here = await place(written({"web": machine.service("web")}))
    worker = here.worker()
    await fires(here, "web")
    await turned(worker)
    machine.up("web").unlink()
    here.clock.pass_(20.0)
    [number] = await fires(here, "web", due_in=60.0)
    here.clock.set(86_400.0)
    await turned(worker, 61.0)
    await turned(worker)
    assert (await here.state(number), machine.marks("web")) == ("done", 2)


@pytest.mark.parametrize("seconds", [-60.0, 60.0], ids=["slow", "fast"])
async def test_what_fails_again_is_restarted_though_our_clock_is_wrong(
    new_url: Callable[[str], str], place: Callable[..., Any], machine: Machine, seconds: float
) -> None:
    """By a minute: what fires after a restart that helped is not what led to it, and what fired before it is."""
    services = {"web": machine.service("web", node="here")}
    here = await place(written(services, node="here", restarts=MANY), new_url("postgres"))
    here.clock.set(time.time() + seconds - here.clock.time())
    worker = here.worker()
    numbers = await fires(here, "web", "web")
    await turned(worker)
    machine.up("web").unlink()
    await turned(worker)
    assert (await told(here, numbers), machine.marks("web")) == ([("done", None)] * 2, 1)
    numbers = await fires(here, "web")
    await turned(worker)
    assert (await told(here, numbers), machine.marks("web")) == ([("done", None)], 2)


async def test_a_store_that_fails_while_the_clock_is_followed_moves_nothing_twice(
    place: Callable[..., Any], machine: Machine
) -> None:
    """Set back by a day and moved by two, the circuit would be half-open at once (I4, I14)."""
    here = await place(written({"web": machine.service("web")}))
    worker = here.worker()
    await opened(here, Key("service", "web"), ago=-300.0)
    await turned(worker)
    here.clock.set(-86_400.0)
    here.store.plan.extend(["well", "before"])
    await worker.tick()
    assert worker.trouble is not None
    await worker.tick()
    assert (await circuit_of(here, "web"))[1] == "open"
