"""A package database in which something always happens."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from exporter.collectors.packages import STATUSES

if TYPE_CHECKING:
    from pathlib import Path

COUNTS: Final = (45, 23, 8, 156, 12, 89, 3, 7)
"""How many packages each status begins with: those of the old package monitor's report, and a few published."""

STUCK: Final = {"Checking Licence": 6, "Security Scanning": 2, "Pending Approval": 5}
"""How many of them nobody has touched for hours."""

EVERY: Final = 2.0
"""Seconds between two moves."""

_FIRST, _LAST = STATUSES[0], STATUSES[-1]
_REJECTED: Final = "Rejected"


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Packages:
    """A table of packages that move through their statuses; a few are stuck and stay so."""

    def __init__(self, path: Path, seed: int = 1) -> None:
        """Name the file; a seed makes the same packages and moves each time."""
        self._path = path
        self._random = random.Random(seed)  # noqa: S311 - example data

    def make(self) -> None:
        """Make the table and its first packages."""
        now = time.time()
        rows = []
        for status, count in zip(STATUSES, COUNTS, strict=True):
            for n in range(count):
                stuck = n < STUCK.get(status, 0)
                age = self._random.uniform(2 * 3600, 30 * 3600) if stuck else self._random.uniform(0, 1800)
                rows.append((f"{status.lower().replace(' ', '-')}-{n}", status, _written(now - age), stuck))
        with contextlib.closing(sqlite3.connect(self._path)) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(
                "CREATE TABLE packages (id INTEGER PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL,"
                " updated_at TEXT NOT NULL, stuck INTEGER NOT NULL DEFAULT 0)"
            )
            database.executemany("INSERT INTO packages (name, status, updated_at, stuck) VALUES (?, ?, ?, ?)", rows)

    def move(self) -> None:
        """Let a new package arrive and a few others go on to their next status."""
        now = _written(time.time())
        with contextlib.closing(sqlite3.connect(self._path, timeout=1.0)) as database, database:
            database.execute(
                "INSERT INTO packages (name, status, updated_at) VALUES (?, ?, ?)",
                (f"arrived-{self._random.randrange(10**6)}", _FIRST, now),
            )
            moving = database.execute(
                "SELECT id, status FROM packages WHERE stuck = 0 AND status NOT IN (?, ?) ORDER BY updated_at LIMIT 4",
                (_LAST, _REJECTED),
            ).fetchall()
            for identity, status in moving:
                database.execute(
                    "UPDATE packages SET status = ?, updated_at = ? WHERE id = ?", (self._next(status), now, identity)
                )

    def _next(self, status: str) -> str:
        if status == "Approved":
            return _LAST
        if status == "Pending Approval" and self._random.random() < 0.1:  # noqa: PLR2004 - one in ten is refused
            return _REJECTED
        return STATUSES[STATUSES.index(status) + 1]

    async def keep_moving(self) -> None:
        """Move until cancelled; a move that finds the file busy is left out."""
        while True:
            await asyncio.sleep(EVERY)
            with contextlib.suppress(sqlite3.Error):
                await asyncio.to_thread(self.move)
