"""What Prometheus reads of process alarms: the tables as they are at the scrape, and nothing where they cannot be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from process_alarms.scenes import configured, made, ring, service

from exporter.clock import SystemClock
from exporter.collectors import alarms
from exporter.collectors.alarms import ALARM
from exporter.databases import open_database, options_from_url
from exporter.errors import DatabaseError
from exporter.scrape import Scrape, ScrapeOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from servers.engines import EmptyDatabase

    from exporter.model import Samples, Source


@pytest.fixture
async def source_of(engine: EmptyDatabase) -> AsyncIterator[Callable[..., Source]]:
    """Give a function that returns the source `plant` for services of some names."""
    database = open_database("monitoring", options_from_url(engine.url))

    def source(*names: str, **services: Any) -> Source:
        configuration = configured(services={**{name: service() for name in names}, **services})
        told = {"alarms": configuration.alarms, "services": configuration.services}
        parts: Any = SimpleNamespace(databases={"monitoring": database}, options=told.__getitem__)
        (found,) = alarms.sources(parts)
        return found

    yield source
    await database.close()


def gauge(*samples: Samples) -> dict[str, float]:
    return {labels[1]: value for one in samples for labels, value in one.get(ALARM, {}).items()}


async def test_every_process_of_the_table_is_shown(engine: EmptyDatabase, source_of: Callable[..., Source]) -> None:
    """1 where it is in alarm and 0 where it is not, of one name if any is; a service without a row is not there."""
    made(engine, {1: "web", 2: "db", 3: "other", 4: "twice", 5: "twice"}, {1: 1, 2: 0, 3: "NULL", 4: 0, 5: 2})
    source = source_of("web", "nowhere")
    assert (source.collector, source.name) == ("alarms", "plant")
    read = await source.read()
    assert read == {
        ALARM: {
            ("plant", "web"): 1.0,
            ("plant", "db"): 0.0,
            ("plant", "other"): 0.0,
            ("plant", "twice"): 1.0,
        }
    }
    ring(engine, 1, 0)
    assert gauge(await source.read())["web"] == 0.0


async def test_the_series_vanish_where_the_tables_cannot_be_read(
    engine: EmptyDatabase, source_of: Callable[..., Source]
) -> None:
    """And are there again with the tables, even where those have changed meanwhile."""
    source = source_of("web")
    scrape = Scrape([source], ScrapeOptions(), SystemClock())
    assert gauge(*await scrape.collect(None, 5.0)) == {}
    with pytest.raises(DatabaseError, match="PROCESE"):
        await source.read()
    made(engine, {1: "web"}, {1: 1})
    assert gauge(await source.read()) == {"web": 1.0}
    engine.execute("DROP TABLE STATUS_PROCESS")
    with pytest.raises(DatabaseError):
        await source.read()
    engine.execute("DROP TABLE PROCESE")
    made(engine, {7: "db"}, {7: 0})
    assert gauge(await source.read()) == {"db": 0.0}
    assert gauge(*await scrape.collect(None, 5.0)) == {"db": 0.0}
    await scrape.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_names_from_data_are_made_safe(engine: EmptyDatabase, source_of: Callable[..., Source]) -> None:
    """No name of a row can break the exposition, and none is empty."""
    engine.execute(
        "CREATE TABLE PROCESE (process_id, process_name); CREATE TABLE STATUS_PROCESS (process_id, alarma);"
        "INSERT INTO PROCESE VALUES (1, NULL), (2, ''), (3, 'two' || char(10) || 'lines'), (4, CAST(x'6100' AS TEXT)),"
        " (5, printf('%.*c', 1048576, 'x'));"
    )
    assert sorted(gauge(await source_of().read())) == sorted(
        ["__null__", "__empty__", "two\ufffdlines", "a\ufffd", "x" * 127 + "…"]
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_configured_services_are_never_capped(
    engine: EmptyDatabase, source_of: Callable[..., Source], tmp_path: Path
) -> None:
    """What is beyond the cap is one series, in alarm where any of it is."""
    del tmp_path
    names = {number: f"p{number:04}" for number in range(1500)}
    made(engine, {**names, 9001: "zz-web", 9002: "zz-httpd"}, {1499: 1, 9001: 1, 9002: 0})
    source = source_of("zz-web", db=service(alarm="zz-httpd"), probed=service(restart=None))
    assert source.configured == {"zz-web", "zz-httpd"}
    scrape = Scrape([source], ScrapeOptions(), SystemClock())
    shown = gauge(*await scrape.collect(None, 5.0))
    await scrape.close()
    assert (shown["zz-web"], shown["zz-httpd"], shown["__other__"]) == (1.0, 0.0, 1.0)
    assert len(shown) < 1500


def test_nothing_is_read_where_nothing_is_configured() -> None:
    """Without `alarms` there is no source."""
    parts: Any = SimpleNamespace(databases={}, options=lambda _: {})
    assert list(alarms.sources(parts)) == []
