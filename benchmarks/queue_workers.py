"""One durable queue as its workers use it, in a process of its own: asked by lines on standard input.

    python benchmarks/queue_workers.py NAME URL CONNECTIONS

NAME is watchbridge, pgqueuer, pgqueuer-workers or procrastinate. Each line on standard input is a number of jobs and a
batch; the answer is one JSON object with the seconds until all of them were stored, and until all of them were claimed
and completed, and the CPU of this process. Nothing is done for a job: what is measured is what a queue costs. Needs
the packages of the one that it is asked for, and no others.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LABELS = {"alertname": "UserSyncFailed", "severity": "critical", "job": "identity-sync", "instance": "sync-3:9090"}
PATIENCE = 120.0


class Queue(Protocol):
    """A durable queue."""

    async def open(self, url: str, connections: int) -> None:
        """Connect, and make the tables where that has not been done."""

    async def add(self, keys: list[str], connection: int) -> None:
        """Store jobs; they are on the disk afterwards."""

    async def work(self, batch: int, connection: int) -> int:
        """Claim at most so many jobs and complete them; return how many there were."""

    async def close(self) -> None:
        """Disconnect."""


class Watchbridge:
    """The store as the worker of `serve` uses it; each connection is a replica with a worker of its own."""

    async def open(self, url: str, connections: int) -> None:
        """Open the store."""
        from exporter import config  # noqa: PLC0415 - each queue has packages of its own
        from exporter.clock import SystemClock  # noqa: PLC0415
        from exporter.services.maintenance import Maintenance  # noqa: PLC0415
        from exporter.store.backlog_claims import Holder  # noqa: PLC0415
        from exporter.store.options import StoreOptions  # noqa: PLC0415
        from exporter.store.store import Store  # noqa: PLC0415
        from exporter.worker.books import Books, Terms  # noqa: PLC0415

        text = "mode: auto\nqueues:\n  user-sync: {action: {kind: command, argv: [/bin/true, '{key}']}}\n"
        configuration = config.parse(text, name="benchmark.yml")
        maintenance = Maintenance(configuration.windows)
        maintenance.known = True
        terms = Terms.of(configuration, maintenance)
        self.clock = SystemClock()
        self.store = await Store.open(StoreOptions.from_scalar(url), self.clock, exclusive=False)
        names = [f"r{number}" for number in range(connections)]
        self.books = [Books(self.store, self.clock, Holder(name, name, 30.0), name, terms) for name in names]

    async def add(self, keys: list[str], connection: int) -> None:
        """Store items as a rule does."""
        from exporter.store import backlog  # noqa: PLC0415

        del connection
        now = self.clock.time()
        fresh = [
            backlog.NewItem("user-sync", key, f"{key} failed", "rule", "pending", "auto", now, {"labels": LABELS})
            for key in keys
        ]
        async with self.store.writing() as transaction:
            await backlog.enqueued(transaction, fresh, now)

    async def work(self, batch: int, connection: int) -> int:
        """Claim and record as a worker does, gate and plan included."""
        from exporter.store.action_runs import Ended  # noqa: PLC0415
        from exporter.store.backlog_claims import Finish, Wish  # noqa: PLC0415
        from exporter.worker.books import Recorded  # noqa: PLC0415

        books = self.books[connection]
        claimed = await books.claim(Wish("user-sync", batch, ("pending",)))
        now = self.clock.time()
        runs = [(one, Ended(one.id, one.fence, "done", "done", "", now)) for one in claimed.begun]
        ends = [Recorded(Finish(one, "done", "done", now, run), "command", 0.1) for one, run in runs]
        if not ends:
            return 0
        ours = await books.record(ends)
        assert len(ours) == len(ends), "an item was lost"
        return len(ends)

    async def close(self) -> None:
        """Close the store."""
        await self.store.close()


class PgQueuer:
    """PgQueuer by its queries: what its queue manager calls for each batch."""

    async def open(self, url: str, connections: int) -> None:
        """Connect and install."""
        import uuid  # noqa: PLC0415

        import asyncpg  # noqa: PLC0415
        from pgqueuer.db import AsyncpgDriver  # noqa: PLC0415
        from pgqueuer.queries import EntrypointExecutionParameter, Queries  # noqa: PLC0415

        self.connections = [await asyncpg.connect(url) for _ in range(connections)]
        self.queries = [Queries(AsyncpgDriver(one)) for one in self.connections]
        if not await self.queries[0].schema_is_installed():
            await self.queries[0].install()
        self.entrypoints = {"user-sync": EntrypointExecutionParameter(concurrency_limit=0)}
        self.managers = [uuid.uuid4() for _ in range(connections)]

    async def add(self, keys: list[str], connection: int) -> None:
        """Enqueue a batch in one statement."""
        bodies: list[Any] = [json.dumps({"key": key, "labels": LABELS}).encode() for key in keys]
        await self.queries[connection].enqueue(["user-sync"] * len(keys), bodies, [0] * len(keys))

    async def work(self, batch: int, connection: int) -> int:
        """Dequeue a batch and log it as successful."""
        one = self.queries[connection]
        jobs = await one.dequeue(batch, self.entrypoints, self.managers[connection], None, timedelta(seconds=30))
        if jobs:
            await one.log_jobs([(job, "successful", None) for job in jobs])
        return len(jobs)

    async def close(self) -> None:
        """Disconnect."""
        for one in self.connections:
            await one.close()


class PgQueuerWorkers(PgQueuer):
    """PgQueuer as its own workers run it: a queue manager for each connection, each job handed to a function."""

    async def work(self, batch: int, connection: int) -> int:
        """Let a manager work until the queue is empty."""
        from pgqueuer.qm import QueueManager  # noqa: PLC0415
        from pgqueuer.types import QueueExecutionMode  # noqa: PLC0415

        done = 0
        manager = QueueManager(self.queries[connection])

        @manager.entrypoint("user-sync")
        async def nothing(_job: Any) -> None:
            nonlocal done
            done += 1

        await manager.run(batch_size=batch, mode=QueueExecutionMode.drain)
        return done


class Procrastinate:
    """Procrastinate by its job manager: it stores in batches, and claims and completes one by one."""

    async def open(self, url: str, connections: int) -> None:
        """Connect and install."""
        import procrastinate  # noqa: PLC0415

        connector = procrastinate.PsycopgConnector(conninfo=url, min_size=connections, max_size=connections)
        self.app = procrastinate.App(connector=connector)
        await self.app.open_async()
        row = await connector.execute_query_one_async("SELECT to_regclass('procrastinate_jobs') IS NOT NULL AS there")
        if not row["there"]:
            await self.app.schema_manager.apply_schema_async()
        self.workers = [await self.app.job_manager.register_worker() for _ in range(connections)]
        self.task = self.app.configure_task("user-sync", queue="user-sync")

    async def add(self, keys: list[str], connection: int) -> None:
        """Defer a batch in one statement."""
        del connection
        await self.task.batch_defer_async(*({"key": key, "labels": LABELS} for key in keys))

    async def work(self, batch: int, connection: int) -> int:
        """Fetch and finish one job."""
        from procrastinate.jobs import Status  # noqa: PLC0415

        del batch
        job = await self.app.job_manager.fetch_job(["user-sync"], self.workers[connection])
        if job is None:
            return 0
        await self.app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=False)
        return 1

    async def close(self) -> None:
        """Disconnect."""
        await self.app.close_async()


QUEUES: dict[str, Callable[[], Queue]] = {
    "watchbridge": Watchbridge,
    "pgqueuer": PgQueuer,
    "pgqueuer-workers": PgQueuerWorkers,
    "procrastinate": Procrastinate,
}


async def measured(queue: Queue, jobs: int, batch: int, connections: int) -> dict[str, float]:
    """Store, claim and complete jobs over all connections."""
    names = [f"user-{number}" for number in range(jobs)]
    keys = iter([names[at : at + batch] for at in range(0, jobs, batch)])
    left = jobs

    async def store(connection: int) -> None:
        for piece in keys:
            await queue.add(piece, connection)

    async def work(connection: int) -> None:
        nonlocal left
        while left > 0:
            done = await queue.work(batch, connection)
            left -= done  # after the wait: others count meanwhile

    async def together(what: Callable[[int], Awaitable[None]]) -> float:
        began = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(what(connection) for connection in range(connections)))
        return time.perf_counter() - began

    spent = time.process_time()
    stored, worked = await together(store), await together(work)
    assert left == 0, f"{-left} jobs were completed twice"
    return {"jobs": jobs, "stored": stored, "worked": worked, "cpu": time.process_time() - spent}


def main(name: str, url: str, connections: int) -> None:
    """Do what each line says."""

    async def serve() -> None:
        queue = QUEUES[name]()
        await queue.open(url, connections)
        while line := await asyncio.to_thread(sys.stdin.readline):
            jobs, batch = map(int, line.split())
            print(json.dumps(await measured(queue, jobs, batch, connections)), flush=True)
        await queue.close()

    asyncio.run(serve())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
