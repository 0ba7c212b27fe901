"""Readings come back as they were stored, the newest first, until they are purged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, func, select, text

from exporter.errors import StoreError
from exporter.store import service_status
from exporter.store.service_status import StoredReading
from exporter.store.tables import service_status as table

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(readings: list[StoredReading]) -> list[StoredReading]:
    """Return the readings without the numbers of their rows."""
    return [reading._replace(id=0) for reading in readings]


async def add(store: Any, *readings: StoredReading) -> None:
    async with store.writing() as connection:
        await service_status.add(connection, readings)


async def test_as_they_were_stored(url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]) -> None:
    """Every column survives to the last digit, the absent ones too."""
    store = await open_store(url)
    one, two = await some_services(store, 2)
    full = StoredReading(one, "degraded", 1_700_000_000.123456, 429, 12.345678901, "é 😀 too many", "status")
    bare = StoredReading(two, "up", 1_700_000_001.0)
    await add(store)
    await add(store, full, bare)
    found = await service_status.latest(store)
    assert plain(list(found.values())) == [full, bare]
    assert all(reading.id > 0 for reading in found.values())


async def test_sentences_that_no_engine_takes(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """NUL and halves of characters are replaced, what is too long is cut: no reading is lost for its words."""
    store = await open_store(url)
    (one,) = await some_services(store, 1)
    await add(store, StoredReading(one, "down", 1.0, error_message="a\0b\ud800c" + "😀" * 600))
    message = (await service_status.latest(store))[one].error_message
    assert message == "a\ufffdb\ufffdc" + "😀" * 495


async def test_history_and_latest(url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]) -> None:
    """A history is of one service, the newest first, bounded; of two of the same time the later stored is newer."""
    store = await open_store(url)
    one, two, three = await some_services(store, 3)
    times = [5.0, 3.0, 9.0, 9.0, 1.0]
    await add(store, *(StoredReading(one, "up", at, code) for code, at in enumerate(times)))
    await add(store, StoredReading(two, "down", 7.0))
    history = await service_status.history(store, one, 3.0, 3)
    assert [(reading.checked_at, reading.status_code) for reading in history] == [(9.0, 3), (9.0, 2), (5.0, 0)]
    assert len(await service_status.history(store, one, 3.0, 100)) == 4
    assert await service_status.history(store, three, 0.0, 100) == []
    latest = await service_status.latest(store)
    assert {service: (reading.checked_at, reading.status_code) for service, reading in latest.items()} == {
        one: (9.0, 3),
        two: (7.0, None),
    }
    assert (await service_status.latest(store, [two, three])).keys() == {two}
    assert await service_status.latest(store, []) == {}


async def test_purge_takes_the_oldest_in_bounded_steps(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """Each step takes the oldest, at most so many; what is not old stays."""
    store = await open_store(url)
    (one,) = await some_services(store, 1)
    await add(store, *(StoredReading(one, "up", float(at)) for at in reversed(range(25))))
    assert await service_status.purge(store, 20.0, 8) == 8
    assert min(reading.checked_at for reading in await service_status.history(store, one, 0.0, 100)) == 8.0
    assert [await service_status.purge(store, 20.0, 8) for _ in range(3)] == [8, 4, 0]
    assert [reading.checked_at for reading in await service_status.history(store, one, 0.0, 100)] == [
        24.0, 23.0, 22.0, 21.0, 20.0,
    ]  # fmt: skip


async def test_purge_beside_writers(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """Two replicas purge while both write: each old row is counted once, and no new one is lost."""
    stores = [await open_store(url) for _ in range(2)]
    (one,) = await some_services(stores[0], 1)
    await add(stores[0], *(StoredReading(one, "up", float(at)) for at in range(600)))

    async def write(store: Any, at: int) -> int:
        await add(store, *(StoredReading(one, "up", 1000.0 + at) for _ in range(10)))
        return 0

    steps = [service_status.purge(store, 600.0, 25) for _ in range(15) for store in stores]
    writes = [write(store, at) for at in range(15) for store in stores]
    purged = sum(await asyncio.gather(*(one for pair in zip(steps, writes, strict=True) for one in pair)))
    while more := await service_status.purge(stores[0], 600.0, 25):
        purged += more
    assert purged == 600
    history = await service_status.history(stores[0], one, 0.0, 1000)
    assert len(history) == 300
    assert {reading.checked_at for reading in history} == {1000.0 + at for at in range(15)}


async def test_readings_of_a_service_that_is_gone(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """They are refused as a whole: nothing of the transaction is stored."""
    store = await open_store(url)
    (one,) = await some_services(store, 1)
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        await add(store, StoredReading(one, "up", 1.0), StoredReading(one + 1, "up", 1.0))
    async with store.reading() as connection:
        assert (await connection.execute(select(func.count()).select_from(table))).scalar() == 0


PLANS = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN "}


async def test_queries_use_their_index(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """The newest reading of each service, a history and a purge read the index and never the whole table."""
    store = await open_store(url)
    services = await some_services(store, 50)
    await add(store, *(StoredReading(service, "up", float(at)) for at in range(200) for service in services))
    seen: list[tuple[str, Any]] = []
    async with store.writing(seconds=30) as connection:
        if store.dialect == "postgresql":
            await connection.execute(text("ANALYZE service_status"))
        elif store.dialect == "mysql":
            await connection.execute(text("ANALYZE TABLE service_status, client_services"))

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "service_status" in statement and not statement.startswith("EXPLAIN"):
            seen.append((statement, parameters))

    event.listen(store.engine.sync_engine, "before_cursor_execute", note)
    await service_status.latest(store, services[:5])
    await service_status.history(store, services[0], 5.0, 10)
    await service_status.purge(store, 2.0, 10)
    event.remove(store.engine.sync_engine, "before_cursor_execute", note)
    assert len(seen) == 3
    async with store.reading() as connection:
        for statement, parameters in seen:
            rows = await connection.exec_driver_sql(PLANS[store.dialect] + statement, parameters)
            plan = "\n".join(" ".join(map(str, row)) for row in rows)
            assert "ix_service_status_" in plan, plan
            assert "SCAN service_status" not in plan, plan
            assert "Seq Scan on service_status" not in plan, plan
