"""A store of its own for each test, in a file: what is alike on every engine is asked once."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers.engines import FileDatabase

from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of an empty store to copy: making its tables takes longer than most of these tests."""
    path = tmp_path_factory.mktemp("empty") / "data" / "watchbridge.db"

    async def make() -> None:
        store = await Store.open(StoreOptions.from_scalar(f"sqlite:///{path}"), time, exclusive=False)
        await store.close()

    asyncio.run(make())
    return path


@pytest.fixture
async def store(empty: Path, new_url: Callable[[str], str], open_store: Callable[..., Any]) -> Store:
    """Give an empty store."""
    url = new_url("sqlite")
    folder = Path(url.removeprefix("sqlite:///")).parent
    shutil.copytree(empty.parent, folder)
    opened: Store = await open_store(url)
    return opened


@pytest.fixture
def monitor(tmp_path: Path) -> FileDatabase:
    """Give an empty SQLite file for the tables of a process monitor."""
    return FileDatabase(tmp_path)
