"""One look at a service, now: the probe of the configuration or of the store, with each step told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter import probing
from exporter.cli.data import opened
from exporter.clock import SystemClock
from exporter.config import load
from exporter.databases import open_database
from exporter.errors import NotProbedError, UnknownServiceError, WatchbridgeError
from exporter.guard import Guard
from exporter.logs import REDACTION
from exporter.model import Reading
from exporter.services.registry import of_row
from exporter.services.service import configured
from exporter.store import client_services
from exporter.store.options import key_ring
from exporter.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.services.service import Service

EXIT_CODES = {"up": 0, "degraded": 0, "down": 1}
UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found, as a row, as a sentence and as an exit status."""

    row: dict[str, Any]
    sentence: str
    exit_code: int


async def checked(config: Path | None, name: str, tell: Callable[[str], None]) -> Checked:
    """Probe a service once. UnknownServiceError names the nearest one."""
    configuration = load(config)
    REDACTION.learn(configuration.secrets)
    service = await _found(configuration, name)
    return _checked(service, await _reading(configuration, service, lambda step: tell(REDACTION.apply(step))))


async def _reading(configuration: Configuration, service: Service, tell: Callable[[str], None]) -> Reading:
    if service.problem is not None:
        return Reading("unknown", service.problem, 0.0, "config")
    clock = SystemClock()
    wire = Wire(clock=clock)
    databases = {word: open_database(word, one) for word, one in configuration.databases.items()}
    parts = probing.Parts(
        wire=wire,
        databases=databases,
        clock=clock,
        permits=Guard(configuration.probing.allow).configured,
        tell=tell,
    )
    try:
        return await probing.run(service.kind, service.options, parts, service.timeout, service.slow_after)
    finally:
        await wire.close()
        for database in databases.values():
            await database.close()


async def _found(configuration: Configuration, name: str) -> Service:
    """Return the service of a name: those of the store are asked too, since one of another client may have it."""
    NotProbedError.check(configuration, name)
    watched = {word: one for word, one in configuration.services.items() if one.probe is not None}
    of_file = {f"{one.client}/{word}": configured(word, one, 0) for word, one in watched.items()}
    if name in of_file:
        return of_file[name]
    known = of_file | {service.key: service for service in await _made(configuration)}
    found = [service for key, service in known.items() if name in (service.name, key)]
    if len(found) != 1:
        raise UnknownServiceError.of(name, [service.name for service in known.values()], several=bool(found))
    return found[0]


async def _made(configuration: Configuration) -> list[Service]:
    """Return the services of the store; none where it was never made, or cannot be asked."""
    try:
        async with opened(configuration) as store:
            rows = await client_services.made(store, key_ring(configuration.store))
            REDACTION.learn([row.password.reveal() for row in rows if row.password is not None], "store")
            return [of_row(row) for row in rows]
    except WatchbridgeError:
        return []


def _checked(service: Service, reading: Reading) -> Checked:
    reason = REDACTION.apply(reading.reason)
    row: dict[str, Any] = {
        "client": service.client,
        "service": service.name,
        "kind": service.kind,
        "state": reading.state,
        "reason": reason,
        "cause": reading.cause or None,
        "response_time_ms": round(reading.duration * 1000, 1),
        "status_code": reading.status_code,
        "phases_ms": {phase: round(seconds * 1000, 2) for phase, seconds in reading.phases.items()},
        "components": {one.name: one.state for one in reading.components},
    }
    sentence = f"{service.name} is {reading.state}: {reason} (took {row['response_time_ms']:g} ms)"
    return Checked(row, sentence, EXIT_CODES.get(reading.state, UNKNOWN))
