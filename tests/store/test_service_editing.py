"""Services of the API are made, changed and deleted; their credentials never follow to another place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exporter.errors import (
    ClientMissingError,
    InvalidFieldsError,
    ServiceExistsError,
    ServiceMissingError,
    ServiceOfFileError,
    WatchbridgeError,
)
from exporter.store import client_services, clients, service_editing, service_states, service_status
from exporter.store.client_services import FileService
from exporter.store.credentials import KeyRing
from exporter.store.service_states import Stretch
from exporter.store.service_status import StoredReading

if TYPE_CHECKING:
    from collections.abc import Callable

RING = KeyRing.parse("k9$Wz!pQ3x&Lm7@Tb2#Vn8^Rc5*Yd1%H")
URL = "https://web.example/health"


async def new(store: Any, **more: Any) -> service_editing.ServiceRecord:
    total, known = await clients.listed(store, 1, 0)
    client = known[0] if total else await clients.create(store, "acme")
    return await service_editing.create(
        store, RING, {"client_id": client.id, "name": "web", "endpoint_url": URL, **more}
    )


async def credentials(store: Any) -> tuple[str | None, str | None]:
    (one,) = await client_services.made(store, RING)
    username, password = (None if one is None else one.reveal() for one in (one.username, one.password))
    return username, password


async def test_life_of_a_service(url: str, open_store: Callable[..., Any]) -> None:
    """It gets S4's defaults, is read and listed, changed field by field, and deleted with all that is known of it."""
    store = await open_store(url)
    made = await new(store)
    assert made._replace(id=0, client_id=0, created_at=0.0, updated_at=0.0) == service_editing.ServiceRecord(
        0, 0, "web", URL, "*/5 * * * *", enabled=True, expected_status_code=200, timeout_ms=5000, origin="api",
        created_at=0.0, updated_at=0.0, has_credentials=False,
    )  # fmt: skip
    assert await service_editing.get(store, made.id) == made
    changes = {"name": "Web", "cron_schedule": None, "enabled": False, "expected_status_code": None, "timeout_ms": 1}
    changed = await service_editing.update(store, None, made.id, changes)
    assert changed.updated_at >= made.updated_at
    assert changed == made._replace(**changes, updated_at=changed.updated_at)
    assert await service_editing.update(store, None, made.id, {}) == changed._replace(
        updated_at=(await service_editing.get(store, made.id)).updated_at
    )
    other = await new(store)
    assert await service_editing.listed(store, 50, 0) == (2, [await service_editing.get(store, made.id), other])
    assert await service_editing.listed(store, 1, 1, made.client_id) == (2, [other])
    assert await service_editing.listed(store, 50, 0, made.client_id + 1) == (0, [])
    async with store.writing() as connection:
        await service_status.add(connection, [StoredReading(made.id, "up", float(at)) for at in range(5001)])
        await service_states.opened(connection, [Stretch(made.id, "up", "", 1.0, "r")])
    assert (await service_editing.delete(store, made.id)).name == "Web"
    assert await service_editing.listed(store, 50, 0) == (1, [other])
    assert await service_status.latest(store) == {}
    assert await service_states.open_ones(store) == []


async def test_a_name_is_taken_once_a_client(url: str, open_store: Callable[..., Any]) -> None:
    """Another service of the client has another name, that of another client may have the same."""
    store = await open_store(url)
    first = await new(store)
    with pytest.raises(ServiceExistsError, match="'acme' has a service 'web' already"):
        await new(store)
    second = await new(store, name="db")
    with pytest.raises(ServiceExistsError, match="'acme' has a service 'web' already"):
        await service_editing.update(store, None, second.id, {"name": "web"})
    other = await clients.create(store, "other")
    moved = await service_editing.update(store, None, second.id, {"name": "web", "client_id": other.id})
    assert (moved.name, moved.client_id) == ("web", other.id)
    with pytest.raises(ServiceExistsError, match="'acme' has a service 'web' already"):
        await service_editing.update(store, None, second.id, {"client_id": first.client_id})


async def test_what_is_not_there(url: str, open_store: Callable[..., Any]) -> None:
    """A client or a service that is missing is an error that names it, and nothing is stored."""
    store = await open_store(url)
    with pytest.raises(ClientMissingError, match="id 7"):
        await service_editing.create(store, None, {"client_id": 7, "name": "web", "endpoint_url": URL})
    for step in (
        service_editing.get(store, 7),
        service_editing.update(store, None, 7, {}),
        service_editing.delete(store, 7),
    ):
        with pytest.raises(ServiceMissingError, match="id 7"):
            await step
    made = await new(store)
    with pytest.raises(ClientMissingError):
        await service_editing.update(store, None, made.id, {"client_id": made.client_id + 1})
    assert await service_editing.listed(store, 9, 0) == (1, [made])


async def test_bad_fields_store_nothing(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """What is refused leaves the service as it was."""
    store = await open_store(new_url("sqlite"))
    made = await new(store)
    with pytest.raises(InvalidFieldsError):
        await new(store, name="db", timeout_ms=0)
    with pytest.raises(InvalidFieldsError):
        await service_editing.update(store, None, made.id, {"name": "db", "origin": "file"})
    assert await service_editing.listed(store, 9, 0) == (1, [made])


async def test_services_of_the_file_are_read_only(url: str, open_store: Callable[..., Any]) -> None:
    """They are shown and never changed, also when the configuration names them no longer."""
    store = await open_store(url)
    service = FileService(
        "acme", "web", URL, enabled=True, cron_schedule=None, timeout_ms=70, expected_status_code=None
    )
    number = (await client_services.registered(store, [service]))["acme", "web"]
    for enabled in (True, False):
        record = await service_editing.get(store, number)
        assert (record.origin, record.enabled) == ("file", enabled)
        with pytest.raises(ServiceOfFileError, match="'web' comes from the configuration file"):
            await service_editing.update(store, None, number, {"enabled": True})
        with pytest.raises(ServiceOfFileError):
            await service_editing.delete(store, number)
        await client_services.registered(store, [])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"name": "x"}, ("u", "p"), id="another-name-keeps"),
        pytest.param({"endpoint_url": "https://WEB.example:443/other"}, ("u", "p"), id="another-path-keeps"),
        pytest.param({"endpoint_url": "https://evil.example/health"}, (None, None), id="another-host-clears"),
        pytest.param({"endpoint_url": "http://web.example/health"}, (None, None), id="another-scheme-clears"),
        pytest.param({"endpoint_url": "https://web.example:8443/health"}, (None, None), id="another-port-clears"),
        pytest.param(
            {"endpoint_url": "https://new/", "basic_auth_username": "n", "basic_auth_password": "q"},
            ("n", "q"),
            id="given-again-stay",
        ),
        pytest.param(
            {"endpoint_url": "https://new/", "basic_auth_username": "n"}, ("n", None), id="only-what-is-given-stays"
        ),
        pytest.param({"basic_auth_password": "q"}, ("u", "q"), id="new-password"),
        pytest.param({"basic_auth_password": None}, ("u", None), id="password-taken-away"),
        pytest.param({"basic_auth_username": "", "basic_auth_password": ""}, ("", ""), id="empty-texts"),
    ],
)
async def test_credentials_stay_with_their_place(
    changes: dict[str, Any], expected: Any, new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """A change of scheme, host or port clears user and password unless they are given again."""
    store = await open_store(new_url("sqlite"))
    made = await new(store, basic_auth_username="u", basic_auth_password="p")
    assert made.has_credentials
    changed = await service_editing.update(store, RING, made.id, changes)
    assert await credentials(store) == expected
    assert changed.has_credentials == (expected != (None, None))


async def test_credentials_on_every_engine(url: str, open_store: Callable[..., Any]) -> None:
    """They are stored, changed and cleared, and a record never shows them."""
    store = await open_store(url)
    made = await new(store, basic_auth_username="user ă", basic_auth_password="canary" * 170)
    assert await credentials(store) == ("user ă", "canary" * 170)
    assert "canary" not in repr(made)
    await service_editing.update(store, RING, made.id, {"basic_auth_password": "other"})
    assert await credentials(store) == ("user ă", "other")
    await service_editing.update(store, None, made.id, {"endpoint_url": "https://new/"})
    assert await credentials(store) == (None, None)


async def test_a_failure_shows_no_secret(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """No error of storing credentials repeats one."""
    store = await open_store(new_url("sqlite"))
    await new(store)
    for more in ({}, {"name": "db", "timeout_ms": 0}, {"name": "db", "basic_auth_username": "canary:x"}):
        with pytest.raises(WatchbridgeError) as caught:
            await new(store, **{"basic_auth_password": "canary", **more})
        assert "canary" not in str(caught.value)
        assert "canary" not in repr(caught.value.facts)
