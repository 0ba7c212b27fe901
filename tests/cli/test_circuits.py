"""`watchbridge circuits`: how they are, and closing them by hand."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from exporter.circuit import Circuit, Key
from exporter.store import backlog, circuits, service_leases
from exporter.store.backlog import NewItem
from exporter.store.bridge_tables import audit
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

CONFIGURATION = """
store: {url}
services:
  db: {{restart: {{kind: command, argv: [/bin/true]}}, probe: {{kind: tcp, address: "127.0.0.1:1"}}}}
  web: {{group: front, restart: {{kind: command, argv: [/bin/true]}}, probe: {{kind: tcp, address: "127.0.0.1:1"}}}}
  only: {{probe: {{kind: tcp, address: "127.0.0.1:1"}}}}
"""


class Place:
    """A configuration with its store."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/data/watchbridge.db"
        self.path = folder / "watchbridge.yml"
        self.path.write_text(CONFIGURATION.format(url=self.url), encoding="utf-8")

    def inside(self, work: Callable[[Store], Awaitable[Any]]) -> Any:
        """Do something with the store."""

        async def run() -> Any:
            store = await Store.open(StoreOptions.from_scalar(self.url), time, exclusive=False)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def put(self, found: Mapping[Key, Circuit]) -> None:
        """Store circuits."""

        async def put(store: Store) -> None:
            async with store.writing() as connection:
                await service_leases.locked(connection, store)
                await circuits.put(connection, found)

        self.inside(put)

    def told(self) -> list[str]:
        """Return what the audit says of circuits that people closed."""

        async def read(store: Store) -> list[str]:
            mine = audit.c.noun == "circuit", audit.c.verb == "reset", audit.c.actor.startswith("cli:")
            async with store.reading() as connection:
                return sorted((await connection.execute(select(audit.c.reason).where(*mine))).scalars())

        found: list[str] = self.inside(read)
        return found

    def known(self) -> dict[Key, Circuit]:
        """Return what is stored."""
        found: dict[Key, Circuit] = self.inside(circuits.listed)[0]
        return found


@pytest.fixture
def place(tmp_path: Path, new_store: Callable[[Path], None]) -> Place:
    """Give a place with an open, a half-open and a closed circuit, and one of a service that is gone."""
    new_store(tmp_path / "data")
    made, now = Place(tmp_path), time.time()
    made.put(
        {
            Key("service", "db"): Circuit(3, 2, now - 10, now + 290),
            Key("group", "front"): Circuit(5, 1, now - 400, now - 100, trial=77),
            Key("service", "web"): Circuit(1),
            Key("service", "gone"): Circuit(4, 1, now, now + 300),
        }
    )
    return made


@pytest.fixture
def run(watchbridge: Callable[..., Any], place: Place) -> Callable[..., Any]:
    """Give a function that runs a command."""
    return lambda *words: watchbridge("circuits", *words, "--config", place.path)


def listed(run: Callable[..., Any], *words: str) -> list[dict[str, Any]]:
    done = run("list", *words, "--output", "json")
    assert (done.code, done.err) == (0, "")
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def test_the_list_has_each_circuit_that_there_is(run: Callable[..., Any]) -> None:
    """Of the services that can be restarted, and of their groups; a trial whose item does not run is none."""
    rows = listed(run)
    names = ("circuit", "name", "group", "state", "failures", "opened")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("group", "front", "front", "half_open", 5, 1), ("service", "db", None, "open", 3, 2),
        ("service", "web", "front", "closed", 1, 0),
    ]  # fmt: skip
    assert [row["trial"] for row in rows] == [None, None, None]
    assert 200 < rows[1]["retry_in"] <= 290
    assert rows[0]["retry_in"] is None
    assert [row["name"] for row in listed(run, "--all")][3:] == ["gone"]
    table = run("list").out.splitlines()
    assert table[0].split() == ["Circuit", "Name", "Group", "State", "Failures", "Opened", "Retry", "in", "Trial"]
    assert table[1].split()[:4] == ["group", "front", "front", "half-open"]
    assert len(list(csv.DictReader(io.StringIO(run("list", "--output", "csv").out)))) == 3


def test_a_trial_that_runs_is_named(run: Callable[..., Any], place: Place) -> None:
    async def put(store: Store) -> None:
        now = time.time()
        item = NewItem("restarts", "web", "", "rule", "running", "auto", now, service="web")
        async with store.writing() as connection:
            await backlog.enqueued(connection, [item], now)
            await circuits.put(connection, {Key("group", "front"): Circuit(5, 1, now - 400, now - 100, trial=1)})

    place.inside(put)
    assert listed(run)[0]["trial"] == 1


@pytest.mark.parametrize(
    ("words", "closed", "said"),
    [
        (
            ("db",),
            {Key("service", "db")},
            ["The circuit of db was open after 3 failures: now it is closed and counts "],
        ),
        (
            ("--group", "front"),
            {Key("group", "front")},
            ["The circuit of the group front was half-open after 5 failures"],
        ),
        (("web",), {Key("service", "web")}, ["The circuit of web was closed and had counted 1 failure: now "]),
        (("gone", "db"), {Key("service", "gone"), Key("service", "db")}, ["of gone was open", "of db was open"]),
        (
            ("db", "--group", "front", "db"),
            {Key("service", "db"), Key("group", "front")},
            ["The circuit of the group front was", "The circuit of db was open"],
        ),
        (("--all",), None, ["the group front", "of db", "of gone", "of web"]),
    ],
)
def test_what_is_named_is_closed_and_nothing_else(
    run: Callable[..., Any], place: Place, words: tuple[str, ...], closed: set[Key] | None, said: list[str]
) -> None:
    """How often each has opened stays; who did it is in the audit; a second time nothing changes, and that is fine."""
    before = place.known()
    done = run("reset", *words)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))
    wanted = set(before) if closed is None else closed
    after = place.known()
    assert {key for key in after if after[key] != before[key]} == wanted
    assert all(after[key] == Circuit(opened=before[key].opened) for key in wanted)
    assert place.told() == sorted(f"the circuit of the {key.noun} {key.name} was closed by hand" for key in wanted)
    again = run("reset", *words)
    assert again.code == 0
    assert "was closed already." in again.out or again.out == "No circuit is open.\n"
    assert place.known() == after


def test_one_that_never_opened_is_closed_already(run: Callable[..., Any], place: Place) -> None:
    place.put({Key("service", "db"): Circuit()})
    done = run("reset", "db", "--output", "json")
    assert (done.code, json.loads(done.out)) == (
        0,
        [{"circuit": "service", "name": "db", "was": "closed", "failures": 0, "changed": False}],
    )


def test_what_was_held_is_due_at_once(run: Callable[..., Any], place: Place) -> None:
    """What is held for another reason waits as before."""
    now = time.time()

    async def put(store: Store) -> None:
        held = [
            NewItem("restarts", hold, "", "rule", "held", "auto", now + 300, service="db", hold=hold)
            for hold in ("circuit", "window")
        ]
        async with store.writing() as connection:
            await backlog.enqueued(connection, held, now)

    place.inside(put)
    done = run("reset", "db")
    assert done.err == "1 held item of the queue restarts will be looked at anew at once.\n"
    due = {one.key: one.due_at for one in place.inside(backlog.listed)}
    assert due["circuit"] < now + 300 == due["window"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("reset",), "Say which: the NAME of a service, --group NAME, or --all."),
        (("reset", "db", "--all"), "Give names or --all, not both."),
        (("reset", "--all", "--group", "front"), "Give names or --all, not both."),
        (("reset", "dbb"), "Nothing was closed: there is no circuit of the service 'dbb'; did you mean 'db'?"),
        (("reset", "db", "only"), "there is no circuit of the service 'only': `watchbridge circuits list` names all."),
        (("reset", "front"), "there is no circuit of the service 'front': give --group front."),
        (("reset", "--group", "db"), "there is no circuit of the group 'db': give db."),
        (("reset", "--group", "fornt"), "the group 'fornt'; did you mean 'front'?"),
        (("reset", "x\x1b[2J"), "there is no circuit of the service"),
        (("rest",), "No such command 'rest'"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_and_closes_nothing(
    run: Callable[..., Any], place: Place, words: tuple[str, ...], said: str
) -> None:
    before = place.known()
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "\x1b" not in done.err
    assert place.known() == before


def test_without_a_store_it_says_what_to_do(watchbridge: Callable[..., Any], tmp_path: Path) -> None:
    for words in (("list",), ("reset", "--all")):
        done = watchbridge("circuits", *words, "--config", Place(tmp_path).path)
        assert (done.code, done.out) == (3, "")
        assert "start `watchbridge serve` once" in done.err


def test_nothing_to_restart_is_said(watchbridge: Callable[..., Any], place: Place) -> None:
    place.path.write_text(f"store: {place.url}\n", encoding="utf-8")
    done = watchbridge("circuits", "list", "--config", place.path)
    assert (done.code, done.out) == (0, "No service has a `restart` in the configuration, so there is no circuit.\n")
