"""The tables of a process monitor, services that are restarted, and what watches the one for the other."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from servers.lives import Faulty
from servers.watched import FakeClock

from exporter.bridge.booking import HELD
from exporter.config import Configuration
from exporter.config.options import Choice
from exporter.databases import open_database, options_from_url
from exporter.process_alarms.alarms import Alarms
from exporter.process_alarms.options import AlarmOptions
from exporter.restarting.options import RestartTiming
from exporter.services.options import ServiceOptions
from exporter.store import backlog, counters, process_alarms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from servers.engines import EmptyDatabase

    from exporter.databases.database import Database
    from exporter.store.backlog import BacklogItem
    from exporter.store.process_alarms import Alarm
    from exporter.store.store import Store

SOUND = {"sqlite": "TINYINT", "postgresql": "SMALLINT", "mysql": "TINYINT"}
NOTES = "said 'ring' ; -- \\ ☎ "


def made(engine: EmptyDatabase, rows: Mapping[int, str], alarms: Mapping[int, object]) -> None:
    """Make the two tables as process monitors have them: names by numbers, and one status for each of `alarms`."""
    kind = SOUND[engine.dialect]
    processes = ", ".join(f"({number}, '{name}')" for number, name in rows.items())
    statuses = ", ".join(f"({number}, {alarm}, 1, {_quoted(engine, NOTES)})" for number, alarm in alarms.items())
    engine.execute(
        "CREATE TABLE PROCESE (process_id INT PRIMARY KEY, process_name VARCHAR(255) NOT NULL);"
        f"CREATE TABLE STATUS_PROCESS (process_id INT, alarma {kind}, sound {kind}, notes TEXT);"
        + (f"INSERT INTO PROCESE VALUES {processes};" if rows else "")
        + (f"INSERT INTO STATUS_PROCESS VALUES {statuses};" if alarms else "")
    )


def _quoted(engine: EmptyDatabase, text: str) -> str:
    text = text.replace("'", "''")
    return "'" + (text.replace("\\", "\\\\") if engine.dialect == "mysql" else text) + "'"


def ring(engine: EmptyDatabase, number: int, alarm: int = 1) -> None:
    """Let the status of a process be in alarm, or not (0)."""
    engine.execute(f"UPDATE STATUS_PROCESS SET alarma = {alarm} WHERE process_id = {number}")


def service(**changes: Any) -> ServiceOptions:
    """Return a service that is restarted."""
    values: dict[str, Any] = {"restart": Choice("command", None, RestartTiming())} | changes
    return ServiceOptions(**values)


def configured(*names: str, mode: str | None = "auto", **changes: Any) -> Configuration:
    """Return a configuration with a source `plant` and services of these names."""
    values: dict[str, Any] = {
        "alarms": {"plant": AlarmOptions(database="monitoring")},
        "services": {name: service() for name in names},
        "mode": mode,
    }
    return Configuration(**values | changes)


@dataclass
class Plant:
    """Alarms over a store that fails as planned, on a clock that the test turns."""

    store: Any
    clock: FakeClock
    alarms: Alarms
    databases: dict[str, Database]
    scope: str
    wakes: int = 0

    def adopt(self, configuration: Configuration) -> None:
        """Take a configuration."""
        self.alarms.adopt(configuration, self.databases)

    async def passes(self, seconds: float = 30.0) -> None:
        """Let time pass, and look."""
        self.clock.pass_(seconds)
        await self.alarms.tick()
        assert self.alarms.trouble is None

    async def items(self) -> list[BacklogItem]:
        """Return all items, the oldest first."""
        return await backlog.listed(self.store, limit=100_000)

    async def states(self) -> list[tuple[str, str, str | None]]:
        """Return key, state and hold of all items, the oldest first."""
        return [(one.key, one.state, one.hold) for one in await self.items()]

    async def standing(self, source: str = "plant") -> list[Alarm]:
        """Return the alarms that stand."""
        return await process_alarms.standing(self.store, source)

    async def held(self, reason: str) -> float:
        """Return how often something was held for a reason."""
        return (await counters.totals(self.store, self.scope, [HELD]))[HELD].get((reason,), 0.0)


_scopes = itertools.count()


@contextlib.asynccontextmanager
async def plant(
    store: Store, url: str, configuration: Configuration, *, clock: FakeClock | None = None, **more: str
) -> AsyncIterator[Plant]:
    """Give alarms that the test ticks: the database `monitoring` is that of the URL, `more` are others by name."""
    clock = clock or FakeClock()
    scope = f"replica-{next(_scopes)}"
    faulty: Any = Faulty(store)

    def woken() -> None:
        one.wakes += 1

    urls = {"monitoring": url, **more}
    databases = {name: open_database(name, options_from_url(each)) for name, each in urls.items()}
    one = Plant(faulty, clock, Alarms(faulty, clock, scope, woken), databases, scope)
    one.adopt(configuration)
    try:
        yield one
    finally:
        await one.alarms.close()
        for database in databases.values():
            await database.close()
