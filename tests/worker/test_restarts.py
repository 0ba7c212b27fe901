"""Restarts end to end in a worker: in order, one at a time, verified, and left alone for as long as something bars."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, new, resolve
from servers.restarts import (
    FAILS,
    HELPS_NOT,
    Machine,
    circuit_of,
    fires,
    looked,
    moving,
    on_time,
    opened,
    passes,
    told,
    turned,
    written,
)

from exporter.circuit import Key
from exporter.store import action_runs, audit, backlog, restart_facts, service_leases, service_restarts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHARED = ("postgres", "mariadb")
MANY = {"concurrency": 20}
ONCE_FIXED = "test -e {folder}/fixed && touch {up} || exit 1"
"""A restart that helps once somebody has fixed what is wrong."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine with fences of its own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return Machine(tmp_path)


def once_fixed(machine: Machine, name: str) -> str:
    return ONCE_FIXED.format(folder=machine.folder, up=machine.up(name))


async def attempts(here: Any, service: str | None = None) -> list[tuple[bool | None, bool | None]]:
    """Return of each attempt, the oldest first, whether it acted and whether that was verified."""
    found = await service_restarts.history(here.store, service, since=0.0)
    return [(one.acted, one.verified) for one in reversed(found)]


async def held_leases(here: Any) -> dict[str, int]:
    """Return which services are held, and for which item."""
    async with here.store.reading() as connection:
        found = await service_leases.known(connection)
    return {service: lease.item for service, lease in found.items() if lease.item is not None}


async def verbs(here: Any, noun: str, number: int) -> list[str]:
    return [entry.verb for entry in await audit.of(here.store, noun, number)]


async def test_a_parent_is_mended_before_its_children_and_who_is_well_then_is_not_touched(
    url: str, place: Callable[..., Any], machine: Machine
) -> None:
    """All three fail at once: first what the others need, then only those that are down still (S3.22)."""
    mends_both = f"touch {machine.up('db')} {machine.up('web')}"
    services = {
        "web": machine.service("web", depends_on=["db"]),
        "api": machine.service("api", depends_on=["web"]),
        "db": machine.service("db", mends_both),
    }
    here = await place(written(services), url)
    on_time(here)
    worker = here.worker()
    web, api, db = await fires(here, "web", "api", "db")
    await looked(worker)
    assert await told(here, [web, api, db]) == [("held", "dependency"), ("held", "dependency"), ("running", None)]
    assert (await here.item(api)).explanation.startswith("db, which it needs, is ")
    assert await held_leases(here) == {"db": db}
    await turned(worker)
    for _ in range(2):
        await turned(worker, 6.0)
    assert machine.order() == ["db", "api"]
    assert await told(here, [api, db]) == [("done", None), ("done", None)]
    assert await attempts(here, "web") == [(False, None)]
    assert await held_leases(here) == {}
    assert (await here.item(web)).explanation.startswith("nothing was restarted: it is up")


async def test_a_parent_that_is_down_and_that_nobody_restarts_holds_its_children(
    place: Callable[..., Any], machine: Machine
) -> None:
    """Until it is up again, which a look finds out, and not its alert."""
    services = {"web": machine.service("web", depends_on=["db"]), "db": {"probe": machine.probe("db")}}
    here = await place(written(services))
    worker = here.worker()
    [web] = await fires(here, "web")
    for _ in range(3):
        await turned(worker, 6.0)
        assert await told(here, [web]) == [("held", "dependency")]
    assert (await here.counted())["dependency",] == 1.0
    machine.up("db").touch()
    await turned(worker, 6.0)
    assert (await told(here, [web]), machine.marks("web")) == ([("done", None)], 1)


NOTIFY = [
    {"name": f"ops-{on}", "on": on, "action": {"kind": "command", "argv": ["/bin/true"]}}
    for on in ("circuit", "restart")
]


async def test_a_circuit_opens_at_the_third_failure_and_one_trial_of_nine_closes_it(
    url: str, place: Callable[..., Any], machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """Open it lets nothing through, half-open exactly one (I4); who is told what, and what is counted, is exact."""
    caplog.set_level(logging.INFO)
    timing = {"attempts": 100}
    services = {"mysql": machine.service("mysql", once_fixed(machine, "mysql"), timing=timing)}
    here = await place(written(services, notify=NOTIFY, restarts=MANY), url)
    on_time(here)
    worker = here.worker()
    numbers = await fires(here, "mysql")
    for failures in (1, 2, 3):
        await turned(worker)
        found, state = await circuit_of(here, "mysql")
        assert (found.failures, state) == (failures, "open" if failures == 3 else "closed")
    await turned(worker)
    first = await here.item(numbers[0])
    assert (first.state, first.hold, first.attempts) == ("held", "circuit", 3)
    assert first.explanation.startswith("the circuit of mysql is open after 3 failures: one trial in ")
    numbers += await fires(here, *["mysql"] * 8)
    await passes(here, 200.0)
    await turned(worker)
    assert await told(here, numbers) == [("held", "circuit")] * 9
    assert machine.marks("mysql") == 3
    (machine.folder / "fixed").touch()
    await passes(here, 102.0)
    await looked(worker)
    states = await told(here, numbers)
    assert sorted(states) == [("held", "circuit")] * 8 + [("running", None)]
    trial = numbers[states.index(("running", None))]
    others = [await here.item(one) for one in numbers if one != trial]
    assert {one.explanation for one in others} == {
        f"the circuit of mysql is half-open, and its one trial is under way (item {trial})"
    }
    for _ in range(3):
        await turned(worker)
    assert (await told(here, numbers), machine.marks("mysql")) == ([("done", None)] * 9, 4)
    assert await attempts(here) == [(True, False)] * 3 + [(True, True)]
    found, state = await circuit_of(here, "mysql")
    assert (found.failures, found.opened, state) == (0, 1, "closed")
    counted = await here.counted()
    assert {key: value for key, value in counted.items() if key[0] != "notifications"} == {
        ("restarts", "command", "retry"): 3.0,
        ("restarts", "command", "done"): 1.0,
        ("circuit",): 9.0,
    }
    notified = [one.reason for one in await backlog.listed(here.store, queue="notifications")]
    failed = "The restart of mysql failed: exit status 1"
    assert sorted(notified) == sorted(
        [
            *[failed] * 3,
            "Circuit breaker opened for mysql after 3 failures",
            "Circuit breaker reset for mysql",
            "Successfully restarted and verified service: mysql",
        ]
    )
    assert await verbs(here, "circuit", numbers[0]) == ["opened", *(["closed"] if trial == numbers[0] else [])]
    assert (await verbs(here, "circuit", trial))[-1] == "closed"
    said = [line.getMessage() for line in caplog.records]
    assert said.count("Circuit breaker opened for mysql after 3 failures") == 1
    assert said.count("Circuit breaker reset for mysql") == 1


async def test_a_trial_that_fails_opens_it_anew(place: Callable[..., Any], machine: Machine) -> None:
    """For the whole time; that its openings are two is counted."""
    here = await place(written({"web": machine.service("web", FAILS, circuit={"failures": 1, "reset": "100s"})}))
    worker = here.worker()
    [number] = await fires(here, "web")
    await turned(worker)
    for trials in (1, 2):
        await turned(worker, 50.0)
        assert machine.marks("web") == trials
        await turned(worker, 51.0)
    found, state = await circuit_of(here, "web")
    assert (found.opened, found.failures, state, machine.marks("web")) == (3, 3, "open", 3)
    assert await told(here, [number]) in ([("held", "circuit")], [("failed", None)])


@pytest.mark.parametrize("engine", SHARED)
async def test_two_replicas_let_one_trial_through(
    engine: str, new_url: Callable[[str], str], place: Callable[..., Any], machine: Machine
) -> None:
    """Of nine services of a group that is half-open (F10); when it helped, the others follow, each once."""
    names = [f"s{number}" for number in range(9)]
    services = {name: machine.service(name, group="front", node="here") for name in names}
    text = written(services, restarts=MANY, node="here", fleet_breaker={"enabled": False})
    url = new_url(engine)
    places = [await place(text, url), await place(text, url)]
    here = places[0]
    on_time(here)
    await opened(here, Key("group", "front"), ago=1.0)
    workers = [one.worker(f"r{number}") for number, one in enumerate(places)]
    await asyncio.gather(*(worker.tick() for worker in workers))
    numbers = await fires(here, *names)
    await asyncio.gather(*(looked(worker) for worker in workers))
    assert sorted(await told(here, numbers)) == [("held", "circuit")] * 8 + [("running", None)]
    assert len(await held_leases(here)) == 1
    for _ in range(4):
        await asyncio.gather(*(turned(worker, 5.0) for worker in workers))
    assert await told(here, numbers) == [("done", None)] * 9
    assert sorted(machine.order()) == names
    assert await attempts(here) == [(True, True)] * 9
    assert (await circuit_of(here, "front", "group"))[1] == "closed"


@pytest.mark.parametrize("engine", SHARED)
async def test_two_replicas_restart_a_service_once(
    engine: str, new_url: Callable[[str], str], place: Callable[..., Any], machine: Machine
) -> None:
    """Of eight alerts about it at once (I3): who does not run waits, and has nothing left to do."""
    text = written({"web": machine.service("web", node="here")}, restarts=MANY, node="here")
    url = new_url(engine)
    places = [await place(text, url), await place(text, url)]
    here = places[0]
    on_time(here)
    workers = [one.worker(f"r{number}") for number, one in enumerate(places)]
    await asyncio.gather(*(worker.tick() for worker in workers))
    numbers = await fires(here, *["web"] * 8)
    await asyncio.gather(*(looked(worker) for worker in workers))
    assert sorted(await told(here, numbers)) == [("held", "busy")] * 7 + [("running", None)]
    for _ in range(3):
        await asyncio.gather(*(turned(worker, 6.0) for worker in workers))
    assert (await told(here, numbers), machine.marks("web")) == ([("done", None)] * 8, 1)
    assert await attempts(here) == [(True, True)]


WINDOW = {"all": True, "start": "2026-05-01T11:00:00Z", "end": "2026-05-01T12:01:00Z", "comment": "upgrade"}


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


async def test_two_broken_services_open_the_circuit_of_their_group(place: Callable[..., Any], machine: Machine) -> None:
    """A third one is held then, and one of another group is not (S3.24)."""
    timing = {"attempts": 1, "rest": "1h"}
    services = {
        "a": machine.service("a", once_fixed(machine, "a"), group="front", timing=timing),
        "b": machine.service("b", once_fixed(machine, "b"), group="front", timing=timing),
        "c": machine.service("c", group="front"),
        "other": machine.service("other", group="back"),
    }
    groups = {"front": {"circuit": {"failures": 2}}}
    here = await place(written(services, groups=groups, fleet_breaker={"enabled": False}))
    worker = here.worker()
    await fires(here, "a", "b")
    await turned(worker)
    found, state = await circuit_of(here, "front", "group")
    assert (found.failures, state) == (2, "open")
    assert (await circuit_of(here, "a"))[1] == "closed"
    c, other = await fires(here, "c", "other")
    await turned(worker)
    assert await told(here, [c, other]) == [("held", "circuit"), ("done", None)]
    assert (await here.item(c)).explanation.startswith("the circuit of the group front is open after 2 failures")
    (machine.folder / "fixed").touch()
    await passes(here, 302.0)
    await turned(worker)
    await turned(worker)
    assert (await told(here, [c]), (await circuit_of(here, "front", "group"))[1]) == ([("done", None)], "closed")


async def test_one_that_is_broken_for_good_does_not_bar_its_group(place: Callable[..., Any], machine: Machine) -> None:
    """What fails while its own circuit is not closed counts not for the group."""
    own = {"failures": 1, "reset": "10s"}
    services = {"a": machine.service("a", FAILS, group="front", circuit=own, timing={"rest": "1s", "attempts": 1})}
    here = await place(written(services, groups={"front": {"circuit": {"failures": 3}}}))
    worker = here.worker()
    await fires(here, "a")
    for _ in range(6):
        await turned(worker, 11.0)
    assert machine.marks("a") >= 4
    found, state = await circuit_of(here, "front", "group")
    assert (found.failures, state) == (1, "closed")


async def test_a_circuit_that_is_open_does_not_open_again(place: Callable[..., Any], machine: Machine) -> None:
    """What was under way when it opened, and fails too, is no news: it is told of once, and counted once."""
    services = {name: machine.service(name, FAILS, group="front") for name in ("a", "b", "c")}
    groups = {"front": {"circuit": {"failures": 1}}}
    here = await place(written(services, groups=groups, notify=NOTIFY[:1], fleet_breaker={"enabled": False}))
    await fires(here, "a", "b", "c")
    await turned(here.worker())
    assert (await circuit_of(here, "front", "group"))[0].opened == 1


async def test_what_comes_between_the_look_and_the_claim_is_looked_around_for(
    place: Callable[..., Any], machine: Machine
) -> None:
    """Else it begins though its parent is down, which nobody has looked at."""
    services = {
        "web": machine.service("web"),
        "api": machine.service("api", depends_on=["db"]),
        "db": {"probe": machine.probe("db")},
    }
    here = await place(written(services, fleet_breaker={"enabled": False}))
    worker = here.worker()
    await fires(here, "web")
    due = worker._due_services

    async def late(wish: Any) -> frozenset[str]:
        found: frozenset[str] = await due(wish)
        if not await backlog.listed(here.store, key="api"):
            looking = worker.around._looking
            if looking is not None and looking.done():
                await fires(here, "api")
        return found

    worker._due_services = late
    await turned(worker)
    assert (machine.marks("web"), machine.marks("api")) == (1, 0)


@pytest.mark.parametrize("helps", [True, False], ids=["healthy", "unhealthy"])
async def test_a_restart_whose_end_nobody_saw(
    url: str, place: Callable[..., Any], machine: Machine, *, helps: bool
) -> None:
    """Health first: what is well is done, what is not has failed and counts, and only then is it tried again (I7)."""
    here = await place(written({"web": machine.service("web", None if helps else HELPS_NOT)}), url)
    on_time(here)
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


async def test_a_claim_whose_answer_was_lost_is_given_back(
    url: str, place: Callable[..., Any], machine: Machine
) -> None:
    """Once: the service is restarted once, and there is one attempt (F05)."""
    here = await place(written({"web": machine.service("web")}), url)
    on_time(here)
    await opened(here, Key("service", "web"), ago=1.0)
    worker = here.worker()
    await turned(worker)
    [number] = await fires(here, "web")
    here.store.plan.append("lost")
    await looked(worker)
    assert worker.trouble is not None
    assert (await here.state(number), await held_leases(here), machine.marks("web")) == ("running", {"web": number}, 0)
    await turned(worker)
    await turned(worker)
    assert (await here.state(number), machine.marks("web"), await attempts(here)) == ("done", 1, [(True, True)])
    assert (await circuit_of(here, "web"))[1] == "closed"


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


async def test_what_fails_again_is_restarted_though_our_clock_is_slow(
    new_url: Callable[[str], str], place: Callable[..., Any], machine: Machine
) -> None:
    """By a minute: what fires after a restart that helped is not what led to it."""
    here = await place(written({"web": machine.service("web", node="here")}, node="here"), new_url("postgres"))
    on_time(here)
    worker = here.worker()
    await fires(here, "web")
    await turned(worker)
    machine.up("web").unlink()
    [number] = await fires(here, "web")
    await turned(worker)
    assert (await here.state(number), machine.marks("web")) == ("done", 2)


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
