"""What was acknowledged stays: through kill -9, a full disk and settings that would trade it for speed."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from exporter.errors import StoreError
from exporter.store.collector_runs import recall, remember
from exporter.store.engines import settle_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROUNDS = 20
WRITER = """
import asyncio, itertools, sys, time
from exporter.store.collector_runs import remember
from exporter.store.options import StoreOptions
from exporter.store.store import Store
async def main():
    store = await Store.open(StoreOptions.from_scalar(sys.argv[1]), time, exclusive=True)
    for number in itertools.count():
        await remember(store, {("round-" + sys.argv[2], f"{number}"): 1.0})
        print(number, flush=True)
asyncio.run(main())
"""


def killed(argv: list[str], *, after: int) -> list[str]:
    """Start a writer, kill it when it has acknowledged `after` rows, and return all whole lines it wrote."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = list(itertools.islice(writer.stdout, after))
        writer.kill()
        return lines + [line for line in writer.stdout if line.endswith("\n")]


async def test_kill_9_loses_no_acknowledged_row(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """Whatever a writer said was stored is there after it was killed at any moment, and the file is whole."""
    url = new_url("sqlite")
    acknowledged = set()
    for number in range(ROUNDS):
        argv = [sys.executable, "-c", WRITER, url, str(number)]
        lines = await asyncio.to_thread(killed, argv, after=3 + 7 * number)
        acknowledged |= {(f"round-{number}", line.strip()) for line in lines}
    store = await open_store(url, exclusive=True)
    assert len(acknowledged) > ROUNDS
    assert acknowledged <= set(await recall(store))
    async with store.reading() as connection:
        assert (await connection.exec_driver_sql("PRAGMA integrity_check")).scalar() == "ok"


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1), ("busy_timeout", 4500)],
    ids=str,
)
async def test_every_connection_is_durable(
    new_url: Callable[[str], str], open_store: Callable[..., Any], pragma: str, expected: int | str
) -> None:
    """Each connection of the pool syncs at every commit and waits for other processes' locks."""
    store = await open_store(new_url("sqlite"))
    async with store.reading() as one, store.reading() as other:
        for connection in (one, other):
            assert (await connection.exec_driver_sql(f"PRAGMA {pragma}")).scalar() == expected


def test_sqlite_that_ignores_synchronous_is_refused(tmp_path: Path) -> None:
    """A setting that SQLite did not take is found by reading it back, not believed."""
    connection = sqlite3.connect(tmp_path / "w.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")

    def ignore(action: int, name: str | None, value: str | None, *_: Any) -> int:
        setting = action == sqlite3.SQLITE_PRAGMA and name == "synchronous" and value is not None
        return sqlite3.SQLITE_IGNORE if setting else sqlite3.SQLITE_OK

    connection.set_authorizer(ignore)
    with pytest.raises(StoreError, match="synchronous=1 where 2 is needed"):
        settle_sqlite(connection, "w.db")
    connection.close()


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
async def test_postgresql_that_acknowledges_early_is_refused(
    postgres: Any, open_store: Callable[..., Any], value: str
) -> None:
    """PostgreSQL that may answer before the commit is on every disk it promises is refused with the remedy."""
    url = postgres.create_database()
    postgres.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = {value}")
    with pytest.raises(StoreError, match=rf"synchronous_commit is {value}.*ALTER DATABASE"):
        await open_store(url)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = sys.platform == "linux" and os.geteuid() == 0
    argv = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "none", str(disk)]
    if not mounted or subprocess.run(argv, check=False, capture_output=True).returncode:
        pytest.skip("a file system of 2 MiB can be mounted by root on Linux only")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_full_disk(tiny_disk: Path, open_store: Callable[..., Any]) -> None:
    """A full disk is an error of that one write; what was stored stays readable, and space lets writes go on."""
    store = await open_store(f"sqlite:///{tiny_disk}/data/watchbridge.db", exclusive=True)
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(b"\0" * 1_300_000)
    stored: dict[tuple[str, str], float] = {}

    async def fill() -> None:
        for number in range(1000):
            rows = {("packages", f"{number}-{part}-{'x' * 100}"): float(part) for part in range(50)}
            await remember(store, rows)
            stored.update(rows)

    with pytest.raises(StoreError, match="full"):
        await fill()
    assert stored
    assert await recall(store) == stored
    ballast.unlink()
    await remember(store, {("packages", "after"): 1.0})
    assert await recall(store) == stored | {("packages", "after"): 1.0}
