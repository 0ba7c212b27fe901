"""Restarts end to end in a worker: in order, one at a time, and let through by circuits."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from servers.restarts import (
    FAILS,
    MANY,
    Machine,
    attempts,
    circuit_of,
    fires,
    held_leases,
    looked,
    once_fixed,
    opened,
    passes,
    told,
    turned,
    written,
)

from exporter.circuit import Key
from exporter.store import audit, backlog
from exporter.worker.books import Books

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHARED = ("postgres", "mariadb")
NOTIFY = [
    {"name": f"ops-{on}", "on": on, "action": {"kind": "command", "argv": ["/bin/true"]}}
    for on in ("circuit", "restart")
]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine with fences of its own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return Machine(tmp_path)


async def verbs(here: Any, noun: str, number: int) -> list[str]:
    return [entry.verb for entry in await audit.of(here.store, noun, number)]


async def test_a_parent_is_mended_before_its_children_and_who_is_well_then_is_not_touched(
    place: Callable[..., Any], machine: Machine
) -> None:
    """All three fail at once: first what the others need, then only those that are down still (S3.22)."""
    mends_both = f"touch {machine.up('db')} {machine.up('web')}"
    services = {
        "web": machine.service("web", depends_on=["db"]),
        "api": machine.service("api", depends_on=["web"]),
        "db": machine.service("db", mends_both),
    }
    here = await place(written(services))
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


async def test_what_comes_between_the_look_and_the_claim_is_looked_around_for(
    place: Callable[..., Any], machine: Machine, monkeypatch: pytest.MonkeyPatch
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
    claim = Books.claim

    async def late(books: Books, wish: Any) -> Any:
        if not await backlog.listed(here.store, key="api"):
            await fires(here, "api")
        return await claim(books, wish)

    monkeypatch.setattr(Books, "claim", late)
    await turned(worker)
    assert (machine.marks("web"), machine.marks("api")) == (1, 0)


@pytest.mark.parametrize("engine", SHARED)
async def test_two_replicas_restart_a_service_once(
    engine: str, new_url: Callable[[str], str], place: Callable[..., Any], machine: Machine
) -> None:
    """Of eight alerts about it at once (I3): who does not run waits, and has nothing left to do. What is up stays."""
    services = {name: machine.service(name, node="here") for name in ("web", "well")}
    machine.up("well").touch()
    text = written(services, restarts=MANY, node="here")
    url = new_url(engine)
    places = [await place(text, url), await place(text, url)]
    here = places[0]
    workers = [one.worker(f"r{number}") for number, one in enumerate(places)]
    await asyncio.gather(*(worker.tick() for worker in workers))
    *numbers, well = await fires(here, *["web"] * 8, "well")
    await asyncio.gather(*(looked(worker) for worker in workers))
    assert sorted(await told(here, numbers)) == [("held", "busy")] * 7 + [("running", None)]
    for _ in range(3):
        await asyncio.gather(*(turned(worker, 6.0) for worker in workers))
    assert (await told(here, numbers), machine.order()) == ([("done", None)] * 8, ["web"])
    assert await attempts(here, "web") == [(True, True)]
    assert set(await attempts(here, "well")) == {(False, None)}
    item = await here.item(well)
    assert (item.state, item.attempts) == ("pending", 0), "to look at it is no attempt"


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


async def test_a_circuit_opens_at_the_third_failure_and_one_trial_of_nine_closes_it(
    place: Callable[..., Any], machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """Open it lets nothing through, half-open exactly one (I4); who is told what, and what is counted, is exact."""
    caplog.set_level(logging.INFO)
    timing = {"attempts": 100}
    services = {"mysql": machine.service("mysql", once_fixed(machine, "mysql"), timing=timing)}
    here = await place(written(services, notify=NOTIFY, restarts=MANY))
    worker = here.worker()
    numbers = await fires(here, "mysql")
    for failures in (1, 2, 3):
        await turned(worker)
        found, state = await circuit_of(here, "mysql")
        assert (found.failures, state) == (failures, "open" if failures == 3 else "closed")
    await turned(worker)
    first = await here.item(numbers[0])
    assert (first.state, first.hold, first.attempts) == ("held", "circuit", 3)
    assert first.explanation.startswith("the circuit of mysql is open after 3 failures: one trial from ")
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
