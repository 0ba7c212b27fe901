"""Restarts in a worker that are held: by windows, budgets, the fleet, silences, alarms; what is up is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, new, resolve
from servers.restarts import (
    FAILS,
    MANY,
    Machine,
    attempts,
    fires,
    once_fixed,
    told,
    turned,
    written,
)

from exporter import fences
from exporter.circuit import CLOSED, Key
from exporter.restarting import attempt as restarting
from exporter.store import action_runs, backlog, circuits, restart_facts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WINDOW = {"all": True, "start": "2026-05-01T11:00:00Z", "end": "2026-05-01T12:01:00Z", "comment": "upgrade"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine with fences of its own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return Machine(tmp_path)


async def test_what_a_window_holds_is_done_once_when_it_ends(place: Callable[..., Any], machine: Machine) -> None:
    here = await place(written({"web": machine.service("web")}, windows=[WINDOW]))
    worker = here.worker()
    [number] = await fires(here, "web")
    for _ in range(3):
        await turned(worker, 16.0)
        assert await told(here, [number]) == [("held", "window")]
    for _ in range(3):
        await turned(worker, 16.0)
    assert (await told(here, [number]), machine.marks("web")) == ([("done", None)], 1)
    assert await here.counted() == {("window",): 1.0, ("restarts", "command", "done"): 1.0}


async def test_what_a_budget_holds_begins_when_there_is_some_again(place: Callable[..., Any], machine: Machine) -> None:
    """In the order in which it was due; what restarted nothing costs nothing."""
    services = {name: machine.service(name) for name in ("web", "api", "db")}
    machine.up("db").touch()
    budgets = [{"scope": "all", "restarts": 1, "per": "60s"}]
    here = await place(written(services, budgets=budgets, fleet_breaker={"enabled": False}))
    worker = here.worker()
    [db] = await fires(here, "db")
    await turned(worker)
    assert await told(here, [db]) == [("pending", None)]
    await resolve(here.store, (await here.item(db)).incident_id)
    numbers = await fires(here, "web") + await fires(here, "api", due_in=1.0)
    await turned(worker)
    assert await told(here, numbers) == [("done", None), ("held", "budget")]
    await turned(worker, 50.0)
    assert machine.order() == ["web"]
    await turned(worker, 12.0)
    assert (await told(here, numbers), machine.order()) == ([("done", None)] * 2, ["web", "api"])
    assert await attempts(here) == [(False, None), (True, True), (True, True)]


async def test_a_look_at_what_is_up_holds_nobody(place: Callable[..., Any], machine: Machine) -> None:
    """It restarts nothing: what waits for the budget meanwhile must not wait for all of the budget's time."""
    services = {name: machine.service(name) for name in ("web", "db")}
    machine.up("db").touch()
    budgets = [{"scope": "all", "restarts": 1, "per": "1h"}]
    here = await place(written(services, budgets=budgets, fleet_breaker={"enabled": False}))
    worker = here.worker()
    await fires(here, "db")
    [web] = await fires(here, "web")
    for _ in range(3):
        await turned(worker, 10.0)
    assert (await here.state(web), machine.order()) == ("done", ["web"])


async def test_a_look_at_what_is_up_is_no_attempt(place: Callable[..., Any], machine: Machine) -> None:
    """However often it is looked at while its alert fires: what is down then is restarted as for the first time."""
    machine.up("web").touch()
    timing = {"rest": "10s", "attempts": 1}
    here = await place(written({"web": machine.service("web", once_fixed(machine, "web"), timing=timing)}))
    worker = here.worker()
    [number] = await fires(here, "web")
    for _ in range(3):
        await turned(worker, 11.0)
        item = await here.item(number)
        assert (item.state, item.attempts) == ("pending", 0)
        assert item.explanation.endswith("; looked at again while its alert fires")
    assert (machine.marks("web"), await here.counted()) == (0, {("restarts", "command", "healthy"): 3.0})
    machine.up("web").unlink()
    await turned(worker, 11.0)
    item = await here.item(number)
    assert (item.state, item.attempts, item.explanation) == ("failed", 1, "exit status 1 (attempt 1)")
    outcomes = [run.outcome for run in await action_runs.of(here.store, number)]
    assert sorted(outcomes) == ["healthy", "healthy", "healthy", "retry"]


async def test_where_we_are_in_the_way_ourselves_that_is_no_attempt(
    place: Callable[..., Any], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person wants once is done once, though another process restarts the service here meanwhile."""
    monkeypatch.setattr(restarting, "FENCE_SECONDS", 0.0)
    here = await place(written({"web": machine.service("web", timing={"attempts": 1})}))
    worker = here.worker()
    await enqueue(here.store, [new("web", queue="restarts", service="web", origin="cli")], here.clock.time())
    [number] = [one.id for one in await backlog.listed(here.store)]
    async with fences.held("web", 1, store="another store", seconds=0.0):
        for _ in range(2):
            await turned(worker, 6.0)
            item = await here.item(number)
            assert (item.state, item.attempts, machine.marks("web")) == ("failed", 0, 0)
    await turned(worker, 6.0)
    item = await here.item(number)
    assert (item.state, item.attempts, machine.marks("web")) == ("done", 1, 1)
    assert await attempts(here) == [(False, None), (False, None), (True, True)]
    assert (await circuits.listed(here.store))[0].get(Key("service", "web"), CLOSED) == CLOSED


async def test_while_much_fails_at_once_nothing_is_restarted(place: Callable[..., Any], machine: Machine) -> None:
    """When the others are no longer failing, what still is is restarted; a person is not held by it."""
    services = {name: machine.service(name) for name in ("a", "b", "c", "d")}
    breaker = {"at_least": 2, "share": 0.5, "per": "60s"}
    here = await place(written(services, fleet_breaker=breaker, restarts=MANY))
    worker = here.worker()
    numbers = await fires(here, "a", "b", "c")
    await turned(worker)
    assert await told(here, numbers) == [("held", "fleet")] * 3
    assert (await here.item(numbers[0])).explanation.startswith("3 of 4 services are failing at once, ")
    await enqueue(here.store, [new("d", queue="restarts", service="d", origin="cli")], here.clock.time())
    await turned(worker)
    assert machine.order() == ["d"]
    for number in numbers[1:]:
        await resolve(here.store, (await here.item(number)).incident_id)
    await turned(worker, 6.0)
    assert (await told(here, numbers))[1:] == [("cancelled", "resolved")] * 2
    await turned(worker, 60.0)
    assert (await here.state(numbers[0]), machine.order()) == ("done", ["d", "a"])


class Silenced:
    """Alertmanager, as far as a restart asks it."""

    def __init__(self, by: str | None) -> None:
        self.by = by
        self.asked: list[dict[str, str]] = []

    async def refresh(self) -> None:
        """Ask nobody."""

    def reason(self, labels: dict[str, str]) -> str | None:
        self.asked.append(labels)
        return self.by


async def test_what_is_silenced_waits_until_it_is_not(place: Callable[..., Any], machine: Machine) -> None:
    """By the labels of its alert; what a person wants no silence is in the way of (I5)."""
    here = await place(written({"web": machine.service("web"), "api": machine.service("api")}))
    worker = here.worker()
    silences = worker.around.silences = Silenced("ann silenced it")
    [number] = await fires(here, "web", context={"labels": {"team": "a"}})
    await enqueue(here.store, [new("api", queue="restarts", service="api", origin="cli")], here.clock.time())
    await turned(worker)
    assert (await told(here, [number]), machine.order()) == ([("held", "silenced")], ["api"])
    assert silences.asked == [{"team": "a"}]
    silences.by = None
    await turned(worker, 16.0)
    assert (await told(here, [number]), machine.marks("web")) == ([("done", None)], 1)


class Alarming:
    """The tables of a process monitor, as far as a restart asks them."""

    def __init__(self) -> None:
        self.stands: bool | None = True
        self.problems: list[str] = []
        self.cleared: list[str] = []

    async def refresh(self) -> None:
        """Read nothing."""

    def standing(self, context: dict[str, Any]) -> bool | None:
        return self.stands

    async def clear(self, service: str) -> list[str]:
        self.cleared.append(service)
        return self.problems


async def alarm(here: Any, name: str) -> int:
    """Let a process be in alarm; return the number of the item."""
    await enqueue(here.store, [new(name, queue="restarts", service=name, origin="alarm")], here.clock.time())
    return int((await backlog.listed(here.store, queue="restarts"))[-1].id)


async def test_an_alarm_is_restarted_for_as_long_as_it_stands(place: Callable[..., Any], machine: Machine) -> None:
    """It is cleared after a verified restart and never else; what cannot be read or written is told."""
    services = {"web": machine.service("web"), "bad": machine.service("bad", FAILS, timing={"delay": "1h"})}
    here = await place(written(services, fleet_breaker={"enabled": False}))
    worker = here.worker()
    alarms = worker.around.alarms = Alarming()
    bad = await alarm(here, "bad")
    await turned(worker)
    assert (await here.state(bad), alarms.cleared) == ("failed", [])
    alarms.stands = None
    web = await alarm(here, "web")
    await turned(worker, 6.0)
    assert (await told(here, [web]), machine.marks("web")) == ([("held", "resolved")], 0)
    alarms.stands, alarms.problems = True, ["process 7 could not be cleared"]
    await turned(worker, 6.0)
    assert (await here.state(web), alarms.cleared) == ("done", ["web"])
    assert (await here.item(web)).explanation.endswith("; but process 7 could not be cleared")
    alarms.stands = False
    again = await alarm(here, "web")
    await turned(worker, 6.0)
    assert (await told(here, [again]), alarms.cleared) == ([("cancelled", "resolved")], ["web"])


async def test_an_alarm_and_an_alert_at_once_restart_once(place: Callable[..., Any], machine: Machine) -> None:
    here = await place(written({"web": machine.service("web")}, restarts=MANY))
    worker = here.worker()
    worker.around.alarms = Alarming()
    first, second = [*await fires(here, "web"), await alarm(here, "web")]
    for _ in range(3):
        await turned(worker)
    assert (await told(here, [first, second]), machine.marks("web")) == ([("done", None)] * 2, 1)
    why = [(await here.item(number)).explanation for number in (first, second)]
    assert "it was restarted and verified for another item meanwhile" in why


async def test_what_a_person_wants_is_restarted_though_it_is_up_and_ends_after_its_attempts(
    place: Callable[..., Any], machine: Machine
) -> None:
    """Nobody looks first, and nobody tries for ever."""
    services = {"web": machine.service("web"), "bad": machine.service("bad", FAILS)}
    here = await place(written(services))
    worker = here.worker()
    machine.up("web").touch()
    items = [new(name, queue="restarts", service=name, origin="cli") for name in ("web", "bad")]
    await enqueue(here.store, items, here.clock.time())
    for _ in range(3):
        await turned(worker)
    found = {item.key: (item.state, item.attempts) for item in await backlog.listed(here.store, queue="restarts")}
    assert found == {"web": ("done", 1), "bad": ("dead", 2)}
    assert (machine.marks("web"), machine.marks("bad")) == (1, 2)


async def test_a_service_of_another_host_is_left_to_it(place: Callable[..., Any], machine: Machine) -> None:
    """Neither claimed nor looked at; what has no restart any more waits as well, and neither keeps the worker busy."""
    services = {"web": machine.service("web", node="web1"), "api": machine.service("api", node="here")}
    here = await place(written(services, node="here", fleet_breaker={"enabled": False}))
    worker = here.worker()
    web, gone, api = await fires(here, "web", "gone", "api")
    await turned(worker)
    await turned(worker)
    assert await told(here, [web, gone, api]) == [("pending", None), ("pending", None), ("done", None)]
    assert machine.order() == ["api"]
    assert await restart_facts.due(here.store, "restarts", here.clock.time()) == {"web", "gone"}
