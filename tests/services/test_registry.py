"""The services of the file and of the store, as one list, and whether the store's have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from exporter import config
from exporter.errors import ServicesOfApiError
from exporter.schedule import Cron, Every
from exporter.services.registry import Registry
from exporter.store import client_services, clients, service_editing, tables
from exporter.store.credentials import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.config import Configuration

KEY = "q8Vt2mXw9LzR4cYh7NbK1dGs5JfPa3Ue"
TEXT = """
services:
  web:
    client: acme
    group: front
    series: full
    node: web1
    probe: {kind: http, url: "http://127.0.0.1:1/health", every: 30s, timeout: 3s, slow_after: 1s}
  db:
    probe: {kind: tcp, address: "127.0.0.1:5432", schedule: "*/5 * * * *", timezone: Europe/Bucharest}
  off:
    enabled: false
    probe: {kind: tcp, address: "127.0.0.1:1"}
  plain:
    probe: {kind: tcp, address: "127.0.0.1:1"}
"""


def parsed(text: str) -> Configuration:
    return config.parse(text, name="test.yml")


async def test_services_of_the_file_are_as_it_says(url: str, open_store: Callable[..., Any]) -> None:
    """Those that are disabled are known to the store and not watched; numbers stay the same for the next registry."""
    store = await open_store(url)
    found = {one.name: one for one in await Registry(store, parsed(TEXT), None).load()}
    assert set(found) == {"web", "db", "plain"}
    web, db, plain = found["web"], found["db"], found["plain"]
    assert (web.client, web.group, web.full, web.kind, web.timeout, web.slow_after, web.node) == (
        "acme", "front", True, "http", 3.0, 1.0, "web1",
    )  # fmt: skip
    assert (web.pace, db.pace, plain.pace) == (
        Every(30.0), Cron.parse("*/5 * * * *", "Europe/Bucharest"), Every(60.0),
    )  # fmt: skip
    assert (db.client, db.full, db.origin, db.problem, db.node) == ("default", False, "file", None, None)
    listed = {(one.client, one.name): one for one in await client_services.listed(store)}
    assert {key: one.enabled for key, one in listed.items()} == {
        ("acme", "web"): True, ("default", "db"): True, ("default", "off"): False, ("default", "plain"): True,
    }  # fmt: skip
    assert listed["acme", "web"].endpoint_url == "http://127.0.0.1:1/health"
    again = {one.name: one.id for one in await Registry(store, parsed(TEXT), None).load()}
    assert again == {name: one.id for name, one in found.items()}


async def test_services_of_the_store_come_after_with_their_credentials(
    url: str, open_store: Callable[..., Any]
) -> None:
    """An HTTP probe on a cron pattern; what cannot be read costs that service alone, and says so."""
    store, keys = await open_store(url), KeyRing.parse(KEY)
    client = (await clients.create(store, "acme")).id
    base = {"client_id": client, "endpoint_url": "https://127.0.0.1:1/health"}
    user = {"basic_auth_username": "ann", "basic_auth_password": "s3cret"}
    await service_editing.create(store, keys, base | user | {"name": "login", "timeout_ms": 1500})
    await service_editing.create(store, keys, base | {"name": "own", "cron_schedule": "0 * * * *"})
    await service_editing.create(store, keys, base | {"name": "off", "enabled": False})
    odd = await service_editing.create(store, keys, base | {"name": "odd"})
    async with store.writing() as connection:
        table = tables.client_services
        await connection.execute(update(table).where(table.c.id == odd.id).values(cron_schedule="61 * * * *"))
    found = {one.name: one for one in await Registry(store, parsed(TEXT), keys).load()}
    assert list(found) == ["web", "db", "plain", "login", "own", "odd"]
    login = found["login"]
    assert (login.origin, login.kind, login.timeout, login.problem) == ("api", "http", 1.5, None)
    assert (login.options.url, login.options.expected_status_code) == ("https://127.0.0.1:1/health", 200)
    assert (login.options.basic_auth.username, login.options.basic_auth.password.reveal()) == ("ann", "s3cret")
    assert "s3cret" not in repr(login)
    assert login.pace == Cron.parse("*/5 * * * *", "UTC")
    assert found["own"].pace == Cron.parse("0 * * * *", "UTC")
    assert "its minute '61' cannot be read" in (found["odd"].problem or "")
    without = {one.name: one for one in await Registry(store, parsed(TEXT), None).load()}
    assert without["login"].problem is not None
    assert without["login"].options.basic_auth is None
    assert without["own"].problem is None


async def test_a_change_of_the_store_is_seen_and_only_that(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    registry = Registry(store, parsed(TEXT), None)
    assert await registry.changed(), "nothing was loaded yet"
    await registry.load()
    assert not await registry.changed()
    client = (await clients.create(store, "other")).id
    assert await registry.changed()
    await registry.load()
    made = await service_editing.create(
        store, None, {"client_id": client, "name": "api", "endpoint_url": "http://127.0.0.1:1/"}
    )
    assert await registry.changed()
    assert {one.name for one in await registry.load()} == {"web", "db", "plain", "api"}
    await service_editing.update(store, None, made.id, {"timeout_ms": 77})
    assert await registry.changed()
    assert [one.timeout for one in await registry.load() if one.name == "api"] == [0.077]
    await service_editing.delete(store, made.id)
    assert await registry.changed()
    assert {one.name for one in await registry.load()} == {"web", "db", "plain"}
    assert not await registry.changed()


async def test_one_name_in_both_is_refused(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    client = (await clients.create(store, "acme")).id
    await service_editing.create(
        store, None, {"client_id": client, "name": "web", "endpoint_url": "http://127.0.0.1:1/"}
    )
    with pytest.raises(ServicesOfApiError, match="'web' of 'acme'"):
        await Registry(store, parsed(TEXT), None).load()
