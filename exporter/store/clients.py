"""Whose services are watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete as delete_from
from sqlalchemy import func, insert, select
from sqlalchemy import update as update_of
from sqlalchemy.exc import IntegrityError

from exporter.errors import ClientExistsError, ClientMissingError, ClientOfFileError, InvalidFieldsError
from exporter.store import service_history
from exporter.store.bulk import ROWS, pieces, upsert
from exporter.store.naming import name_problem
from exporter.store.tables import client_services, clients

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store


class Client(NamedTuple):
    """A client; times are in seconds since 1970."""

    id: int
    name: str
    created_at: float
    updated_at: float


_COLUMNS: Final = tuple(clients.c[name] for name in Client._fields)


async def create(store: Store, name: str) -> Client:
    """Store a new client; InvalidFieldsError for the name, ClientExistsError when there is one of that name."""
    _check(name)
    now = store.clock.time()
    async with store.writing() as connection:
        try:
            done = await connection.execute(insert(clients).values(name=name, created_at=now, updated_at=now))
        except IntegrityError:
            raise ClientExistsError(name=name) from None
        return Client(number_of(done), name, now, now)


async def get(store: Store, client: int) -> Client:
    """Return a client by its number; ClientMissingError when there is none."""
    async with store.reading() as connection:
        return await found(connection, client)


async def listed(store: Store, limit: int, skip: int) -> tuple[int, list[Client]]:
    """Return how many clients there are, and `limit` of them by number after the first `skip`."""
    query = select(*_COLUMNS).order_by(clients.c.id).limit(limit).offset(skip)
    async with store.reading(snapshot=True) as connection:
        total = (await connection.execute(select(func.count()).select_from(clients))).scalar_one()
        return total, [Client(*row) for row in await connection.execute(query)]


async def update(store: Store, client: int, name: str) -> Client:
    """Rename a client.

    ClientMissingError, ClientOfFileError when the configuration names it, InvalidFieldsError, ClientExistsError.
    """
    _check(name)
    async with store.writing() as connection:
        before = await found(connection, client, lock=True)
        if before.name == name:
            return before
        await _refuse_of_file(connection, before)
        now = store.clock.time()
        changes: dict[str, Any] = {"name": name, "updated_at": now, "revision": clients.c.revision + 1}
        try:
            await connection.execute(update_of(clients).where(clients.c.id == client).values(changes))
        except IntegrityError:
            raise ClientExistsError(name=name) from None
        return before._replace(name=name, updated_at=now)


async def delete(store: Store, client: int) -> Client:
    """Delete a client, its services and all that is known of them; return what it was.

    ClientMissingError when there is none, ClientOfFileError when the configuration names it.
    """
    async with store.reading() as connection:
        known = await found(connection, client)
        await _refuse_of_file(connection, known)
        of_client = select(client_services.c.id).where(client_services.c.client_id == client)
        services = list((await connection.execute(of_client)).scalars())
    for service in services:
        await service_history.forget(store, service)
    async with store.writing(seconds=service_history.DELETE_SECONDS) as connection:
        known = await found(connection, client, lock=True)
        await _refuse_of_file(connection, known)
        await connection.execute(delete_from(clients).where(clients.c.id == client))
    return known


async def ensured(connection: AsyncConnection, names: Iterable[str], at: float) -> dict[str, int]:
    """Return the numbers of clients by name, in the caller's transaction; who is missing is made at that time."""
    wanted = sorted(set(names))
    numbers = await _numbers(connection, wanted)
    if missing := [name for name in wanted if name not in numbers]:
        rows = [{"name": name, "created_at": at, "updated_at": at, "revision": 1} for name in missing]
        for piece in pieces(rows, ROWS):
            await connection.execute(upsert(connection.dialect.name, clients, ("name",)), piece)
        numbers |= await _numbers(connection, missing)
    return numbers


async def _numbers(connection: AsyncConnection, names: list[str]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for piece in pieces(names):
        rows = await connection.execute(select(clients.c.name, clients.c.id).where(clients.c.name.in_(piece)))
        numbers |= {row.name: row.id for row in rows}
    return numbers


async def found(connection: AsyncConnection, client: int, *, lock: bool = False) -> Client:
    """Return a client in the caller's transaction, with `lock` so that it stays; ClientMissingError without one."""
    query = select(*_COLUMNS).where(clients.c.id == client)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise ClientMissingError(id=client)
    return Client(*row)


async def _refuse_of_file(connection: AsyncConnection, client: Client) -> None:
    """Raise for a client of the configuration: the next start would only make it again."""
    columns = client_services.c
    # A service that the configuration names no longer is not enabled.
    named = select(columns.id).where(columns.client_id == client.id, columns.origin == "file", columns.enabled)
    if (await connection.execute(named.limit(1))).first() is not None:
        raise ClientOfFileError(name=client.name)


def _check(name: str) -> None:
    if sentence := name_problem(name):
        raise InvalidFieldsError((("name", sentence),))


def number_of(done: Any) -> int:
    """Return the number that an inserted row was given."""
    return int(done.inserted_primary_key[0])
