"""Services made through the API: made, changed and deleted one by one, their credentials encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete as delete_from
from sqlalchemy import func, insert, or_, select
from sqlalchemy import update as update_of
from sqlalchemy.exc import IntegrityError

from exporter.errors import CredentialKeyMissingError, ServiceExistsError, ServiceMissingError, ServiceOfFileError
from exporter.store import clients, service_history
from exporter.store.credentials import FIELDS, sealed
from exporter.store.service_fields import checked, place
from exporter.store.tables import client_services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.credentials import KeyRing
    from exporter.store.store import Store


class ServiceRecord(NamedTuple):
    """A service as the API shows it: never a user or a password, only whether there are any. Times as everywhere."""

    id: int
    client_id: int
    name: str
    endpoint_url: str
    cron_schedule: str | None
    enabled: bool
    expected_status_code: int | None
    timeout_ms: int
    origin: str
    created_at: float
    updated_at: float
    has_credentials: bool


_PLAIN: Final = tuple(client_services.c[name] for name in ServiceRecord._fields[:-1])
_HAS: Final = or_(*(client_services.c[field].is_not(None) for field in FIELDS)).label("has_credentials")
_RECORD: Final = select(*_PLAIN, _HAS)


async def get(store: Store, service: int) -> ServiceRecord:
    """Return a service of any origin by its number; ServiceMissingError when there is none."""
    async with store.reading() as connection:
        return await _found(connection, service)


async def listed(store: Store, limit: int, skip: int, client: int | None = None) -> tuple[int, list[ServiceRecord]]:
    """Return how many services there are (of a client), and `limit` of them by number after the first `skip`."""
    of_client = [] if client is None else [client_services.c.client_id == client]
    query = _RECORD.where(*of_client).order_by(client_services.c.id).limit(limit).offset(skip)
    count = select(func.count()).select_from(client_services).where(*of_client)
    async with store.reading(snapshot=True) as connection:
        total = (await connection.execute(count)).scalar_one()
        return total, [_record(row) for row in await connection.execute(query)]


async def create(store: Store, keys: KeyRing | None, fields: Mapping[str, Any]) -> ServiceRecord:
    """Store a new service by S4's fields; those left out have S4's defaults.

    InvalidFieldsError, ClientMissingError, ServiceExistsError; CredentialKeyMissingError for a user or password that
    no key could encrypt.
    """
    values = checked(fields, complete=True)
    secrets = _secrets(values, keys)
    now = store.clock.time()
    async with store.writing() as connection:
        owner = await clients.found(connection, values["client_id"], lock=True)
        row = {**values, "origin": "api", "created_at": now, "updated_at": now}
        try:
            done = await connection.execute(insert(client_services).values(row))
        except IntegrityError:
            raise ServiceExistsError(client=owner.name, name=values["name"]) from None
        number = clients.number_of(done)
        # Only now is the number known that the tokens are bound to.
        if tokens := _tokens(keys, number, secrets):
            await connection.execute(update_of(client_services).where(client_services.c.id == number).values(tokens))
        return await _found(connection, number)


async def update(store: Store, keys: KeyRing | None, service: int, changes: Mapping[str, Any]) -> ServiceRecord:
    """Change fields of a service; those left out stay as they are.

    A user and password are for one place: where scheme, host or port change, those that are not given again are
    cleared. ServiceMissingError, ServiceOfFileError, and whatever `create` raises.
    """
    values = checked(changes, complete=False)
    secrets = _secrets(values, keys)
    async with store.writing() as connection:
        if "client_id" in values:
            # The client before its services, as a deletion locks them.
            await clients.found(connection, values["client_id"], lock=True)
        before = await _found(connection, service, lock=True)
        _refuse_of_file(before)
        owner = await clients.found(connection, values.get("client_id", before.client_id))
        if place(values.get("endpoint_url", before.endpoint_url)) != place(before.endpoint_url):
            values |= dict.fromkeys(FIELDS)
        values |= _tokens(keys, service, secrets)
        values |= {"updated_at": store.clock.time(), "revision": client_services.c.revision + 1}
        try:
            await connection.execute(update_of(client_services).where(client_services.c.id == service).values(values))
        except IntegrityError:
            raise ServiceExistsError(client=owner.name, name=values.get("name", before.name)) from None
        return await _found(connection, service)


async def delete(store: Store, service: int) -> ServiceRecord:
    """Delete a service and all that is known of it; return what it was.

    ServiceMissingError when there is none, ServiceOfFileError when the configuration names it.
    """
    async with store.reading() as connection:
        _refuse_of_file(await _found(connection, service))
    await service_history.forget(store, service)
    async with store.writing(seconds=service_history.DELETE_SECONDS) as connection:
        known = await _found(connection, service, lock=True)
        await connection.execute(delete_from(client_services).where(client_services.c.id == service))
    return known


def _secrets(values: dict[str, Any], keys: KeyRing | None) -> dict[str, str | None]:
    """Take user and password out of the fields; CredentialKeyMissingError when one could not be encrypted."""
    secrets: dict[str, str | None] = {field: values.pop(field) for field in FIELDS if field in values}
    if keys is None and any(text is not None for text in secrets.values()):
        raise CredentialKeyMissingError
    return secrets


def _tokens(keys: KeyRing | None, service: int, secrets: dict[str, str | None]) -> dict[str, str | None]:
    return {field: None if text is None else sealed(keys, service, field, text) for field, text in secrets.items()}


async def _found(connection: AsyncConnection, service: int, *, lock: bool = False) -> ServiceRecord:
    query = _RECORD.where(client_services.c.id == service)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise ServiceMissingError(id=service)
    return _record(row)


def _record(row: Any) -> ServiceRecord:
    return ServiceRecord(*row)._replace(has_credentials=bool(row.has_credentials))


def _refuse_of_file(record: ServiceRecord) -> None:
    if record.origin == "file":
        raise ServiceOfFileError(name=record.name)
