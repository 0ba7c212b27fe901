"""The services of the configuration and of the API live beside each other, and every change of them can be seen."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from exporter.errors import ServicesOfApiError
from exporter.store import client_services, clients, service_editing, service_status
from exporter.store.client_services import FileService, StoredService
from exporter.store.credentials import KeyRing
from exporter.store.service_status import StoredReading
from exporter.store.tables import client_services as table

if TYPE_CHECKING:
    from collections.abc import Callable

OLD, NEW = "base64:" + "Qk1zFq7cXw0a9Y3JtLhU5eR8vNbP2gKdSiOyTfAuC4M=", "k9$Wz!pQ3x&Lm7@Tb2#Vn8^Rc5*Yd1%H"


def service(name: str, client: str = "acme", **changes: Any) -> FileService:
    one = FileService(client, name, "http://web/", True, "*/5 * * * *", 5000, 200)  # noqa: FBT003 - a row
    return one._replace(**changes)


async def rows(store: Any) -> dict[str, Any]:
    async with store.reading() as connection:
        return {row.name: row for row in await connection.execute(select(table))}


async def test_registered_again(url: str, open_store: Callable[..., Any]) -> None:
    """What is named is stored with its options under a number that stays; what did not change is not touched."""
    store = await open_store(url)
    first = await client_services.registered(store, [service("web"), service("web", "other"), service("Web")])
    assert first.keys() == {("acme", "web"), ("other", "web"), ("acme", "Web")}
    assert len(set(first.values())) == 3
    before = await client_services.mark(store)
    assert await client_services.registered(store, [service("Web"), service("web"), service("web", "other")]) == first
    assert await client_services.mark(store) == before
    changed = service(
        "Web", endpoint="tcp://db:5432", enabled=False, cron_schedule=None, timeout_ms=70, expected_status_code=None
    )
    assert await client_services.registered(store, [changed, service("web"), service("web", "other")]) == first
    found = (await rows(store))["Web"]
    assert (found.endpoint_url, found.enabled, found.cron_schedule, found.timeout_ms, found.expected_status_code) == (
        "tcp://db:5432", False, None, 70, None,
    )  # fmt: skip
    assert (found.origin, found.revision) == ("file", 2)
    assert await client_services.mark(store) != before


async def test_named_no_longer(url: str, open_store: Callable[..., Any]) -> None:
    """It is disabled and keeps its number and history; named again, it goes on."""
    store = await open_store(url)
    number = (await client_services.registered(store, [service("web"), service("db")]))["acme", "web"]
    async with store.writing() as connection:
        await service_status.add(connection, [StoredReading(number, "up", 1.0)])
    await client_services.registered(store, [service("db")])
    assert {name: row.enabled for name, row in (await rows(store)).items()} == {"web": False, "db": True}
    assert len(await service_status.history(store, number, 0.0, 10)) == 1
    assert (await client_services.registered(store, [service("web")]))["acme", "web"] == number
    assert {name: row.enabled for name, row in (await rows(store)).items()} == {"web": True, "db": False}
    assert await client_services.registered(store, []) == {}


async def test_services_of_the_api_are_left_alone(url: str, open_store: Callable[..., Any]) -> None:
    """A name that the API has is an error that names it, and nothing of the configuration is stored."""
    store = await open_store(url)
    client = await clients.create(store, "acme")
    fields = {"client_id": client.id, "name": "web", "endpoint_url": "http://of-api/"}
    await service_editing.create(store, None, fields)
    before = await rows(store)
    with pytest.raises(ServicesOfApiError, match="'web' of 'acme'; rename"):
        await client_services.registered(store, [service("web"), service("db"), service("x", "new client")])
    assert await rows(store) == before
    assert (await clients.listed(store, 9, 0))[0] == 1
    await client_services.registered(store, [service("db")])
    await client_services.registered(store, [])
    assert (await rows(store))["web"] == before["web"]
    for number in range(7):
        await service_editing.create(store, None, fields | {"name": f"w{number}"})
    with pytest.raises(ServicesOfApiError, match=r"'w4' of 'acme' and 2 more;"):
        await client_services.registered(store, [service(f"w{number}") for number in range(7)])


async def test_ten_thousand(url: str, open_store: Callable[..., Any]) -> None:
    """So many are stored, found unchanged, all changed and all disabled; the database is asked in bulk each time."""
    store = await open_store(url)
    many = [service(f"service-{number}", f"client-{number % 100}") for number in range(10_000)]
    numbers = await client_services.registered(store, many)
    assert len(set(numbers.values())) == 10_000
    assert await client_services.registered(store, many[::-1]) == numbers
    changed = [one._replace(timeout_ms=number) for number, one in enumerate(many, start=1)]
    assert await client_services.registered(store, changed) == numbers
    assert {name: row.timeout_ms for name, row in (await rows(store)).items()} == {
        one.name: one.timeout_ms for one in changed
    }
    assert await client_services.registered(store, []) == {}
    assert not any(row.enabled for row in (await rows(store)).values())


async def test_replicas_that_register_at_once(url: str, open_store: Callable[..., Any]) -> None:
    """Replicas that start together with the same configuration agree on every number."""
    stores = [await open_store(url) for _ in range(2)]
    many = [service(f"service-{number}") for number in range(300)]
    found = await asyncio.gather(
        *(client_services.registered(stores[at % 2], many if at % 2 else many[::-1]) for at in range(6))
    )
    assert len(set(found[0].values())) == 300
    assert all(one == found[0] for one in found)


async def test_every_change_changes_the_mark(
    url: str, open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the clock stands still, a change takes a number away and another brings one."""
    store = await open_store(url)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    ring = KeyRing.parse(NEW)
    seen = [await client_services.mark(store)]

    async def step(change: Any) -> Any:
        result = await change
        seen.append(await client_services.mark(store))
        assert len(set(seen)) == len(seen)
        return result

    client = await step(clients.create(store, "acme"))
    fields = {"client_id": client.id, "name": "web", "endpoint_url": "http://web/"}
    first = await step(service_editing.create(store, ring, fields))
    await step(clients.update(store, client.id, "Acme"))
    await step(service_editing.update(store, ring, first.id, {"timeout_ms": 1}))
    await step(service_editing.update(store, ring, first.id, {"timeout_ms": 2}))
    await step(service_editing.update(store, ring, first.id, {"basic_auth_password": "x"}))
    await step(service_editing.delete(store, first.id))
    second = await step(service_editing.create(store, ring, fields))
    assert second.id > first.id
    await step(client_services.registered(store, [service("db")]))
    await step(client_services.registered(store, []))
    await step(service_editing.delete(store, second.id))
    assert await client_services.mark(store) == seen[-1]


async def test_made(url: str, open_store: Callable[..., Any]) -> None:
    """The services of the API come with their client and what they are asked with, those of the file do not come."""
    store = await open_store(url)
    await client_services.registered(store, [service("of-file", "acme")])
    client = (await clients.listed(store, 1, 0))[1][0]
    ring = KeyRing.parse(NEW)
    fields = {"client_id": client.id, "name": "web", "endpoint_url": "https://web/", "basic_auth_username": "é",
              "basic_auth_password": "pass: 😀", "cron_schedule": None, "enabled": False, "timeout_ms": 70,
              "expected_status_code": None}  # fmt: skip
    number = (await service_editing.create(store, ring, fields)).id
    plain = (
        await service_editing.create(store, None, {"client_id": client.id, "name": "a", "endpoint_url": "http://a/"})
    ).id
    first, second = await client_services.made(store, ring)
    assert (first.username.reveal(), first.password.reveal(), first.problem) == ("é", "pass: 😀", None)
    assert first._replace(username=None, password=None) == StoredService(
        number, "acme", "web", "https://web/", None, enabled=False, expected_status_code=None, timeout_ms=70
    )
    assert second == StoredService(
        plain, "acme", "a", "http://a/", "*/5 * * * *", enabled=True, expected_status_code=200, timeout_ms=5000
    )
    assert "pass:" not in repr(first)


@pytest.mark.parametrize(
    ("ring", "sentence"),
    [
        pytest.param(None, "set ENCRYPTION_KEY or `key_file`", id="no-key"),
        pytest.param(OLD, "its key is not among those given", id="another-key"),
    ],
)
async def test_credentials_that_cannot_be_read(
    ring: str | None, sentence: str, new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """The service comes without them and says why; others come as they are."""
    store = await open_store(new_url("sqlite"))
    client = await clients.create(store, "acme")
    for name, more in (("web", {"basic_auth_username": "u", "basic_auth_password": "p"}), ("db", {})):
        fields = {"client_id": client.id, "name": name, "endpoint_url": "http://web/", **more}
        await service_editing.create(store, KeyRing.parse(NEW), fields)
    web, db = await client_services.made(store, None if ring is None else KeyRing.parse(ring))
    assert (web.username, web.password) == (None, None)
    assert sentence in web.problem
    assert db.problem is None


async def test_tokens_that_a_writer_of_the_database_moved(
    new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """A token copied to another service, or from password to user, does not open."""
    store = await open_store(new_url("sqlite"))
    client = await clients.create(store, "acme")
    ring = KeyRing.parse(NEW)
    numbers = []
    for name in ("victim", "thief"):
        fields = {"client_id": client.id, "name": name, "endpoint_url": f"http://{name}/",
                  "basic_auth_username": "u", "basic_auth_password": "p"}  # fmt: skip
        numbers.append((await service_editing.create(store, ring, fields)).id)
    victim = (await rows(store))["victim"]
    for changes in (
        {"basic_auth_password": victim.basic_auth_password},
        {"basic_auth_username": (await rows(store))["thief"].basic_auth_password},
    ):
        async with store.writing() as connection:
            await connection.execute(update(table).where(table.c.id == numbers[1]).values(changes))
        thief = (await client_services.made(store, ring))[1]
        assert (thief.username, thief.password) == (None, None)
        assert "belongs to another row or field" in thief.problem


async def test_present(url: str, open_store: Callable[..., Any]) -> None:
    """Of some numbers those that are services are told, and a deletion waits until they were used."""
    store = await open_store(url)
    client = await clients.create(store, "acme")
    fields = {"client_id": client.id, "name": "web", "endpoint_url": "http://web/"}
    number = (await service_editing.create(store, None, fields)).id
    async with store.writing() as connection:
        assert await client_services.present(connection, []) == set()
        assert await client_services.present(connection, [number + 1, number]) == {number}
        deletion = asyncio.create_task(service_editing.delete(store, number))
        await asyncio.sleep(0)
        await service_status.add(connection, [StoredReading(number, "up", 1.0)])
    await deletion
    assert await rows(store) == {}


async def test_listed(url: str, open_store: Callable[..., Any]) -> None:
    """Every service of both origins is listed, disabled ones too, by client and name."""
    store = await open_store(url)
    await client_services.registered(store, [service("web"), service("db", enabled=False), service("x", "Other")])
    client = (await clients.listed(store, 1, 0))[1][0]
    await service_editing.create(store, None, {"client_id": client.id, "name": "m", "endpoint_url": "http://m/"})
    found = await client_services.listed(store)
    assert {(one.client, one.name, one.enabled, one.origin) for one in found} == {
        ("acme", "web", True, "file"),
        ("acme", "db", False, "file"),
        ("Other", "x", True, "file"),
        (client.name, "m", True, "api"),
    }
    assert [one.name for one in found if one.client == "acme" and one.origin == "file"] == ["db", "web"]
