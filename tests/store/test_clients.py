"""Clients are made, renamed and deleted with all that belongs to them, on every engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from exporter.errors import ClientExistsError, ClientMissingError, ClientOfFileError, InvalidFieldsError
from exporter.store import client_services, clients, service_editing, service_states, service_status, service_totals
from exporter.store.client_services import FileService
from exporter.store.service_states import Stretch
from exporter.store.service_status import StoredReading
from exporter.store.service_totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_life_of_a_client(url: str, open_store: Callable[..., Any]) -> None:
    """A client is made, read, listed, renamed and deleted; each step shows in the next."""
    store = await open_store(url)
    first = await clients.create(store, "acme")
    second = await clients.create(store, "é 😀")
    assert await clients.get(store, first.id) == first
    assert await clients.listed(store, 50, 0) == (2, [first, second])
    assert await clients.listed(store, 1, 1) == (2, [second])
    renamed = await clients.update(store, first.id, "Acme")
    assert (renamed.name, renamed.created_at) == ("Acme", first.created_at)
    assert renamed.updated_at >= first.updated_at
    assert await clients.get(store, first.id) == renamed
    assert await clients.update(store, first.id, "Acme") == renamed
    assert await clients.delete(store, first.id) == renamed
    assert await clients.listed(store, 50, 0) == (1, [second])


async def test_names_are_unique_byte_for_byte(url: str, open_store: Callable[..., Any]) -> None:
    """A name is taken once; one that differs in case, accent or script is another."""
    store = await open_store(url)
    for name in ("npm", "NPM", "nпm", "é", "e"):
        await clients.create(store, name)
    with pytest.raises(ClientExistsError, match="'npm' already"):
        await clients.create(store, "npm")
    other = await clients.create(store, "other")
    with pytest.raises(ClientExistsError, match="'NPM' already"):
        await clients.update(store, other.id, "NPM")
    assert (await clients.get(store, other.id)).name == "other"


async def test_absent_clients(url: str, open_store: Callable[..., Any]) -> None:
    """What is done to a client that is not there is an error that names it."""
    store = await open_store(url)
    for step in (clients.get(store, 7), clients.update(store, 7, "a"), clients.delete(store, 7)):
        with pytest.raises(ClientMissingError, match="id 7"):
            await step


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("a" * 256, id="too-long"),
        pytest.param(" a", id="blank-first"),
        pytest.param("a ", id="blank-last"),
        pytest.param("a\nb", id="line-end"),
        pytest.param("a\0b", id="nul"),
        pytest.param("a\ud800b", id="half-a-character"),
        pytest.param("a\u202eb", id="written-backwards"),
    ],
)
async def test_names_that_are_refused(name: str, new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """A name that an engine would not take, or would take for another, is refused before it is asked."""
    store = await open_store(new_url("sqlite"))
    with pytest.raises(InvalidFieldsError, match=r"^name: it must"):
        await clients.create(store, name)
    made = await clients.create(store, "a" * 255)
    with pytest.raises(InvalidFieldsError, match=r"^name: it must"):
        await clients.update(store, made.id, name)


async def test_deletion_takes_everything_along(url: str, open_store: Callable[..., Any]) -> None:
    """With a client go its services and all that is known of them, however much, and nothing of others."""
    store = await open_store(url)
    numbers = []
    for name in ("goes", "stays"):
        client = await clients.create(store, name)
        fields = {"client_id": client.id, "name": "web", "endpoint_url": "http://web/"}
        numbers.append((await service_editing.create(store, None, fields)).id)
    async with store.writing() as connection:
        for number in numbers:
            await service_status.add(connection, [StoredReading(number, "up", float(at)) for at in range(6000)])
            await service_states.opened(connection, [Stretch(number, "up", "", 1.0, "r")])
            await service_totals.added(connection, {number: Totals(1, 0, {})})
    await clients.delete(store, (await clients.listed(store, 1, 0))[1][0].id)
    gone, stays = numbers
    assert [one.id for one in await client_services.made(store, None)] == [stays]
    assert (await service_status.latest(store)).keys() == {stays}
    assert [one.service_id for one in await service_states.open_ones(store)] == [stays]
    assert (await service_totals.known(store)).keys() == {stays}
    assert len(await service_status.history(store, stays, 0.0, 10_000)) == 6000
    assert await service_status.history(store, gone, 0.0, 10_000) == []


async def test_clients_of_the_configuration(url: str, open_store: Callable[..., Any]) -> None:
    """A client that the configuration names is neither renamed nor deleted, until it is named no longer."""
    store = await open_store(url)
    service = FileService(
        "acme", "web", "http://web/", enabled=True, cron_schedule=None, timeout_ms=5000, expected_status_code=None
    )
    await client_services.registered(store, [service])
    client = (await clients.listed(store, 1, 0))[1][0]
    with pytest.raises(ClientOfFileError, match="'acme'"):
        await clients.update(store, client.id, "other")
    with pytest.raises(ClientOfFileError, match="'acme'"):
        await clients.delete(store, client.id)
    await client_services.registered(store, [])
    await clients.delete(store, client.id)
    assert await clients.listed(store, 1, 0) == (0, [])


async def test_ensured_by_many_at_once(url: str, open_store: Callable[..., Any]) -> None:
    """Replicas that need the same clients at once, in any order, get the same numbers."""
    stores = [await open_store(url) for _ in range(2)]
    names = [f"client-{number}" for number in range(50)]

    async def ensure(at: int) -> dict[str, int]:
        async with stores[at % 2].writing() as connection:
            return await clients.ensured(connection, names if at % 3 else names[::-1], 5.0)

    found = await asyncio.gather(*(ensure(at) for at in range(10)))
    assert found[0].keys() == set(names)
    assert all(one == found[0] for one in found)
    assert (await clients.listed(stores[0], 100, 0))[0] == 50
