"""Stores on every engine, opened as `serve` opens them."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from exporter.store import client_services
from exporter.store.client_services import FileService
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

ENGINES = ("sqlite", "postgres", "mariadb")


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Give a function that makes an empty place for a store on an engine and returns its URL."""
    made = iter(range(100))

    def make(engine: str) -> str:
        if engine == "sqlite":
            return f"sqlite:///{tmp_path}/data-{next(made)}/watchbridge.db"
        url: str = request.getfixturevalue(engine).create_database()
        return url

    return make


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> str:
    """Give the URL of an empty store, on each engine in turn."""
    return new_url(request.param)


@pytest.fixture
async def open_store() -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    """Give a function that opens a store by its URL; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def opened(url: str, *, exclusive: bool = False, upgrade: bool = True) -> Store:
            options = StoreOptions.from_scalar(url)
            store = await Store.open(options, time, exclusive=exclusive, upgrade=upgrade)
            stack.push_async_callback(store.close)
            return store

        yield opened


@pytest.fixture
def some_services() -> Callable[[Store, int], Awaitable[list[int]]]:
    """Give a function that stores services and returns their numbers, in order."""

    async def stored(store: Store, count: int) -> list[int]:
        services = [
            FileService(
                "acme",
                f"service-{number:05}",
                "http://web/",
                enabled=True,
                cron_schedule=None,
                timeout_ms=5000,
                expected_status_code=200,
            )
            for number in range(count)
        ]
        return sorted((await client_services.registered(store, services)).values())

    return stored
