"""A worker with a clock that the test turns, on a store of any engine."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from servers.lives import Faulty
from servers.watched import FakeClock

from exporter import acting, config, probing
from exporter.services.maintenance import Maintenance
from exporter.store import backlog, counters
from exporter.store.bridge_tables import backlog_items
from exporter.store.options import StoreOptions
from exporter.store.store import Store
from exporter.worker.durations import ACTIONS, HELD
from exporter.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from exporter.store.backlog_rows import BacklogItem


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that the test turns."""
    return FakeClock()


class Place:
    """A store, its clock, and the workers on it, driven by hand."""

    def __init__(self, store: Store, clock: FakeClock, text: str) -> None:
        store.clock = clock
        self.store = Faulty(store)
        self.clock = clock
        self.configuration = config.parse(text, name="test.yml")
        self.maintenance = Maintenance(self.configuration.windows)
        self.maintenance.known = True
        self.parts = acting.Parts(clock=clock)
        self.probing = probing.Parts(wire=None, databases={}, clock=clock, permits=lambda _: True)
        self.workers: list[Worker] = []

    def worker(self, replica: str = "r1") -> Worker:
        """Give a worker that is not started."""
        made = Worker(self.store, self.clock, replica, "")  # type: ignore[arg-type]  # a store with a plan
        made.adopt(self.configuration, self.parts, self.probing, self.maintenance)
        self.workers.append(made)
        return made

    def adopt(self, worker: Worker, text: str) -> None:
        """Let a worker take another configuration."""
        self.configuration = config.parse(text, name="test.yml")
        self.maintenance.configure(self.configuration.windows)
        worker.adopt(self.configuration, self.parts, self.probing, self.maintenance)

    async def add(self, key: str = "k", queue: str = "q", **more: Any) -> int:
        """Add an item as a person does."""
        number, _ = await backlog.add(self.store, queue, key, "why", actor="cli:ann", now=self.clock.time(), **more)  # type: ignore[arg-type]  # as above
        return number

    async def turn(self, worker: Worker, seconds: float = 1.0) -> None:
        """Let time pass, and let the worker begin what is due and write how it ended."""
        self.clock.pass_(seconds)
        await worker.tick()
        await self.ended(worker)
        await worker.tick()

    async def ended(self, worker: Worker) -> None:
        """Wait for what the worker runs."""
        if tasks := worker.leases.acting():
            _, late = await asyncio.wait(tasks, timeout=20)
            assert not late

    async def item(self, number: int) -> BacklogItem:
        """Return an item that is there."""
        found = await backlog.one(self.store, number)  # type: ignore[arg-type]  # as above
        assert found is not None
        return found

    async def state(self, number: int) -> str:
        """Return the state of an item."""
        return (await self.item(number)).state

    async def put(self, number: int, **values: Any) -> None:
        """Change the row of an item as nothing of ours would."""
        async with self.store.writing() as connection:
            await connection.execute(backlog_items.update().where(backlog_items.c.id == number).values(values))

    async def counted(self) -> dict[tuple[str, ...], float]:
        """Return how many runs ended how, and how many were held for what."""
        found = await counters.totals(self.store, "", [ACTIONS, HELD])  # type: ignore[arg-type]  # as above
        return dict(found[ACTIONS]) | dict(found[HELD])


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty SQLite store with the schema: to copy one takes a hundredth of the time of making it."""
    path = tmp_path_factory.mktemp("migrated") / "store" / "watchbridge.db"

    async def make() -> None:
        store = await Store.open(StoreOptions.from_scalar(f"sqlite:///{path}"), time, exclusive=False)
        await store.close()

    asyncio.run(make())
    return path


@pytest.fixture
async def place(
    open_store: Callable[..., Any], new_url: Callable[[str], str], clock: FakeClock, migrated: Path
) -> AsyncIterator[Callable[..., Awaitable[Place]]]:
    """Give a function that makes a place with a configuration, on SQLite unless a URL is given."""
    made: list[Place] = []

    async def make(text: str, url: str | None = None) -> Place:
        where = url or new_url("sqlite")
        if where.startswith("sqlite"):
            path = where.removeprefix("sqlite:///")
            os.mkdir(os.path.dirname(path), 0o700)  # noqa: PTH102, PTH120 -- a moment, of a test
            shutil.copy(migrated, path)
        found = Place(await open_store(where), clock, text)
        made.append(found)
        return found

    yield make
    for one in made:
        for worker in one.workers:
            one.store.plan.clear()
            await worker.close(0.0)


class Marks:
    """A file to which an action adds a line each time it runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @property
    def count(self) -> int:
        """Return how often the action ran."""
        return self.path.read_text().count("run\n")

    def action(self, then: str = "") -> str:
        """Return the action."""
        return f"action: {{kind: command, argv: [/bin/sh, -c, 'echo run >> {self.path}; {then}']}}"


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    """Give a file of marks."""
    return Marks(tmp_path / "marks")
