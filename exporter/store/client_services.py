"""Which services there are: those that the configuration names, and those that were made through the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from sqlalchemy import func, literal_column, select, true, update

from exporter.errors import CredentialKeyMissingError, CredentialUnreadableError, ServicesOfApiError
from exporter.store import clients
from exporter.store.bulk import ROWS, pieces, upsert
from exporter.store.credentials import FIELDS, revealed
from exporter.store.tables import client_services
from exporter.store.tables import clients as clients_table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.config.options import Secret
    from exporter.store.credentials import KeyRing
    from exporter.store.store import Store

REGISTER_SECONDS: Final = 60.0
"""How long the transaction that stores all services of a configuration may take."""

NAMED_IN_ERROR: Final = 5
"""Services that an error names before it only counts the others."""


class FileService(NamedTuple):
    """What the configuration says of a service; `cron_schedule` is None where it has an interval."""

    client: str
    name: str
    endpoint: str
    enabled: bool
    cron_schedule: str | None
    timeout_ms: int
    expected_status_code: int | None


class StoredService(NamedTuple):
    """A service made through the API. `problem` says why its user and password cannot be read; both are then None."""

    id: int
    client: str
    name: str
    endpoint_url: str
    cron_schedule: str | None
    enabled: bool
    expected_status_code: int | None
    timeout_ms: int
    username: Secret | None = None
    password: Secret | None = None
    problem: str | None = None


class ListedService(NamedTuple):
    """A service of any origin, without its credentials."""

    id: int
    client: str
    name: str
    endpoint_url: str
    enabled: bool
    origin: Literal["file", "api"]
    cron_schedule: str | None = None


class Mark(NamedTuple):
    """What changes with every change of clients and services: of each table the count and sums of its rows.

    Numbers are never given twice and revisions only grow, so no two states of a table have the same.
    """

    clients: tuple[int, int, int, int]
    services: tuple[int, int, int, int]


async def registered(store: Store, services: Sequence[FileService]) -> dict[tuple[str, str], int]:
    """Store what the configuration names and return the numbers by (client, name).

    A service of an earlier configuration that is named no longer is disabled, and keeps its history. Services of the
    API are left alone: ServicesOfApiError names those that the configuration names too, and nothing is stored.
    """
    now = store.clock.time()
    async with store.writing(seconds=REGISTER_SECONDS) as connection:
        owners = await clients.ensured(connection, {service.client for service in services}, now)
        wanted = {(owners[service.client], service.name): service for service in services}
        before = await _rows(connection)
        _refuse_of_api(wanted, before)
        changed = {key: one for key, one in wanted.items() if key not in before or _is_other(one, before[key])}
        await _write(connection, changed, before, now)
        await _disable(connection, [row.id for key, row in before.items() if _is_left_out(key, row, wanted)], now)
        after = await _rows(connection) if changed else before
        # Between the two looks another process may have made one through the API: then all is undone.
        _refuse_of_api(wanted, after)
        return {(service.client, service.name): after[key].id for key, service in wanted.items()}


async def made(store: Store, keys: KeyRing | None) -> list[StoredService]:
    """Return the services made through the API, by number, with their users and passwords decrypted."""
    columns = client_services.c
    query = (
        select(client_services, clients_table.c.name.label("client"))
        .join_from(client_services, clients_table)
        .where(columns.origin == "api")
        .order_by(columns.id)
    )
    async with store.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [_stored(row, keys) for row in rows]


async def listed(store: Store) -> list[ListedService]:
    """Return every service, also disabled ones, by client and name."""
    columns, client = client_services.c, clients_table.c.name
    query = (
        select(
            columns.id,
            client,
            columns.name,
            columns.endpoint_url,
            columns.enabled,
            columns.origin,
            columns.cron_schedule,
        )
        .join_from(client_services, clients_table)
        .order_by(client, columns.name)
    )
    async with store.reading() as connection:
        return [ListedService(*row) for row in await connection.execute(query)]


async def mark(store: Store) -> Mark:
    """Return a value that differs from an earlier one when a client or service was made, changed or deleted since."""
    async with store.reading() as connection:
        row = [int(one) for one in (await connection.execute(_MARK)).one()]
    return Mark((row[0], row[1], row[2], row[3]), (row[4], row[5], row[6], row[7]))


async def present(connection: AsyncConnection, ids: Collection[int]) -> set[int]:
    """Return those of the numbers that are services; they stay so until the caller's transaction ends."""
    found: set[int] = set()
    query = select(client_services.c.id).order_by(client_services.c.id).with_for_update(read=True, key_share=True)
    for piece in pieces(sorted(ids)):
        found |= set((await connection.execute(query.where(client_services.c.id.in_(piece)))).scalars())
    return found


_OPTIONS: Final = ("endpoint_url", "cron_schedule", "enabled", "expected_status_code", "timeout_ms")
_KNOWN: Final = tuple(client_services.c[name] for name in ("id", "client_id", "name", "origin", *_OPTIONS))


async def _rows(connection: AsyncConnection) -> dict[tuple[int, str], Any]:
    rows = await connection.execute(select(*_KNOWN))
    return {(row.client_id, row.name): row for row in rows}


def _refuse_of_api(wanted: dict[tuple[int, str], FileService], rows: dict[tuple[int, str], Any]) -> None:
    taken = [one for key, one in wanted.items() if key in rows and rows[key].origin == "api"]
    if taken:
        names = ", ".join(f"{service.name!r} of {service.client!r}" for service in taken[:NAMED_IN_ERROR])
        more = len(taken) - NAMED_IN_ERROR
        raise ServicesOfApiError(names=f"{names} and {more} more" if more > 0 else names)


def _values(service: FileService) -> tuple[Any, ...]:
    """Return what is stored of a service, in the order of `_OPTIONS`."""
    return (
        service.endpoint,
        service.cron_schedule,
        service.enabled,
        service.expected_status_code,
        service.timeout_ms,
    )


def _is_other(service: FileService, row: Any) -> bool:
    return _values(service) != tuple(row)[-len(_OPTIONS) :]


def _is_left_out(key: tuple[int, str], row: Any, wanted: dict[tuple[int, str], FileService]) -> bool:
    return row.origin == "file" and row.enabled and key not in wanted


async def _write(
    connection: AsyncConnection,
    services: dict[tuple[int, str], FileService],
    before: dict[tuple[int, str], Any],
    now: float,
) -> None:
    """Insert what is new, change what is other: known rows first, by number, as those who write readings lock them."""
    known = sorted((key for key in services if key in before), key=lambda key: before[key].id)
    new = sorted(key for key in services if key not in before)
    rows = [
        {
            "client_id": client,
            "name": name,
            "origin": "file",
            "revision": 1,
            "created_at": now,
            "updated_at": now,
            **dict(zip(_OPTIONS, _values(services[client, name]), strict=True)),
        }
        for client, name in (*known, *new)
    ]
    statement = upsert(connection.dialect.name, client_services, ("client_id", "name"), _changes)
    for piece in pieces(rows, ROWS):
        await connection.execute(statement, piece)


def _changes(old: Any, new: Any) -> dict[str, Any]:
    changes = {name: new[name] for name in (*_OPTIONS, "updated_at")}
    # Without a bound value, see `upsert`.
    return changes | {"revision": old.revision + literal_column("1")}


async def _disable(connection: AsyncConnection, ids: list[int], now: float) -> None:
    changes = {"enabled": False, "updated_at": now, "revision": client_services.c.revision + 1}
    for piece in pieces(sorted(ids)):
        await connection.execute(update(client_services).where(client_services.c.id.in_(piece)).values(changes))


def _summed(table: Table) -> Any:
    number, revision = table.c.id, table.c.revision
    sums = (func.coalesce(func.sum(one), 0) for one in (number, revision))
    return select(func.count(), func.coalesce(func.max(number), 0), *sums).select_from(table).subquery()


_CLIENTS, _SERVICES = _summed(clients_table), _summed(client_services)
_MARK: Final = select(_CLIENTS, _SERVICES).select_from(_CLIENTS.join(_SERVICES, true()))


def _stored(row: Any, keys: KeyRing | None) -> StoredService:
    username = password = problem = None
    try:
        username, password = (revealed(keys, row.id, field, getattr(row, field)) for field in FIELDS)
    except (CredentialKeyMissingError, CredentialUnreadableError) as error:
        problem = str(error)
    return StoredService(
        id=row.id,
        client=row.client,
        name=row.name,
        endpoint_url=row.endpoint_url,
        cron_schedule=row.cron_schedule,
        enabled=row.enabled,
        expected_status_code=row.expected_status_code,
        timeout_ms=row.timeout_ms,
        username=username,
        password=password,
        problem=problem,
    )
