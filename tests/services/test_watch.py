"""Watching as a whole: who probes what, what reloads and other replicas change, and what outlives trouble."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from servers.lives import Faulty
from servers.watched import FakeClock
from sqlalchemy import update

from exporter import config, probing
from exporter.collectors import circuits
from exporter.services import watch as watching
from exporter.services.board import RUNS, STATE
from exporter.services.takeover import UNSEEN
from exporter.services.watch import Watch
from exporter.store import client_services, clients, replicas, service_editing, service_states, service_totals, tables
from exporter.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from exporter.config import Configuration
    from exporter.store.store import Store


class Door:
    """A TCP server that the test opens and closes: up and down."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; on the same port as before."""
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._server = None

    @staticmethod
    async def _greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Give an open door."""
    made = Door()
    await made.open()
    yield made
    await made.close()


def configuration(door: Door, *names: str, more: str = "", **keys: str) -> Configuration:
    """Return a configuration with these services, all behind the door."""
    extra = "".join(f", {key}: {value}" for key, value in keys.items())
    lines = [
        f"  {name}: {{probe: {{kind: tcp, address: '127.0.0.1:{door.port}', every: 10s}}{extra}}}" for name in names
    ]
    services = "\n".join(["services:", *lines, ""]) if names else ""
    return config.parse(f"{services}{more}", name="test.yml")


class Process:
    """A watch with its clock and its store, driven by hand. Its host has the name of the replica."""

    def __init__(self, store: Store, clock: FakeClock, replica: str, first: Configuration) -> None:
        self.clock = clock
        self.store = Faulty(store)
        self.wire = Wire(clock=clock)
        keys, host = None, replica
        self.watch = Watch(self.store, clock, replica, first, keys, host)  # type: ignore[arg-type]  # a store with a plan
        self.adopt(first)

    def adopt(self, found: Configuration) -> None:
        """Reload."""
        parts = probing.Parts(wire=self.wire, databases={}, clock=self.clock, permits=lambda _: True)
        self.watch.adopt(found, parts)

    async def pass_(self, seconds: float) -> None:
        """Let time pass, second by second, with all that is due in it."""
        while seconds > 0:
            step = min(1.0, seconds)
            seconds -= step
            self.clock.pass_(step)
            await self.work()

    async def work(self) -> None:
        """Do what is due now: a tick, the runs, and the tick that commits them."""
        await self.watch.tick()
        self.watch.scheduler.begin_due()
        async with asyncio.timeout(10):
            while self.watch.scheduler.running:
                await asyncio.wait(set(self.watch.scheduler._tasks))
        await self.watch.tick()

    def states(self) -> dict[str, str]:
        """Return the state of each service by its name."""
        return {one.service.name: one.state for one in self.watch.board}

    def runs(self) -> dict[str, float]:
        """Return the runs of each service as they are shown."""
        found: dict[str, float] = {}
        for (_, name, _), value in self.watch.board.samples()[RUNS].items():
            found[name] = found.get(name, 0.0) + value
        return found


@pytest.fixture
async def process() -> AsyncIterator[Callable[..., Process]]:
    """Give a function that starts a process."""
    made: list[Process] = []

    def start(store: Store, clock: FakeClock, replica: str, first: Configuration) -> Process:
        made.append(Process(store, clock, replica, first))
        return made[-1]

    yield start
    for one in made:
        await one.watch.scheduler.drain(0)
        await one.wire.close()


async def test_services_are_probed_counted_and_told_of(
    url: str,
    open_store: Callable[..., Any],
    process: Callable[..., Process],
    door: Door,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Up, refused, up again: states, runs and stretches are those of the door."""
    caplog.set_level(logging.INFO)
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web", "db"))
    await one.pass_(2)
    assert one.states() == {"web": "up", "db": "up"}
    await door.close()
    await one.pass_(20)
    assert one.states() == {"web": "down", "db": "down"}
    await door.open()
    await one.pass_(20)
    assert one.states() == {"web": "up", "db": "up"}
    assert set(one.runs().values()) == {5.0}
    (web,) = one.watch.named("web", None)
    assert one.watch.named("web", "other") == []
    found = await service_states.since(store, [web.id], 0.0)
    assert [stretch.state for stretch in found] == ["unknown", "up", "down", "up"]
    told = [record for record in caplog.records if "the service is" in record.message]
    assert [record.levelname for record in told] == ["INFO", "INFO", "WARNING", "WARNING", "INFO", "INFO"]
    assert one.watch.trouble is None


async def test_a_reload_takes_effect_at_once_and_keeps_what_stayed(
    url: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """Who stays keeps its counts and phase; who left ends; who is new is probed; who comes back goes on counting."""
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web", "db"))
    await one.pass_(12)
    assert one.runs() == {"web": 2.0, "db": 2.0}
    ids = {watched.name: watched.id for watched in one.watch.services.values()}
    one.adopt(configuration(door, "web", "mail", series="full"))
    await one.pass_(1)
    assert one.states() == {"web": "up", "mail": "up"}
    assert one.runs() == {"web": 2.0, "mail": 1.0}
    assert {labels[1] for labels in one.watch.board.samples()[STATE]} == {"web", "mail"}
    assert await service_states.open_ones(store, [ids["db"]]) == []
    assert {labels[1] for labels in one.watch.ledger.ratios()} == {"web", "mail"}
    await one.pass_(30)
    one.adopt(configuration(door, "db"))
    await one.pass_(1)
    assert one.runs() == {"db": 3.0}
    uptime = {labels[2]: seconds for labels, seconds in one.watch.ledger.uptime().items()}
    assert sum(uptime.values()) == pytest.approx(13.0, abs=1.1), "while it was not configured nobody counts"
    one.adopt(config.parse("", name="empty.yml"))
    await one.pass_(1)
    assert one.states() == {}
    assert await service_states.open_ones(store, list(ids.values())) == []


async def test_services_of_the_store_come_change_and_go_without_a_restart(
    url: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """One that is made through the API is watched within seconds, also beside one that cannot be read."""
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web"))
    await one.pass_(1)
    client = (await clients.create(store, "acme")).id
    fields = {"client_id": client, "name": "api", "endpoint_url": "http://127.0.0.1:1/"}
    made = await service_editing.create(store, None, fields)
    other = await service_editing.create(store, None, fields | {"name": "broken"})
    async with store.writing() as connection:
        table = tables.client_services
        await connection.execute(update(table).where(table.c.id == other.id).values(cron_schedule="nonsense"))
    await one.pass_(4)
    assert set(one.states()) == {"web", "api", "broken"}
    assert one.watch.trouble is None
    assert "cron_schedule cannot be used" in one.watch.board.standings[other.id].reason
    await service_editing.update(store, None, made.id, {"name": "renamed"})
    await one.pass_(4)
    assert set(one.states()) == {"web", "renamed", "broken"}
    await service_editing.delete(store, made.id)
    await service_editing.update(store, None, other.id, {"enabled": False})
    await one.pass_(4)
    assert one.states() == {"web": "up"}
    assert one.watch.trouble is None


async def test_two_that_exchange_their_names_keep_their_series(
    url: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door))
    client = (await clients.create(store, "acme")).id
    fields = {"client_id": client, "endpoint_url": "http://127.0.0.1:1/"}
    first = await service_editing.create(store, None, fields | {"name": "a"})
    second = await service_editing.create(store, None, fields | {"name": "b"})
    await one.pass_(1)
    for number, name in ((first.id, "x"), (second.id, "a"), (first.id, "b")):
        await service_editing.update(store, None, number, {"name": name})
    await one.pass_(4)
    assert {labels[1] for labels in one.watch.board.samples()[STATE]} == {"a", "b"}
    assert len(one.watch.board.samples()[STATE]) == 10
    assert len(one.watch.board.samples()[RUNS]) == 4


async def test_a_service_of_both_stops_no_commit(
    url: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """A configuration that names one of the API is refused in words, and what ran before is watched and stored on."""
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web"))
    await one.pass_(1)
    client = (await clients.create(store, "acme")).id
    await service_editing.create(
        store, None, {"client_id": client, "name": "mail", "endpoint_url": "http://127.0.0.1:1/", "enabled": False}
    )
    one.adopt(configuration(door, "web", "mail", client="acme"))
    await one.pass_(22)
    assert one.watch.trouble is not None
    assert "mail" in one.watch.trouble
    assert one.states() == {"web": "up"}
    assert one.runs() == {"web": 3.0}
    one.adopt(configuration(door, "web", "queue"))
    await one.pass_(2)
    assert one.watch.trouble is None
    assert set(one.states()) == {"web", "queue"}


async def test_trouble_with_the_store_loses_nothing_and_is_told_once(
    url: str,
    open_store: Callable[..., Any],
    process: Callable[..., Process],
    door: Door,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web"))
    await one.pass_(1)
    one.store.plan.extend(["before", "during", "lost"] * 5)
    await door.close()
    await one.pass_(5)
    assert one.watch.trouble is not None
    assert one.runs()["web"] >= 1.0
    one.store.plan.clear()
    await one.pass_(6)
    assert one.watch.trouble is None
    told = [record.message for record in caplog.records if "stored" in record.message]
    assert len(told) == 2
    assert told[1] == "what the probes see can be stored again"
    (web,) = one.watch.named("web", None)
    totals = (await service_totals.known(store, [web.id]))[web.id]
    assert one.runs()["web"] == totals.runs_success + totals.runs_failure == 2


async def test_what_breaks_in_a_way_nobody_foresaw_is_told_once_and_tried_again(
    url: str,
    open_store: Callable[..., Any],
    process: Callable[..., Process],
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web"))

    async def broken(_store: Any) -> Any:
        raise RuntimeError("unforeseen")

    with monkeypatch.context() as patched:
        patched.setattr(client_services, "mark", broken)
        await one.pass_(5)
        assert "RuntimeError" in (one.watch.trouble or "")
        assert [record.message for record in caplog.records] == ["the services could not be looked after"]
    await one.pass_(1)
    assert one.watch.trouble is None
    assert one.states() == {"web": "up"}


async def test_a_take_over_that_fails_half_way_is_done_again(
    url: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """Also where nothing else asks for a look: the change is not forgotten."""
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web"))
    await one.pass_(1)
    client = (await clients.create(store, "acme")).id
    await service_editing.create(
        store, None, {"client_id": client, "name": "api", "endpoint_url": "http://127.0.0.1:1/"}
    )
    clock.pass_(3.0)
    one.store.plan.append("before")
    await one.watch.tick()
    assert set(one.states()) == {"web"}
    assert one.watch.trouble is not None
    await one.watch.tick()
    assert set(one.states()) == {"web", "api"}
    assert one.watch.trouble is None


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
async def test_a_clock_that_is_set_changes_no_state(
    url: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door, jump: float
) -> None:
    """Runs go on at their pace, a reading of just after the jump lasts as long as any, counters do not fall."""
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web"))
    await one.pass_(15)
    before = one.watch.ledger.uptime()
    clock.pass_(7)
    clock.set(jump)
    one.watch.scheduler.begin_due()  # a run that ends before the next tick
    async with asyncio.timeout(10):
        while one.watch.scheduler.running:
            await asyncio.wait(set(one.watch.scheduler._tasks))
    (standing,) = one.watch.board
    assert standing.expires == clock.time() + 35.0
    await one.pass_(10)
    assert one.states() == {"web": "up"}
    assert one.runs() == {"web": 4.0}
    after = one.watch.ledger.uptime()
    assert all(after[labels] >= seconds for labels, seconds in before.items())
    assert after["default", "web", "up"] == pytest.approx(30.0, abs=1.1)


async def test_windows_are_maintenance_and_no_runs_are_left_out(
    url: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    store, clock = await open_store(url), FakeClock()
    window = "windows: [{services: [web], start: '2026-05-01T12:00:05Z', end: '2026-05-01T12:00:15Z'}]\n"
    one = process(store, clock, "me", configuration(door, "web", "db", more=window))
    await one.pass_(4)
    assert one.states() == {"web": "up", "db": "up"}
    await one.pass_(3)
    assert one.states() == {"web": "maintenance", "db": "up"}
    await one.pass_(15)
    assert one.states() == {"web": "up", "db": "up"}
    assert one.runs() == {"web": 3.0, "db": 3.0}
    uptime = {labels[2]: seconds for labels, seconds in one.watch.ledger.uptime().items() if labels[1] == "web"}
    assert uptime["maintenance"] == pytest.approx(10.0, abs=1.0)


@pytest.fixture(params=["postgres", "mariadb"])
def shared(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> str:
    """Give the URL of a store that replicas can share."""
    return new_url(request.param)


async def both(first: Process, second: Process, seconds: int) -> None:
    """Let time pass for two processes that have one clock."""
    for _ in range(seconds):
        first.clock.pass_(1.0)
        await first.work()
        await second.work()


async def test_replicas_share_the_services_and_take_over_from_the_dead(
    shared: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """Each service is one replica's; who dies leaves its share after ten seconds, who ends well at once."""
    names = [f"s{number}" for number in range(12)]
    clock, found = FakeClock(), configuration(door, *names)
    first = process(await open_store(shared), clock, "a", found)
    second = process(await open_store(shared), clock, "b", found)
    await both(first, second, 8)
    owned = set(first.states()), set(second.states())
    assert owned[0] | owned[1] == set(names)
    assert not owned[0] & owned[1]
    assert all(owned)
    await first.pass_(9)
    assert set(first.states()) == owned[0]
    await first.pass_(8)
    assert set(first.states()) == set(names)
    assert set(first.states().values()) == {"up"}
    taken = {one.name: one.id for one in first.watch.services.values() if one.name in owned[1]}
    stretches = await service_states.since(first.store, list(taken.values()), 0.0)  # type: ignore[arg-type]
    assert any(one.state == "unknown" and one.reason == UNSEEN for one in stretches)
    third = process(await open_store(shared), clock, "c", found)
    await both(first, third, 8)
    third.watch._serving = asyncio.create_task(asyncio.sleep(0))
    assert third.states()
    await third.watch.close()
    assert {one.id: one.ended_at is None for one in await replicas.known(third.store)} == {  # type: ignore[arg-type]
        "a": True,
        "b": True,
        "c": False,
    }
    await first.pass_(4)
    assert set(first.states()) == set(names)


X, Y, NOBODYS = ({f"{node}{number}" for number in range(4)} for node in ("x", "y", "nowhere"))
FREE = {f"free{number}" for number in range(4)}
ANYBODYS = NOBODYS | FREE


def placed(door: Door, node: str | None = None) -> Configuration:
    """Return a configuration of services that belong to the nodes x and y, to one where nobody is, and to none.

    `node` is the one of the replica that reads it: its host where it is left out.
    """
    probe = f"probe: {{kind: tcp, address: '127.0.0.1:{door.port}', every: 10s}}"
    both = f"{probe}, restart: {{kind: command, argv: [/bin/true]}}"
    lines = [f"  {name}: {{{both}, node: {name.rstrip('0123')}}}" for name in sorted(X | Y | NOBODYS)]
    lines += [f"  {name}: {{{both}}}" for name in sorted(FREE)]
    own = "" if node is None else f"node: {node}\n"
    return config.parse("\n".join([f"{own}services:", *lines, ""]), name="test.yml")


async def test_a_service_of_a_node_is_watched_there_while_a_replica_lives_on_it(
    shared: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """It dies: another node takes over. It comes back, and so do its services, while all the others stay."""
    clock = FakeClock()
    first = process(await open_store(shared), clock, "a", placed(door, "x"))
    second = process(await open_store(shared), clock, "y", placed(door))
    await both(first, second, 8)
    assert [set(one.states()) & (X | Y) for one in (first, second)] == [X, Y]
    shares = set(first.states()) & ANYBODYS, set(second.states()) & ANYBODYS
    assert shares[0] | shares[1] == ANYBODYS
    assert not shares[0] & shares[1]
    assert all(shares)
    assert first.watch.living_nodes == second.watch.living_nodes == {"x", "y"}
    await first.pass_(17)
    assert set(first.states()) == X | Y | ANYBODYS
    assert set(first.states().values()) == {"up"}
    assert first.watch.living_nodes == {"x"}
    again = process(await open_store(shared), clock, "y", placed(door))
    await both(first, again, 8)
    assert (set(first.states()), set(again.states())) == (X | shares[0], Y | shares[1])
    assert set(again.states().values()) == {"up"}
    assert first.watch.living_nodes == again.watch.living_nodes == {"x", "y"}
    ids = [one.id for one in first.watch.services.values()]
    opened = await service_states.open_ones(first.store, ids)  # type: ignore[arg-type]
    assert sorted(one.service_id for one in opened) == sorted(ids)
    assert {one.service_id for one in opened if one.replica == "y"} == again.watch.board.standings.keys()


async def test_replicas_of_one_node_divide_its_services(
    shared: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    clock = FakeClock()
    all_ = [process(await open_store(shared), clock, name, placed(door, at)) for name, at in ("ax", "bx", "cy")]
    for _ in range(8):
        clock.pass_(1.0)
        for one in all_:
            await one.work()
    first, second, third = all_
    assert set(first.states()) & X | set(second.states()) & X == X
    assert set(first.states()) & X
    assert set(second.states()) & X
    assert set(third.states()) & (X | Y) == Y
    assert sorted(name for one in all_ for name in one.states()) == sorted(X | Y | ANYBODYS)


async def test_a_replica_that_a_reload_moves_is_on_its_new_node(
    shared: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """And a service that a reload gives to another node goes there."""
    clock = FakeClock()
    first = process(await open_store(shared), clock, "a", placed(door, "x"))
    second = process(await open_store(shared), clock, "b", placed(door, "elsewhere"))
    await both(first, second, 8)
    assert set(first.states()) & X == X
    assert first.watch.living_nodes == {"x", "elsewhere"}
    second.adopt(placed(door, "y"))
    await both(first, second, 8)
    assert [set(one.states()) & (X | Y) for one in (first, second)] == [X, Y]
    assert first.watch.living_nodes == second.watch.living_nodes == {"x", "y"}
    for one, node in ((first, "y"), (second, "x")):
        one.adopt(placed(door, node))
    await both(first, second, 8)
    assert [set(one.states()) & (X | Y) for one in (first, second)] == [Y, X]
    assert sorted([*first.states(), *second.states()]) == sorted(X | Y | ANYBODYS)


async def test_who_was_forgotten_says_again_where_it_is(
    shared: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    clock, store = FakeClock(), await open_store(shared)
    one = process(store, clock, "a", placed(door, "x"))
    await one.pass_(2)
    async with store.writing() as connection:
        await connection.execute(tables.replicas.delete())
    await one.pass_(8)
    assert [(found.id, found.node) for found in await replicas.known(store)] == [("a", "x")]


async def test_the_only_process_of_a_file_watches_what_belongs_to_any_node(
    new_url: Callable[[str], str], open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    store, clock = await open_store(new_url("sqlite")), FakeClock()
    one = process(store, clock, "host", placed(door))
    await one.pass_(2)
    assert set(one.states()) == X | Y | ANYBODYS
    assert one.watch.living_nodes == {"host"}
    one.adopt(placed(door, "x"))
    await one.pass_(1)
    assert one.watch.living_nodes == {"x"}
    assert set(one.states()) == X | Y | ANYBODYS


async def test_a_circuit_is_shown_by_whom_its_service_is_watched(
    shared: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """So that alerts on it join what the same replica says of the service; also when one dies, and comes back."""
    clock = FakeClock()
    first = process(await open_store(shared), clock, "a", placed(door, "x"))
    second = process(await open_store(shared), clock, "b", placed(door, "y"))
    await both(first, second, 8)

    async def none_stepped() -> tuple[dict[Any, Any], float]:
        return {}, clock.time()

    async def shown(one: Process) -> set[str]:
        bridge = SimpleNamespace(configuration=placed(door), circuits=none_stepped)
        (source,) = circuits.sources(SimpleNamespace(bridge=bridge, watch=one.watch))  # type: ignore[arg-type]
        return {name for name, _ in (await source.read())[circuits.FAILURES]}

    for one in (first, second):
        assert await shown(one) == set(one.states())
    assert not await shown(first) & await shown(second)
    await first.pass_(17)
    assert await shown(first) == set(first.states()) == X | Y | ANYBODYS, "the other one is dead"
    await both(first, second, 8)
    for one in (first, second):
        assert await shown(one) == set(one.states())
    assert not await shown(first) & await shown(second)


async def test_a_replica_that_stood_still_counts_nothing_twice(
    shared: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """What others took over meanwhile it takes anew: no second is counted by both, and one stretch is open."""
    names = [f"s{number}" for number in range(8)]
    clock, found = FakeClock(), configuration(door, *names)
    first = process(await open_store(shared), clock, "a", found)
    second = process(await open_store(shared), clock, "b", found)
    await both(first, second, 8)
    began = clock.time()
    owned = set(first.states())
    await second.pass_(30)  # the first one is stopped
    assert set(second.states()) == set(names)
    await both(first, second, 10)
    assert set(first.states()) == owned
    assert set(second.states()) == set(names) - owned
    ids = {one.name: one.id for one in first.watch.services.values()}
    opened = await service_states.open_ones(first.store, list(ids.values()))  # type: ignore[arg-type]
    assert len(opened) == 8
    uptime: dict[str, float] = {}
    for one in (first, second):
        for (_, name, _), seconds in one.watch.ledger.uptime().items():
            uptime[name] = uptime.get(name, 0.0) + seconds
    # Each second of each service is in one state, or in none for the moments in which it changes hands.
    since = clock.time() - began + 7.0
    assert all(since - 3.5 < seconds < since + 0.01 for seconds in uptime.values())


async def test_an_outage_that_all_replicas_see_is_seen_through(
    shared: str, open_store: Callable[..., Any], process: Callable[..., Process], door: Door
) -> None:
    """Nobody took over while the store was away: what was observed meanwhile is written, and nothing is unknown."""
    clock, found = FakeClock(), configuration(door, "web")
    one = process(await open_store(shared), clock, "a", found)
    await one.pass_(2)
    one.store.plan.extend(["before"] * 1000)
    await one.pass_(30)
    one.store.plan.clear()
    await one.pass_(3)
    assert one.watch.trouble is None
    (web,) = one.watch.named("web", None)
    assert one.runs() == {"web": 4.0}
    states = [stretch.state for stretch in await service_states.since(one.store, [web.id], 0.0)]  # type: ignore[arg-type]
    assert states == ["unknown", "up"]


async def test_it_serves_and_ends_on_a_real_clock(
    url: str,
    open_store: Callable[..., Any],
    process: Callable[..., Process],
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Started, it probes by itself; closed, all that was seen is stored and the heartbeat says until when."""
    monkeypatch.setattr(watching, "BEAT", 0.01)
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web"))
    await one.watch.prepare()
    one.watch.start()
    async with asyncio.timeout(20):
        while "up" not in one.states().values():  # noqa: ASYNC110 - a state, not an event
            await asyncio.sleep(0.01)
    clock.pass_(0.5)
    await one.watch.close()
    (web,) = one.watch.services.values()
    assert (await service_totals.known(store, [web.id]))[web.id].runs_success == 1
    (replica,) = await replicas.known(store)
    assert replica.ended_at == pytest.approx(clock.time(), abs=0.01)
    assert one.watch.scheduler.running == 0
    await one.watch.close()


async def test_a_commit_that_hangs_at_the_end_is_cut_off_and_its_batch_written(
    url: str,
    open_store: Callable[..., Any],
    process: Callable[..., Process],
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last tick waits for the one before it: no batch is in the air when the last commit is made."""
    monkeypatch.setattr(watching, "CLOSE_SECONDS", 0.05)
    store, clock = await open_store(url), FakeClock()
    one = process(store, clock, "me", configuration(door, "web"))
    await one.pass_(1)
    (web,) = one.watch.named("web", None)
    hanging = asyncio.Event()
    real = one.store.writing

    @contextlib.asynccontextmanager
    async def hangs(**options: Any) -> AsyncIterator[Any]:
        hanging.set()
        monkeypatch.setattr(one.store, "writing", real)
        await asyncio.Event().wait()
        async with real(**options) as connection:
            yield connection

    clock.pass_(10.5)
    one.watch.scheduler.begin_due()
    await asyncio.wait(set(one.watch.scheduler._tasks))
    monkeypatch.setattr(one.store, "writing", hangs)
    await one.watch.prepare()
    one.watch.start()
    await asyncio.wait_for(hanging.wait(), 10)
    await one.watch.close()
    assert (await service_totals.known(store, [web.id]))[web.id].runs_success == 2
