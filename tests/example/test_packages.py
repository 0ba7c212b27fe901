"""The demo's example data is real data: a table that the collector reads, in which something always happens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from exporter.collectors.packages import STATUSES, Options, read
from exporter.databases import open_database, options_from_url
from exporter.example.packages import COUNTS, STUCK, Packages

if TYPE_CHECKING:
    from pathlib import Path


async def test_it_begins_in_all_eight_statuses_with_some_stuck(tmp_path: Path) -> None:
    """The numbers are those of the package monitor's example report."""
    Packages(tmp_path / "p.db").make()
    database = open_database("example", options_from_url(f"sqlite:///{tmp_path}/p.db"))
    found = await read(database, Options(database="example"), time.time())
    assert [(reading.status, reading.count) for reading in found] == list(zip(STATUSES, COUNTS, strict=True))
    assert {reading.status: reading.stuck for reading in found if reading.stuck} == STUCK
    await database.close()


async def test_packages_move_and_none_is_lost(tmp_path: Path) -> None:
    """Each move brings one more; the stuck ones stay stuck; some get published."""
    packages = Packages(tmp_path / "p.db")
    packages.make()
    for _ in range(60):
        packages.move()
    database = open_database("example", options_from_url(f"sqlite:///{tmp_path}/p.db"))
    found = {reading.status: reading for reading in await read(database, Options(database="example"), time.time())}
    assert sum(reading.count for reading in found.values()) == sum(COUNTS) + 60
    assert sum(reading.stuck or 0 for reading in found.values()) == sum(STUCK.values())
    assert found["Published"].count > 0
    await database.close()
