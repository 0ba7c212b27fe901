"""The command line in this process: as quick as a function, and all that it says told apart."""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from exporter import cli
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def watchbridge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Give a function that runs a command line as `watchbridge` does, without a terminal."""
    monkeypatch.delenv("WATCHBRIDGE_CONFIG", raising=False)

    def run(*words: object, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "argv", ["watchbridge", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code = cli._outcome()
        told = capsys.readouterr()
        return Ended(code, told.out, told.err)

    return run


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Give a function that makes a folder with an empty SQLite store: a copy of one that was made as `serve` does."""
    first = tmp_path_factory.mktemp("store") / "data"

    async def make() -> None:
        options = StoreOptions.from_scalar(f"sqlite:///{first}/watchbridge.db")
        await (await Store.open(options, time, exclusive=False)).close()

    asyncio.run(make())

    def copy(folder: Path) -> None:
        shutil.copytree(first, folder)

    return copy
