"""What the worker writes of restarts: circuits step with each end, fences only grow, and who is told of what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from servers.backlog import enqueue, new
from servers.restarts import FAILS, Machine, circuit_of, opened, written
from servers.watched import reading

from exporter.circuit import CLOSED, Circuit, Key
from exporter.restarting.attempt import Attempt
from exporter.store import backlog, circuits, service_leases, service_restarts
from exporter.worker.gate import Facts, Go
from exporter.worker.restart_books import Ended, Happened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HELPED: Final = Attempt("done", "restarted and verified: it is up", verified=True)
FAILED: Final = Attempt("retry", "exit status 1")
HEALTHY: Final = Attempt("healthy", "it is up", acted=False, verified=None)
UNDER_WAY: Final = ("pending", "held", "failed", "running")


class Scene:
    """Services `a` and `b` of a group that opens at the second failure, each of which opens at the third."""

    def __init__(self, here: Any) -> None:
        self.here = here
        self.worker = here.worker()
        self.books = self.worker._told.restarts
        self.strategies = self.books.terms.strategies

    async def items(self, *names: str, state: str = "running", **more: Any) -> list[backlog.BacklogItem]:
        """Store items and return them."""
        made = [new(name, queue="restarts", service=name, state=state, **more) for name in names]
        await enqueue(self.here.store, made, self.here.clock.time())
        return (await backlog.listed(self.here.store, queue="restarts"))[-len(names) :]

    async def ends(self, *attempts: tuple[str, Attempt]) -> list[Happened]:
        """Let attempts end in one transaction."""
        items = await self.items(*(name for name, _ in attempts))
        ended = [
            Ended(item, self.strategies[name], attempt) for item, (name, attempt) in zip(items, attempts, strict=True)
        ]
        async with service_leases.deciding(self.here.store) as (connection, now):
            found: list[Happened] = await self.books.ended(connection, ended, now)
        return found

    async def begins(self, item: backlog.BacklogItem) -> int:
        """Let an item begin, as a claim does; return the fence of its service's lease."""
        async with service_leases.deciding(self.here.store) as (connection, at):
            decisions = await self.books.begin(connection, (self.here.clock.time(), at))
            facts = Facts(self.here.clock.time(), ("auto",))
            assert self.books.decided(item, facts, self.strategies[item.service], decisions) == Go()
            await self.books.begun(connection, [item], decisions)
        return int(decisions.fences[item.id])


@pytest.fixture
async def scene(place: Callable[..., Any], tmp_path: Path) -> Scene:
    """Give the scene on SQLite."""
    machine = Machine(tmp_path)
    services = {name: machine.service(name, FAILS, group="front", depends_on=[]) for name in ("a", "b")}
    services["c"] = machine.service("c", depends_on=["a"])
    groups = {"front": {"circuit": {"failures": 2}}}
    return Scene(await place(written(services, groups=groups, fleet_breaker={"enabled": False})))


async def test_ends_of_one_group_step_its_circuit_one_after_the_other(scene: Scene) -> None:
    """Also in one transaction; what the first one did the second one sees."""
    found = await scene.ends(("a", FAILED), ("b", FAILED))
    group, state = await circuit_of(scene.here, "front", "group")
    assert (group.failures, group.opened, state) == (2, 1, "open")
    assert [(one.on, one.event, one.sentence) for one in found] == [
        ("restart", "failed", "The restart of a failed: exit status 1"),
        ("circuit", "opened", "Circuit breaker opened for the group front after 2 failures"),
        ("restart", "failed", "The restart of b failed: exit status 1"),
    ]
    assert (await circuit_of(scene.here, "a"))[0] == Circuit(1)


async def test_one_that_helped_ends_the_row_of_failures(scene: Scene) -> None:
    """Of its service and of its group; a circuit that was closed is not told of."""
    await scene.ends(("a", FAILED))
    found = await scene.ends(("b", HELPED))
    assert [(one.on, one.event, one.sentence) for one in found] == [
        ("restart", "restarted", "Successfully restarted and verified service: b")
    ]
    assert (await circuit_of(scene.here, "front", "group"))[0] == CLOSED
    assert (await circuit_of(scene.here, "a"))[0] == Circuit(1)


async def test_what_was_well_before_changes_nothing_and_tells_nobody(scene: Scene) -> None:
    """Neither does what was in our own way; a trial of it is none, and the next one is tried."""
    await opened(scene.here, Key("service", "a"), ago=1.0)
    [item] = await scene.items("a", state="pending")
    await scene.begins(item)
    assert (await circuit_of(scene.here, "a"))[0].trial == item.id
    ended = [Ended(item, scene.strategies["a"], HEALTHY)]
    async with service_leases.deciding(scene.here.store) as (connection, now):
        assert await scene.books.ended(connection, ended, now) == []
    found, state = await circuit_of(scene.here, "a")
    assert (found.trial, found.failures, state) == (None, 3, "half_open")
    assert await scene.ends(("b", HEALTHY)) == []
    assert (await circuits.listed(scene.here.store))[0].get(Key("service", "b"), CLOSED) == CLOSED


async def test_what_began_before_the_one_trial_ends_it_not(scene: Scene) -> None:
    """That it fails is counted; the trial of another item goes on, and nothing is let through beside it (I4)."""
    await opened(scene.here, Key("group", "front"), ago=1.0, trial=999)
    found = await scene.ends(("a", FAILED))
    group, state = await circuit_of(scene.here, "front", "group")
    assert (group.failures, group.opened, group.trial, state) == (4, 1, 999, "half_open")
    assert [one.on for one in found] == ["restart"]


async def test_a_takeover_that_finds_it_well_is_told_as_a_restart(scene: Scene) -> None:
    """Nobody saw whether it was restarted: that it is well is what counts, and its circuit closes."""
    await opened(scene.here, Key("service", "a"), ago=1.0)
    found = await scene.ends(("a", Attempt("interrupted", "it is up", acted=None, verified=True)))
    assert [(one.on, one.event) for one in found] == [("circuit", "closed"), ("restart", "restarted")]


async def test_the_number_of_a_lease_only_grows(scene: Scene) -> None:
    """It is the store's time at least: a new store gives none that a host has seen of the one before it."""
    clock = scene.here.clock
    [first] = await scene.items("a", state="pending")
    fences = [await scene.begins(first)]
    assert fences[0] >= int(clock.time())
    for seconds in (0.0, 5.0, -86_400.0):
        clock.set(seconds)
        async with scene.here.store.writing() as connection:
            await service_leases.freed(connection, [first.id])
        [item] = await scene.items("a", state="pending")
        fences.append(await scene.begins(item))
    assert fences == sorted(set(fences))


async def test_what_begins_is_written_at_once(scene: Scene) -> None:
    """Its lease, its attempt with its group, and the trials that it is, in the transaction that claims."""
    for key in (Key("service", "a"), Key("group", "front")):
        await opened(scene.here, key, ago=1.0)
    [item] = await scene.items("a", state="pending")
    fence = await scene.begins(item)
    known, _ = await circuits.listed(scene.here.store)
    assert {key: one.trial for key, one in known.items()} == {
        Key("service", "a"): item.id,
        Key("group", "front"): item.id,
    }
    async with scene.here.store.reading() as connection:
        assert await service_leases.known(connection) == {"a": service_leases.Lease(fence, item.id)}
    [attempt] = await service_restarts.history(scene.here.store, "a", since=0.0)
    assert (attempt.group_name, attempt.item_id, attempt.fence, attempt.ended_at) == ("front", item.id, fence, None)
    assert (attempt.replica, attempt.kind, attempt.origin) == ("r1", "command", "rule")
    async with scene.here.store.writing() as connection:
        await scene.books.undone(connection, {item.id})
    known, _ = await circuits.listed(scene.here.store)
    assert {one.trial for one in known.values()} == {None}
    async with scene.here.store.reading() as connection:
        assert await service_leases.known(connection) == {"a": service_leases.Lease(fence, None)}
    assert await service_restarts.history(scene.here.store, None, since=0.0) == []


@pytest.mark.parametrize("state", UNDER_WAY)
@pytest.mark.parametrize("origin", ["rule", "alarm", "cli"])
async def test_what_is_to_be_restarted_holds_who_needs_it(scene: Scene, state: str, origin: str) -> None:
    """Unless a look has just found it well: then only what runs, or what a person wants, does."""
    await scene.items("a", state=state, origin=origin)
    around = scene.books.around
    for up, holds in ((frozenset(), True), (frozenset({"a"}), state == "running" or origin == "cli")):
        around._seen = dict.fromkeys(up, (scene.here.clock.monotonic(), reading("up")))
        async with service_leases.deciding(scene.here.store) as (connection, at):
            decisions = await scene.books.begin(connection, (scene.here.clock.time(), at))
        assert ("a" in decisions.situation.waiting) == holds
        assert decisions.situation.failing == (frozenset() if origin == "cli" else {"a"})
        assert ("a" in decisions.situation.running) == (state == "running")


@pytest.mark.parametrize("state", ["done", "dead", "cancelled"])
async def test_what_is_over_holds_nobody(scene: Scene, state: str) -> None:
    await scene.items("a", state=state)
    async with service_leases.deciding(scene.here.store) as (connection, at):
        decisions = await scene.books.begin(connection, (scene.here.clock.time(), at))
    assert (dict(decisions.situation.waiting), decisions.situation.running) == ({}, {})
