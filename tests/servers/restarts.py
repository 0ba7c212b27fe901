"""A pretended machine of services that files say are up, whose restarts leave marks, and workers that restart them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from servers.backlog import enqueue, incident, new

from exporter.circuit import Circuit, Key
from exporter.store import backlog, circuits, service_leases, service_restarts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from servers.watched import FakeClock

    from exporter.worker.worker import Worker

FAILS = "echo disk full; exit 1"
"""What a restart does that fails; the default brings its service up."""
HELPS_NOT = "true"
"""What a restart does that is carried out and does not help."""
MANY = {"concurrency": 20}
"""What `restarts` says where more than a few may be under way at once."""


class Machine:
    """Services whose state is a file and whose restart is a shell script that leaves a mark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def up(self, name: str) -> Path:
        """Return the file that is there while a service is up."""
        return self.folder / f"{name}.up"

    def marks(self, name: str) -> int:
        """Return how often a service's restart was begun."""
        path = self.folder / f"{name}.marks"
        return path.read_text().count("run\n") if path.exists() else 0

    def order(self) -> list[str]:
        """Return which services were restarted, in the order in which that began."""
        path = self.folder / "order"
        return path.read_text().split() if path.exists() else []

    def probe(self, name: str) -> dict[str, Any]:
        """Return a probe of a service."""
        return {"kind": "command", "argv": ["/usr/bin/test", "-e", str(self.up(name))]}

    def restart(self, name: str, then: str | None = None, **timing: Any) -> dict[str, Any]:
        """Return a restart of a service; `then` is a line of shell, which brings it up unless it is given."""
        mark = f"echo run >> {self.folder}/{name}.marks; echo {name} >> {self.folder}/order"
        ends = f"touch {self.up(name)}" if then is None else then
        quick = {"delay": "0s", "verify_timeout": "100ms"}
        return {"kind": "command", "argv": ["/bin/sh", "-c", f"{mark}; {ends}"]} | quick | timing

    def service(self, name: str, then: str | None = None, **more: Any) -> dict[str, Any]:
        """Return an entry below `services`; `timing` stands beside the keys of the restart's kind."""
        timing = more.pop("timing", {})
        return {"probe": self.probe(name), "restart": self.restart(name, then, **timing)} | more


def once_fixed(machine: Machine, name: str) -> str:
    """Return what a restart does that helps once somebody has fixed what is wrong."""
    return f"test -e {machine.folder}/fixed && touch {machine.up(name)} || exit 1"


def written(services: Mapping[str, Any], **sections: Any) -> str:
    """Return a configuration in the mode auto as its file would hold it: JSON is YAML."""
    return json.dumps({"mode": "auto", "services": services} | sections).replace("$", "$$")


@contextlib.asynccontextmanager
async def moving(clock: FakeClock) -> AsyncIterator[None]:
    """Let the clock run five times as fast as ours while the block waits for something that looks at it."""

    async def move() -> None:
        while True:
            await asyncio.sleep(0.01)
            clock.pass_(0.05)

    task = asyncio.create_task(move())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def passes(here: Any, seconds: float) -> None:
    """Let time pass by whatever clock circuits run: that of a shared store cannot be turned."""
    here.clock.pass_(seconds)
    if here.store.dialect != "sqlite":
        async with here.store.writing() as connection:
            await circuits.moved(connection, -seconds)


async def opened(here: Any, key: Key, ago: float, **values: Any) -> None:
    """Store an open circuit that lets a trial through since so many seconds (negative: in so many)."""
    async with service_leases.deciding(here.store) as (connection, now):
        found = Circuit(**{"failures": 3, "opened": 1, "opened_at": now - 400, "retry_at": now - ago} | values)
        await circuits.put(connection, {key: found})


async def fires(here: Any, *names: str, due_in: float = 0.0, **values: Any) -> list[int]:
    """Let an alert of each service fire that a rule restarts; return the numbers of the items."""
    now = here.clock.time()
    for name in names:
        number = await incident(here.store, f"{name}-{time.monotonic_ns()}")
        item = {"queue": "restarts", "service": name, "incident_id": number, "rule": "r", "step": 0}
        await enqueue(here.store, [new(name, due_at=now + due_in, **item | values)], now)
    found = await backlog.listed(here.store, queue="restarts", limit=10_000)
    return [one.id for one in found][-len(names) :]


async def looked(worker: Worker, seconds: float = 0.0) -> None:
    """Let time pass and the worker look around, and begin what may begin."""
    worker._clock.pass_(seconds)  # type: ignore[attr-defined]  # a clock that the test turns
    worker.wake()
    await worker.tick()
    if looking := worker.around._looking.values():
        _, late = await asyncio.wait(looking, timeout=20)
        assert not late
    await worker.tick()


async def turned(worker: Worker, seconds: float = 1.0) -> None:
    """Let time pass, and let the worker look around, begin what is due, and write how it ended."""
    await looked(worker, seconds)
    async with moving(worker._clock):  # type: ignore[arg-type]  # as above
        if tasks := worker.leases.acting():
            _, late = await asyncio.wait(tasks, timeout=20)
            assert not late
    await worker.tick()


async def circuit_of(here: Any, name: str, noun: Any = "service") -> tuple[Circuit, str]:
    """Return a circuit that was stepped, and its state."""
    known, now = await circuits.listed(here.store)
    found = known[Key(noun, name)]
    return found, found.state(now)


async def told(here: Any, numbers: list[int]) -> list[tuple[str, str | None]]:
    """Return the state of items, and why they are held."""
    found = [await here.item(number) for number in numbers]
    return [(one.state, one.hold) for one in found]


async def attempts(here: Any, service: str | None = None) -> list[tuple[bool | None, bool | None]]:
    """Return of each attempt, the oldest first, whether it acted and whether that was verified."""
    found = await service_restarts.history(here.store, service, since=0.0)
    return [(one.acted, one.verified) for one in reversed(found)]


async def held_leases(here: Any) -> dict[str, int]:
    """Return which services are held, and for which item."""
    async with here.store.reading() as connection:
        found = await service_leases.known(connection)
    return {service: lease.item for service, lease in found.items() if lease.item is not None}
