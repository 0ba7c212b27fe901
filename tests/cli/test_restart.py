"""`watchbridge restart`: planned, enqueued for a running server, or done here, in order and verified."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from servers.program import Program
from servers.programs import free_port, until
from servers.restarts import HELPS_NOT, Machine, written
from sqlalchemy import update

from exporter.circuit import Circuit, Key
from exporter.store import audit, backlog, circuits, replicas, service_leases, service_restarts
from exporter.store.backlog import NewItem
from exporter.store.bridge_tables import backlog_items
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path


PATIENT = {"verify_timeout": "20s"}
"""For what helps: however busy the machine is, its probe finds that out."""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a machine of services."""
    return Machine(tmp_path)


class Place:
    """A configuration with its store: `web` needs `db`, nothing helps `sick`, and `only` has no restart."""

    def __init__(self, folder: Path, machine: Machine, url: str) -> None:
        self.path = folder / "watchbridge.yml"
        self.machine = machine
        self.url = url
        self.write()

    def write(self, **sections: Any) -> None:
        """Write the configuration with some sections more."""
        services = {
            "sick": self.machine.service("sick", HELPS_NOT, depends_on=["web"]),
            "web": self.machine.service("web", depends_on=["db"], group="front", timing=PATIENT),
            "db": self.machine.service("db", timing=PATIENT),
            "only": {"probe": self.machine.probe("only")},
        }
        listen = [{"address": f"127.0.0.1:{free_port()}"}]
        self.path.write_text(written(services, **{"store": self.url, "listen": listen} | sections), encoding="utf-8")

    def inside(self, work: Callable[[Store], Awaitable[Any]]) -> Any:
        """Do something with the store."""

        async def run() -> Any:
            store = await Store.open(StoreOptions.from_scalar(self.url), time, exclusive=False)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def items(self) -> list[backlog.BacklogItem]:
        """Return all items."""
        found: list[backlog.BacklogItem] = self.inside(backlog.listed)
        return found

    def item(self, name: str, **values: Any) -> None:
        """Store an item of a rule for a service."""
        now = time.time()
        given: dict[str, Any] = {"state": "pending", "mode": "auto", "due_at": now} | values
        new = NewItem(queue="restarts", key=name, reason="Down", origin="rule", service=name, **given)

        async def put(store: Store) -> None:
            async with store.writing() as connection:
                await backlog.enqueued(connection, [new], now)

        self.inside(put)

    def asked(self, name: str, **values: Any) -> None:
        """Store an item that a person asked for, as it is by now."""

        async def put(store: Store) -> None:
            number, _ = await backlog.add(
                store, "restarts", name, "asked for", actor="cli:ann", now=time.time(), service=name
            )
            async with store.writing() as connection:
                await connection.execute(update(backlog_items).where(backlog_items.c.id == number).values(values))

        self.inside(put)

    def open(self, key: Key, seconds: float = 300.0) -> None:
        """Open a circuit for so many seconds."""

        async def put(store: Store) -> None:
            async with store.writing() as connection:
                now = await service_leases.locked(connection, store)
                await circuits.put(connection, {key: Circuit(3, 1, now, now + seconds)})

        self.inside(put)


@pytest.fixture
def place(tmp_path: Path, machine: Machine, new_store: Callable[[Path], None]) -> Place:
    """Give a configuration beside an empty store."""
    new_store(tmp_path / "data")
    return Place(tmp_path, machine, f"sqlite:///{tmp_path}/data/watchbridge.db")


@contextlib.contextmanager
def serving(place: Place) -> Iterator[Program]:
    """Let a real server run on a place."""
    folder = place.path.parent / "served"
    folder.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    server = Program([sys.executable, "-m", "exporter", "serve", "--config", str(place.path)], folder, environment)
    try:
        server.wait_ready()
        yield server
    finally:
        if server.exit_code is None:
            server.stop()


@pytest.fixture
def restart(watchbridge: Callable[..., Any], place: Place) -> Callable[..., Any]:
    """Give a function that runs the command."""
    return lambda *words: watchbridge("restart", *words, "--config", place.path)


@pytest.fixture
def printed(restart: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that returns what the command prints as JSON."""

    def read(*words: object, code: int = 0) -> Any:
        done = restart(*words, "--output", "json")
        assert done.code == code, done.err
        return json.loads(done.out)

    return read


# What is wrong to ask for


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument 'SERVICE...'"),
        (("wep",), "Nothing is restarted: there is no service 'wep'; did you mean 'web'?"),
        (("web", "zzzzzz"), "there is no service 'zzzzzz' in the configuration."),
        (("only",), "the service 'only' has no `restart` in the configuration."),
        (("wep", "only"), "did you mean 'web'?; the service 'only' has no `restart`"),
        (("\x1b[31m",), "there is no service"),
        (("web", "--here", "--wait", "5"), "Leave --wait out: --here waits for each end by itself."),
        (("web", "--dry-run", "--wait", "5"), "there is nothing to wait for with --dry-run"),
        (("web", "--wait", "-1"), "Invalid value for '--wait'"),
        (("web", "--wait", "nan"), "Invalid value for '--wait'"),
        (("web", "--reason", "x" * 501), "Invalid value for --reason: the reason has 501 characters"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_and_enqueues_nothing(
    restart: Callable[..., Any], place: Place, words: tuple[str, ...], said: str
) -> None:
    done = restart(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "\x1b" not in done.err
    assert place.items() == []


def test_without_a_server_nothing_is_enqueued(restart: Callable[..., Any], place: Place) -> None:
    """It says so, and what to do; also where there is no store at all, which is not made."""
    done = restart("web", "db")
    assert (done.code, done.out) == (3, "")
    assert "No Watchbridge runs on the store" in done.err
    assert "start `watchbridge serve`, or add --here." in done.err
    assert place.items() == []
    place.write(store=f"sqlite:///{place.path.parent}/none/watchbridge.db")
    done = restart("web")
    assert (done.code, "No Watchbridge runs" in done.err) == (3, True)
    assert not (place.path.parent / "none").exists()


# The plan


def test_the_plan_has_the_order_the_arguments_and_each_reason(printed: Callable[..., Any], place: Place) -> None:
    """What is needed comes first; nothing is changed, and nothing run."""
    place.open(Key("service", "sick"))
    place.write(
        windows=[{"services": ["web"], "start": "2020-01-01T00:00", "end": "2999-01-01T00:00", "comment": "new disk"}],
        budgets=[{"scope": "all", "restarts": 1, "per": "10m"}],
    )
    rows = {row["service"]: row for row in printed("sick", "web", "db", "--dry-run")}
    assert [(row["service"], row["order"]) for row in rows.values()] == [("db", 1), ("web", 2), ("sick", 3)]
    assert [(row["verdict"], row["hold"]) for row in rows.values()] == [
        ("run", None), ("held", "window"), ("held", "circuit"),
    ]  # fmt: skip
    assert rows["db"]["plan"]["argv"][:2] == ["/bin/sh", "-c"]
    assert rows["web"]["why"].startswith("planned maintenance until 2999-01-01")
    assert "`watchbridge windows end ID`" in rows["web"]["why"]
    assert rows["web"]["after"] == ["db"]
    assert rows["web"]["circuits"] == {"web": "closed", "the group front": "closed"}
    assert "1 restart of all services began" in rows["web"]["budget"]
    assert rows["sick"]["why"].endswith("`watchbridge circuits reset sick` lets it be tried at once")
    assert rows["sick"]["dependency"] == "web, which it needs, is mended first: its own restart is held (window)"
    assert rows["sick"]["unseen"] == ["not probed: web, db (what the store saw last counts)"]
    assert place.items() == []
    assert place.machine.order() == []


def test_the_plan_for_people_and_as_csv(restart: Callable[..., Any], place: Place) -> None:
    place.item("db", state="held", hold="mode")
    table = restart("web", "db", "--dry-run")
    assert table.code == 0
    assert table.err == "Nothing was enqueued and nothing was run: --dry-run was given.\n"
    lines = table.out.splitlines()
    assert lines[0] == "1. db (command): nothing is in the way: it is restarted"
    assert lines[1].startswith("   runs: /bin/sh -c 'echo run >>")
    assert "   item 1 of it is there already" in lines
    assert "2. web (command): it is restarted after db" in lines
    assert "   waits for: db" in lines
    rows = list(csv.DictReader(io.StringIO(restart("web", "--dry-run", "--output", "csv").out)))
    assert [(row["service"], row["verdict"], row["circuits"]) for row in rows] == [
        ("web", "held", '{"web": "closed", "the group front": "closed"}')
    ]


def test_the_plan_needs_no_store_and_makes_none(restart: Callable[..., Any], place: Place) -> None:
    place.write(store=f"sqlite:///{place.path.parent}/none/watchbridge.db")
    done = restart("web", "--dry-run")
    assert done.code == 0
    assert done.err.startswith("There is no store yet: ")
    assert not (place.path.parent / "none").exists()


# Here


def test_here_each_is_restarted_after_what_it_needs_and_verified(restart: Callable[..., Any], place: Place) -> None:
    """It is done although nothing is down, and the audit has who wanted it and why."""
    for name in ("db", "web"):
        place.machine.up(name).touch()
    done = restart("web", "db", "--here", "--reason", "new certificates")
    assert (done.code, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert first.startswith("db (item 1): done: restarted and verified: it is up: ")
    assert second.startswith("web (item 2): done: restarted and verified: it is up: ")
    assert place.machine.order() == ["db", "web"]
    items = place.items()
    assert [(one.key, one.service, one.origin, one.reason, one.state) for one in items] == [
        ("db", "db", "cli", "new certificates", "done"), ("web", "web", "cli", "new certificates", "done"),
    ]  # fmt: skip
    entries = place.inside(lambda store: audit.of(store, "item", 1))
    assert [(one.verb, one.actor.partition(":")[0]) for one in entries] == [("added", "cli")]


@pytest.mark.parametrize("mode", ["observe", "approve", "auto"])
def test_the_mode_does_not_hold_what_is_done_here(restart: Callable[..., Any], place: Place, mode: str) -> None:
    place.write(mode=mode)
    assert restart("db", "--here").code == 0
    assert place.machine.marks("db") == 1


def test_here_what_does_not_help_is_tried_again_and_what_needs_it_is_told(
    restart: Callable[..., Any], printed: Callable[..., Any], place: Place
) -> None:
    """Its attempts follow one another; the third failure opens its circuit, and then it is held."""
    for name in ("db", "web"):
        place.machine.up(name).touch()
    (row,) = printed("sick", "--here", code=1)
    assert (row["outcome"], row["verified"], row["item"]) == ("dead", False, 1)
    assert row["what"].endswith("(attempt 2, the last)")
    assert place.machine.marks("sick") == 2
    done = restart("sick", "--here")
    assert done.code == 1
    assert "sick (item 2): held: the circuit of sick is open after 3 failures" in done.out
    assert "`watchbridge circuits reset sick` lets it be tried at once" in done.out
    assert "`watchbridge backlog mark-processed --id 2` takes it out." in done.out
    assert place.machine.marks("sick") == 3
    again = restart("sick", "--here")
    assert (again.code, place.machine.marks("sick")) == (1, 3)
    assert again.err.startswith("sick (item 2): is there already: held (the circuit of sick is open ")


def test_here_a_parent_that_is_down_holds_what_needs_it(printed: Callable[..., Any], place: Place) -> None:
    """It is probed first: nothing of what needs it is touched."""
    (row,) = printed("web", "--here", code=1)
    assert (row["outcome"], place.machine.marks("web")) == ("held", 0)
    assert row["what"].startswith("db, which it needs, is down: ")


def test_here_only_what_is_named_is_run(restart: Callable[..., Any], place: Place) -> None:
    place.item("sick")
    assert restart("db", "--here").code == 0
    assert {one.key: one.state for one in place.items()} == {"sick": "pending", "db": "done"}
    assert place.machine.order() == ["db"]


@pytest.mark.parametrize(
    ("state", "code", "marks", "said"),
    [
        ({"state": "pending"}, 0, 1, "is there already: pending."),
        ({"state": "failed", "due_at": 4e9}, 0, 1, "is there already: failed; it is tried at once"),
        ({"state": "held", "hold": "budget", "due_at": 4e9}, 1, 0, "is there already: held"),
    ],
)
def test_here_what_a_person_asked_for_already_is_used(
    restart: Callable[..., Any], place: Place, state: dict[str, Any], code: int, marks: int, said: str
) -> None:
    """What waits, also for its next attempt, is run at once; what is held is told."""
    place.asked("db", **state)
    done = restart("db", "--here")
    assert (done.code, place.machine.marks("db")) == (code, marks)
    assert said in done.err
    assert len(place.items()) == 1


@pytest.mark.parametrize(
    "state",
    [
        {"state": "held", "hold": "budget", "due_at": 4e9},
        {"state": "failed", "due_at": 4e9},
        {"state": "dead"},
    ],
)
def test_here_it_is_done_beside_what_an_alert_led_to(
    restart: Callable[..., Any], place: Place, state: dict[str, Any]
) -> None:
    """Which is left as it is: what a person wants waits for nothing of that."""
    place.item("db", **state)
    done = restart("db", "--here")
    assert (done.code, done.err, place.machine.marks("db")) == (0, "", 1)
    there, own = place.items()
    assert (there.state, there.hold, there.approved_by) == (state["state"], state.get("hold"), None)
    assert (own.origin, own.state) == ("cli", "done")


def test_here_a_service_of_another_node_is_refused(restart: Callable[..., Any], place: Place) -> None:
    content = json.loads(place.path.read_text())
    content["services"]["db"]["node"] = "elsewhere"
    content["node"] = "web1"
    place.path.write_text(json.dumps(content), encoding="utf-8")
    done = restart("web", "db", "--here")
    assert (done.code, done.out) == (2, "")
    assert "db runs on the node elsewhere, and this is web1" in done.err
    assert place.items() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_it_leaves_nothing_running_and_writes_that_down(place: Place, number: int, code: int) -> None:
    content = json.loads(place.path.read_text())
    content["services"]["db"]["restart"]["argv"][-1] += "; exec sleep 60"
    place.path.write_text(json.dumps(content), encoding="utf-8")
    command = [sys.executable, "-m", "exporter", "restart", "db", "--here", "--config", str(place.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            until(lambda: place.machine.marks("db"), 60, "the restart")
            program.send_signal(number)
            _, err = program.communicate(timeout=60)
        finally:
            program.kill()
    assert program.returncode == code
    assert "Stopped: what ran was ended and judged" in err
    assert "Traceback" not in err
    (item,) = place.items()
    assert item.lease_owner is None
    (attempt,) = place.inside(lambda store: service_restarts.history(store, "db", since=0.0))
    assert (attempt.ended_at is None, attempt.acted) == (False, None)


def test_what_waits_is_listed_with_its_sentence_below_its_action(watchbridge: Callable[..., Any], place: Place) -> None:
    place.item("db", state="held", hold="budget", explanation="more from 12:08:27 UTC")
    listed = watchbridge("backlog", "list", "--config", place.path)
    assert listed.code == 0
    assert "Explanation" in listed.out.splitlines()[0]
    assert "more from 12:08:27 UTC" in listed.out
    status = watchbridge("backlog", "status", "--output", "json", "--config", place.path)
    rows = {row["queue"]: row for row in json.loads(status.out)}
    assert (rows["restarts"]["action"], rows["restarts"]["held"]) == ("restart", 1)


# By a running server


def test_a_running_server_restarts_what_is_enqueued_in_order(
    restart: Callable[..., Any], printed: Callable[..., Any], place: Place
) -> None:
    """With --wait the ends are known: one that is not verified is exit status 1, one that is held too."""
    with serving(place):
        done = restart("web", "db")
        assert (done.code, done.out) == (0, "db (item 1): enqueued.\nweb (item 2): enqueued.\n")
        rows = printed("web", "db", "--wait", "60")
        assert [(row["service"], row["outcome"], row["verified"]) for row in rows] == [
            ("db", "done", True), ("web", "done", True),
        ]  # fmt: skip
        assert place.machine.order()[:2] == ["db", "web"]
        plan = restart("sick", "--dry-run")
        assert (plan.code, len(place.items())) == (0, rows[-1]["item"]), "a plan works beside a server"
        (dead,) = printed("sick", "--wait", "60", code=1)
        assert (dead["outcome"], dead["verified"]) == ("dead", False)
        here = restart("db", "--here")
        assert here.code == 0, "it works beside a server"
        place.open(Key("group", "front"))
        held = restart("web", "--wait", "1.5")
        assert held.code == 1
        assert "is held: the circuit of the group front is open after 3 failures" in held.err
        assert "`watchbridge circuits reset --group front` lets it be tried at once." in held.out
        before = place.machine.marks("web")
        again = restart("web")
        assert again.code == 0
        assert re.match(r"web \(item \d+\): is there already: held \(the circuit ", again.out)
        assert _reset(place) == 0
        until(lambda: place.machine.marks("web") > before, 30, "the restart after the reset")


def _reset(place: Place) -> int:
    words = ("circuits", "reset", "--group", "front", "--config", str(place.path))
    return subprocess.run([sys.executable, "-m", "exporter", *words], capture_output=True, timeout=60).returncode  # noqa: PLW1510 -- its status is what is asked for


def test_the_mode_does_not_hold_what_a_person_wants(printed: Callable[..., Any], place: Place) -> None:
    """Each has an item of its own; what a rule wanted, and the mode holds, is released by nobody."""
    place.write(mode="approve")
    place.item("db", state="held", hold="mode", mode="approve", due_at=time.time() + 300)
    with serving(place):
        assert [(row["item"], row["outcome"]) for row in printed("db", "web")] == [(2, "enqueued"), (3, "enqueued")]
        until(lambda: place.machine.order() == ["db", "web"], 30, "the restarts")
    of_rule, *own = place.items()
    assert (of_rule.state, of_rule.hold, of_rule.approved_by) == ("held", "mode", None)
    assert all((one.approved_by or "").startswith("cli:") for one in own)


def test_not_even_where_nothing_else_is_run(printed: Callable[..., Any], place: Place) -> None:
    place.write(mode="observe")
    with serving(place):
        (row,) = printed("db", "--wait", "3")
    assert row["verified"]


def test_a_replica_counts_whose_heart_beats(
    watchbridge: Callable[..., Any], tmp_path: Path, machine: Machine, new_url: Callable[[str], str]
) -> None:
    """On a shared store there is no lock: one that has ended, or that was killed long ago, is nobody."""
    place = Place(tmp_path, machine, new_url("postgres"))

    def run() -> Any:
        return watchbridge("restart", "db", "--config", place.path)

    now = time.time()
    place.inside(lambda store: replicas.begun(store, "ended", now))
    place.inside(lambda store: replicas.ended(store, "ended", now))
    place.inside(lambda store: replicas.begun(store, "killed", now - 60))
    assert (run().code, place.items()) == (3, [])
    with serving(place):
        done = run()
        assert (done.code, done.out) == (0, "db (item 1): enqueued.\n")
        until(lambda: machine.marks("db"), 30, "the restart")
