"""Restarts as a configuration gives them, and what it says against them."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from exporter import config, programs
from exporter.acting import Parts
from exporter.clock import SystemClock
from exporter.errors import InvalidConfigurationError
from exporter.model import Item
from exporter.restarts import systemd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ITEM = Item(1, "restarts", "web", service="web")
PARTS = Parts(SystemClock())


def parsed(restart: dict[str, Any], folder: Path | None = None) -> config.Configuration:
    """Return the configuration of one service with this restart; JSON is YAML."""
    probe = {"kind": "tcp", "address": "127.0.0.1:1"}
    text = json.dumps({"services": {"web": {"probe": probe, "restart": restart}}}).replace("$", "$$")
    return config.parse(text, name="c.yml", environ={}, **({"folder": folder} if folder else {}))


def options(restart: dict[str, Any], folder: Path | None = None) -> Any:
    """Return the options of a restart."""
    return parsed(restart, folder).services["web"].restart.options


def mistakes(restart: dict[str, Any]) -> list[str]:
    """Return what is told of a restart, each with its place below it."""
    try:
        parsed(restart)
    except InvalidConfigurationError as error:
        return [re.sub(r"^c\.yml:\d+:\d+: services\.web\.restart\.?", "", told) for told in error.problems]
    return []


def warnings(restart: dict[str, Any]) -> list[str]:
    """Return what a restart is warned of."""
    return [re.sub(r"^c\.yml:\d+:\d+: services\.web\.restart\.?", "", told) for told in parsed(restart).warnings]


@contextlib.contextmanager
def systemctl_in(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Let systemctl be the one of a folder, whose programs are found first, or alone; it need not have one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "PATH", str(folder) if alone else f"{folder}:{programs.PATH}")
        systemd._resolved.cache_clear()
        try:
            yield
        finally:
            systemd._resolved.cache_clear()
            systemd._begun.clear()
