"""`watchbridge alarms` on real tables: what is in alarm now, and again and again with a countdown on a terminal."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from process_alarms.scenes import made, plant, ring
from servers.engines import FileDatabase, ServerDatabase

from exporter.config import load
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.engines import EmptyDatabase
    from servers.mariadb import MariaDB

CONFIGURATION = """
store: sqlite:///{folder}/data/watchbridge.db
databases: {{monitoring: {{url: '{url}'}}, nowhere: {{url: 'postgresql://u:p@127.0.0.1:1/db'}}}}
alarms:
  plant: {{database: monitoring, every: 1s}}
  away: {{database: nowhere}}
services:
  apache2: {{probe: {{kind: tcp, address: '127.0.0.1:1'}}, restart: {{kind: command, argv: [/bin/true]}}}}
"""
NAMES = {123: "apache2", 4: "mysql", 5: "two\nlines \x1b[31m"}


def write(folder: Path, url: str) -> Path:
    path = folder / "watchbridge.yml"
    path.write_text(CONFIGURATION.format(folder=folder, url=url), encoding="utf-8")
    return path


@pytest.fixture
def monitor(tmp_path: Path) -> FileDatabase:
    """Give tables in which one of three processes is in alarm."""
    database = FileDatabase(tmp_path)
    made(database, NAMES, {123: 1, 4: 0, 5: "NULL"})
    return database


@pytest.fixture
def config(tmp_path: Path, monitor: FileDatabase) -> Path:
    """Give a configuration of those tables, and of a database that is away, without a store."""
    return write(tmp_path, monitor.url)


@pytest.fixture
def run(watchbridge: Callable[..., Any], config: Path) -> Callable[..., Any]:
    """Give a function that runs `alarms` with that configuration."""
    return lambda *words: watchbridge("alarms", *words, "--config", config)


def test_what_is_in_alarm_is_shown(run: Callable[..., Any], monitor: FileDatabase) -> None:
    """With the service that is restarted for it; the exit status says whether anything is."""
    done = run("plant", "--output", "json")
    assert (done.code, done.err) == (1, "")
    (row,) = json.loads(done.out)
    assert row == {
        "source": "plant",
        "process_id": "123",
        "process": "apache2",
        "alarm": True,
        "service": "apache2",
        "since": None,
        "item": None,
        "item_state": None,
    }
    ring(monitor, 123, 0)
    done = run("plant")
    assert (done.code, done.out, done.err) == (0, "No process is in alarm.\n", "")
    ring(monitor, 4)
    done = run("plant")
    assert done.code == 1
    assert done.out.splitlines()[1].split()[:6] == ["plant", "4", "mysql", "yes", "not", "configured"]


def test_all_processes_can_be_shown(run: Callable[..., Any]) -> None:
    """In every format; nothing in a name can steer a terminal."""
    table = run("plant", "--all")
    assert table.code == 1
    assert "two\\nlines \\x1b[31m" in table.out
    assert "\x1b" not in table.out
    rows = list(csv.DictReader(io.StringIO(run("plant", "--all", "--output", "csv").out)))
    assert {row["process"]: row["alarm"] for row in rows} == {NAMES[123]: "True", NAMES[4]: "False", NAMES[5]: "False"}
    assert {row["service"] for row in rows} == {"apache2", "not configured"}


def test_a_source_that_cannot_be_read_does_not_hide_the_others(run: Callable[..., Any]) -> None:
    """What could be read is shown, what could not is said, and the exit status says so."""
    done = run()
    assert done.code == 3
    assert "apache2" in done.out
    assert done.err.startswith("watchbridge: away: The database 'nowhere' could not be reached")
    done = run("away")
    assert (done.code, done.out) == (3, "")


def test_mistakes_are_sentences(
    run: Callable[..., Any], watchbridge: Callable[..., Any], tmp_path: Path, monitor: FileDatabase
) -> None:
    """An unknown source names the nearest, a configuration without any says what to add, a table is named."""
    done = run("plent")
    assert done.code == 2
    assert "'plent' (did you mean 'plant'?)" in done.err
    empty = tmp_path / "empty.yml"
    empty.write_text("mode: observe", encoding="utf-8")
    done = watchbridge("alarms", "--config", empty)
    assert done.code == 2
    assert "add one below `alarms`" in done.err
    monitor.execute("DROP TABLE STATUS_PROCESS")
    done = run("plant")
    assert done.code == 3
    assert "no table 'STATUS_PROCESS'" in done.err


def test_what_an_alarm_led_to_is_shown_where_there_is_a_store(
    run: Callable[..., Any], config: Path, tmp_path: Path, monitor: FileDatabase, new_store: Callable[[Path], None]
) -> None:
    """Since when it stands, and its last item; an old store is left out with a warning."""
    new_store(tmp_path / "data")

    async def look() -> None:
        configuration = load(config)
        store = await Store.open(configuration.store, time, exclusive=False)
        async with plant(store, monitor.url, configuration, nowhere="sqlite:////nowhere/at.all") as one:
            await one.alarms.tick()
        await store.close()

    asyncio.run(look())
    (row,) = json.loads(run("plant", "--output", "json").out)
    assert row["since"].endswith("Z")
    assert (row["item"], row["item_state"]) == (1, "cancelled")
    assert run("plant").out.splitlines()[1].split()[-2:] == ["1", "cancelled"]
    (tmp_path / "data" / "watchbridge.db").write_bytes(b"no database" * 100)
    done = run("plant", "--output", "json")
    assert done.code == 1
    assert json.loads(done.out)[0]["item"] is None
    assert done.err.startswith("warning: what alarms led to is not shown: ")


@pytest.mark.parametrize("engine", ["postgres", "mariadb"], indirect=True)
def test_it_is_alike_on_servers(watchbridge: Callable[..., Any], engine: EmptyDatabase, tmp_path: Path) -> None:
    made(engine, {123: "apache2", 4: "mysql"}, {123: 1, 4: 0})
    done = watchbridge("alarms", "plant", "--output", "json", "--config", write(tmp_path, engine.url))
    assert (done.code, done.err) == (1, "")
    assert [(row["process_id"], row["alarm"]) for row in json.loads(done.out)] == [("123", True)]


def test_the_tables_are_only_read(mariadb: MariaDB, watchbridge: Callable[..., Any], tmp_path: Path) -> None:
    """A user who may do no more is enough."""
    engine = ServerDatabase(mariadb, "mysql")
    made(engine, {123: "apache2"}, {123: 1})
    name = f"looker_{engine.name}"
    mariadb.execute(
        f"CREATE USER '{name}'@'%' IDENTIFIED BY 'password'; GRANT SELECT ON `{engine.name}`.* TO '{name}'@'%'"
    )
    url = f"mysql://{name}:password@127.0.0.1:{mariadb.port}/{engine.name}"
    done = watchbridge("alarms", "plant", "--config", write(tmp_path, url))
    assert done.code == 1, done.err


@pytest.fixture
def watching(config: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give a function that starts `alarms plant --watch`; what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **streams: Any) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "exporter", "alarms", "plant", "--watch", "--config", str(config), *words]
        child = subprocess.Popen(argv, **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams))
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def lines(child: subprocess.Popen[bytes], count: int) -> list[bytes]:
    assert child.stdout is not None
    return [child.stdout.readline() for _ in range(count)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_looks_again_until_it_is_ended(
    watching: Callable[..., subprocess.Popen[bytes]], monitor: FileDatabase, number: signal.Signals
) -> None:
    """A document a line, as the tables are then; no countdown where there is no terminal."""
    child = watching("--output", "json")
    assert [len(json.loads(line)) for line in lines(child, 1)] == [1]
    ring(monitor, 123, 0)
    assert b"[]\n" in lines(child, 2)
    child.send_signal(number)
    _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, b"")


def test_watching_goes_on_when_the_tables_are_away(
    watching: Callable[..., subprocess.Popen[bytes]], monitor: FileDatabase
) -> None:
    """Each look that fails says so; the next that does not is shown."""
    monitor.execute("ALTER TABLE STATUS_PROCESS RENAME TO elsewhere")
    child = watching("--output", "csv")
    assert child.stderr is not None
    assert b"no table 'STATUS_PROCESS'" in child.stderr.readline()
    monitor.execute("ALTER TABLE elsewhere RENAME TO STATUS_PROCESS")
    heading, first, second = lines(child, 3)
    assert heading.startswith(b"source,process_id,process,alarm,service")
    assert first == second
    assert first.startswith(b"plant,123,apache2,True,apache2")


def test_a_terminal_counts_down_to_the_next_look(watching: Callable[..., subprocess.Popen[bytes]]) -> None:
    """On standard error, so that what is piped stays data; Ctrl-C takes the line away."""
    ours, theirs = pty.openpty()
    child = watching(stderr=theirs)
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 20
    while seen.count(b"Next check in 1 s") < 2 and time.monotonic() < deadline:
        if select.select([ours], [], [], 1.0)[0]:
            seen += os.read(ours, 4096)
    assert seen.count(b"Next check in 1 s") >= 2, seen
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert child.returncode == 0
    while select.select([ours], [], [], 0.0)[0]:
        try:
            seen += os.read(ours, 4096)
        except OSError:  # the terminal's other end is closed
            break
    os.close(ours)
    assert seen.endswith(b"\r\x1b[K")
    assert out.count(b"apache2") >= 2
    assert b"Next check" not in out
