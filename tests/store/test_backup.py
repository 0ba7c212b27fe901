"""A backup carries the whole store to any engine, and damage never reaches a store."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, text

from exporter.config.options import Secret
from exporter.errors import BackupError, StoreBusyError, StoreNewerError, WatchbridgeError
from exporter.store import (
    client_services,
    clients,
    replicas,
    schema,
    service_editing,
    service_states,
    service_status,
    service_totals,
)
from exporter.store.backup import backup, restore
from exporter.store.collector_runs import recall, remember
from exporter.store.credentials import KeyRing
from exporter.store.portable import read_header
from exporter.store.service_states import Stretch
from exporter.store.service_status import StoredReading
from exporter.store.service_totals import Totals
from exporter.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENGINES = ("sqlite", "postgres", "mariadb")
ROWS = {("packages", f"source-{number} é\n"): 1_700_000_000.123456 + number for number in range(1203)}
OTHER = {("packages", "other"): 1.0}
RING = KeyRing.parse("k9$Wz!pQ3x&Lm7@Tb2#Vn8^Rc5*Yd1%H")


def counts(**rows: int) -> dict[str, int]:
    """Return the rows of every table: those named, else none."""
    return dict.fromkeys(metadata.tables, 0) | rows


async def filled(store: Any) -> None:
    """Store something in every table that has to do with services, with numbers that do not begin at 1."""
    for name in ("gone", "acme"):
        client = await clients.create(store, name)
    await clients.delete(store, client.id - 1)
    fields = {"client_id": client.id, "name": "web", "endpoint_url": "http://é/", "basic_auth_username": "u",
              "basic_auth_password": "p", "expected_status_code": None, "enabled": False}  # fmt: skip
    gone = await service_editing.create(store, RING, fields)
    await service_editing.delete(store, gone.id)
    number = (await service_editing.create(store, RING, fields)).id
    async with store.writing() as connection:
        readings = [StoredReading(number, "down", 1.25 + at, 500, 0.1, "é 😀", "status") for at in range(1203)]
        await service_status.add(connection, [*readings, StoredReading(number, "up", 5000.0)])
        await service_states.opened(connection, [Stretch(number, "down", "é", 1.5, "r", 2.5)])
        await service_states.opened(connection, [Stretch(number, "up", "", 2.5, "r")])
        await service_totals.added(connection, {number: Totals(2**40, 3, {"up": 0.1, "unknown": 1e9})})
        await replicas.beat(connection, "r", 1.0, 2.0)
    await replicas.ended(store, "r", 3.0)


async def dumped(store: Any) -> dict[str, list[Any]]:
    async with store.reading() as connection:
        return {
            table.name: sorted(map(tuple, await connection.execute(select(table)))) for table in metadata.sorted_tables
        }


@pytest.mark.parametrize(("origin", "target"), list(itertools.product(ENGINES, repeat=2)))
async def test_round_trip(
    origin: str, target: str, new_url: Callable[[str], str], open_store: Callable[..., Any], tmp_path: Path
) -> None:
    """What one engine held another holds after the restore, to the last microsecond."""
    file = tmp_path / "store.backup"
    full, empty = await open_store(new_url(origin)), await open_store(new_url(target))
    await remember(full, ROWS)
    assert await backup(full, file) == counts(collector_runs=len(ROWS))
    assert await restore(empty, file) == counts(collector_runs=len(ROWS))
    assert await recall(empty) == ROWS


@pytest.mark.parametrize(("origin", "target"), list(itertools.product(ENGINES, repeat=2)))
async def test_services(
    origin: str, target: str, new_url: Callable[[str], str], open_store: Callable[..., Any], tmp_path: Path
) -> None:
    """Services keep their numbers and history on the way to another engine, and new ones get numbers of their own."""
    file = tmp_path / "store.backup"
    full, other = await open_store(new_url(origin)), await open_store(new_url(target))
    await filled(full)
    await filled(other)
    await filled_more(other)
    await backup(full, file)
    await restore(other, file, force=True)
    restored = await dumped(other)
    assert restored == await dumped(full)
    assert {name: len(rows) for name, rows in restored.items()} == counts(
        clients=1, client_services=1, service_status=1204, service_states=2, service_totals=1, replicas=1
    )
    (web,) = await client_services.made(other, RING)
    assert (web.username, web.password) == (Secret("u"), Secret("p"))
    client = await clients.create(other, "new")
    fields = {"client_id": client.id, "name": "web", "endpoint_url": "http://new/"}
    service = await service_editing.create(other, None, fields)
    assert service.id > web.id
    async with other.writing() as connection:
        await service_status.add(connection, [StoredReading(service.id, "up", 1.0)])
        await service_states.opened(connection, [Stretch(service.id, "up", "", 1.0, "r")])
    assert len((await dumped(other))["service_status"]) == 1205


async def filled_more(store: Any) -> None:
    """Store what a restore must take away, children of what it brings included."""
    client = (await clients.listed(store, 1, 0))[1][0]
    for name in ("db", "mail"):
        fields = {"client_id": client.id, "name": name, "endpoint_url": "http://db/"}
        service = await service_editing.create(store, None, fields)
        async with store.writing() as connection:
            await service_status.add(connection, [StoredReading(service.id, "up", 1.0)])
            await replicas.beat(connection, name, 1.0, 2.0)


async def test_backup_of_the_schema_before_services(url: str, open_store: Callable[..., Any], tmp_path: Path) -> None:
    """A backup made by a version that knew no services yet is taken, and takes away the services that are there."""
    file, store = tmp_path / "store.backup", await open_store(url)
    file.write_bytes(packed(HEADER | {"revision": "0001"}, *GOOD[1:]))
    await filled(store)
    await restore(store, file, force=True)
    assert {name: len(rows) for name, rows in (await dumped(store)).items()} == counts(collector_runs=1)
    await filled(store)


async def test_file_is_ours_and_whole(url: str, open_store: Callable[..., Any], tmp_path: Path) -> None:
    """Only we can read a backup, nothing else is left beside it, and another one does not replace it unasked."""
    file = tmp_path / "backups" / "store.backup"
    file.parent.mkdir()
    store = await open_store(url)
    await remember(store, OTHER)
    await backup(store, file)
    assert list(file.parent.iterdir()) == [file]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    with pytest.raises(BackupError, match="--force"):
        await backup(store, file)
    assert file.read_bytes() == before
    await remember(store, ROWS)
    assert await backup(store, file, force=True) == counts(collector_runs=len(ROWS) + 1)
    assert list(file.parent.iterdir()) == [file]


async def test_beside_a_writer(new_url: Callable[[str], str], open_store: Callable[..., Any], tmp_path: Path) -> None:
    """A backup beside a running server holds whole transactions only."""
    url = new_url("sqlite")
    server, command = await open_store(url, exclusive=True), await open_store(url, upgrade=False)
    done = asyncio.Event()

    async def write() -> None:
        for number in itertools.count():
            await remember(server, {("packages", f"{number}-{part}"): 1.0 for part in range(10)})
            if done.is_set():
                return

    writer = asyncio.create_task(write())
    counts = [(await backup(command, tmp_path / f"{n}.backup"))["collector_runs"] for n in range(10)]
    done.set()
    await writer
    assert [count % 10 for count in counts] == [0] * 10
    assert counts == sorted(counts)


async def test_restore_replaces_only_when_told(url: str, open_store: Callable[..., Any], tmp_path: Path) -> None:
    """A store that holds rows is replaced with force and is otherwise left as it was."""
    file, store = tmp_path / "store.backup", await open_store(url)
    await remember(store, ROWS)
    await backup(store, file)
    await remember(store, OTHER)
    with pytest.raises(BackupError, match=r"holds rows already \(collector_runs\); give --force"):
        await restore(store, file)
    assert await recall(store) == ROWS | OTHER
    await restore(store, file, force=True)
    assert await recall(store) == ROWS


async def test_before_an_upgrade(url: str, open_store: Callable[..., Any], tmp_path: Path) -> None:
    """A store with an older schema is backed up as it is, without being upgraded first."""
    file, store = tmp_path / "store.backup", await open_store(url)
    await remember(store, ROWS)
    async with store.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    older = await open_store(url, upgrade=False)
    assert older.revision == "0000"
    assert await backup(older, file) == counts(collector_runs=len(ROWS))
    assert read_header(file).revision == "0000"


async def test_restore_needs_the_directory(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """While a server runs on the store, the exclusive opening that a restore needs is refused."""
    url = new_url("sqlite")
    await open_store(url, exclusive=True)
    with pytest.raises(StoreBusyError, match="stop it first"):
        await open_store(url, exclusive=True)


HEADER = {
    "format": "watchbridge-backup",
    "version": 1,
    "revision": schema.HEAD,
    "created": 1.5,
    "tables": {"collector_runs": ["collector", "source", "last_success"]},
}
GOOD = [HEADER, ["collector_runs", "packages", "npm", 5.0], {"rows": {"collector_runs": 1}}]


def packed(*lines: Any) -> bytes:
    return gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        pytest.param(b"", BackupError, "no backup of Watchbridge", id="empty"),
        pytest.param(b"SQLite format 3\0", BackupError, "no gzip file", id="not-gzip"),
        pytest.param(gzip.compress(b"hello\n"), BackupError, "not JSON", id="not-json"),
        pytest.param(gzip.compress(b"[" * 100_000 + b"\n"), BackupError, "not JSON", id="nested-too-deep"),
        pytest.param(gzip.compress(b"\xff\xfe\n"), BackupError, "not JSON", id="not-text"),
        pytest.param(packed(["x"]), BackupError, "no backup of Watchbridge", id="other-json"),
        pytest.param(packed(HEADER | {"version": 2}), BackupError, "newer Watchbridge", id="newer-format"),
        pytest.param(packed(HEADER | {"revision": "9999"}), StoreNewerError, "9999", id="newer-schema"),
        pytest.param(packed(HEADER | {"tables": 5}), BackupError, "first line is damaged", id="tables-no-mapping"),
        pytest.param(packed(HEADER | {"tables": {"a": [1]}}), BackupError, "first line", id="column-no-name"),
        pytest.param(packed(HEADER | {"tables": {"users": ["id"]}}), BackupError, "'users'", id="unknown-table"),
        pytest.param(
            packed(HEADER | {"tables": {"collector_runs": ["x"]}}), BackupError, "of this", id="unknown-column"
        ),
        pytest.param(packed(*GOOD[:1]), BackupError, "its end is missing", id="header-only"),
        pytest.param(packed(*GOOD[:2]), BackupError, "its end is missing", id="no-last-line"),
        pytest.param(packed(*GOOD)[:-20], BackupError, "its end is missing", id="cut-short"),
        pytest.param(flipped(packed(*GOOD), -6), BackupError, "damaged", id="checksum"),
        pytest.param(flipped(packed(*GOOD), 40), BackupError, "damaged|not JSON", id="changed-byte"),
        pytest.param(packed(*GOOD[:2], GOOD[1], GOOD[2]), BackupError, "number of its rows", id="row-too-many"),
        pytest.param(packed(GOOD[0], GOOD[2]), BackupError, "number of its rows", id="row-too-few"),
        pytest.param(packed(*GOOD, GOOD[1]), BackupError, "number of its rows", id="row-after-the-end"),
        pytest.param(packed(HEADER, ["collector_runs", "npm"]), BackupError, "line 2 is damaged", id="short-row"),
        pytest.param(packed(HEADER, ["users", "a", "b", 1]), BackupError, "line 2 is damaged", id="row-of-no-table"),
        pytest.param(packed(HEADER, [["x"], "a", "b", 1]), BackupError, "line 2 is damaged", id="row-without-name"),
        pytest.param(packed(HEADER, 5), BackupError, "line 2 is damaged", id="row-is-a-number"),
        pytest.param(packed(HEADER, "x" * 17_000_000), BackupError, "more than 16777216 bytes", id="endless-line"),
        pytest.param(
            packed(HEADER, ["collector_runs", "packages", "a", None], GOOD[2]),
            WatchbridgeError,
            "(?i)null",
            id="null-value",
        ),
    ],
)
async def test_damaged_backup(
    content: bytes,
    error: type[WatchbridgeError],
    sentence: str,
    new_url: Callable[[str], str],
    open_store: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """A backup that is damaged, cut short or of another program is refused in a sentence; the store stays as it was."""
    file = tmp_path / "store.backup"
    file.write_bytes(content)
    store = await open_store(new_url("sqlite"))
    await remember(store, OTHER)
    with pytest.raises(error, match=sentence):
        await restore(store, file, force=True)
    assert await recall(store) == OTHER


async def test_good_one_of_the_table_above(
    new_url: Callable[[str], str], open_store: Callable[..., Any], tmp_path: Path
) -> None:
    """The undamaged form of the table's backups is taken."""
    (tmp_path / "store.backup").write_bytes(packed(*GOOD))
    store = await open_store(new_url("sqlite"))
    await restore(store, tmp_path / "store.backup")
    assert await recall(store) == {("packages", "npm"): 5.0}


@pytest.mark.parametrize("name", ["absent/store.backup", "a-file/store.backup"])
async def test_place_that_cannot_be_written(
    name: str, new_url: Callable[[str], str], open_store: Callable[..., Any], tmp_path: Path
) -> None:
    """A folder that is missing, or is none, is told as such, for writing and for reading."""
    (tmp_path / "a-file").touch()
    store = await open_store(new_url("sqlite"))
    with pytest.raises(BackupError, match="cannot be written"):
        await backup(store, tmp_path / name)
    with pytest.raises(BackupError, match="cannot be read"):
        await restore(store, tmp_path / name)
