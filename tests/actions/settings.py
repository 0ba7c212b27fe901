"""Actions as a configuration gives them, and what is wrong with one that it refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from exporter import config
from exporter.acting import Parts
from exporter.clock import SystemClock
from exporter.errors import InvalidConfigurationError
from exporter.model import Item

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ITEM = Item(
    id=7,
    queue="user-sync",
    key="4711",
    reason="the alert fires",
    attempt=2,
    incident=3,
    labels={"alertname": "UserSyncFailed", "severity": "page"},
    annotations={"summary": "two\nlines"},
    starts_at=1_700_000_000.5,
    generator_url="https://prometheus.example/graph",
)
DOCUMENT = {
    "id": 7,
    "queue": "user-sync",
    "key": "4711",
    "reason": "the alert fires",
    "service": None,
    "attempt": 2,
    "incident": 3,
    "labels": {"alertname": "UserSyncFailed", "severity": "page"},
    "annotations": {"summary": "two\nlines"},
    "starts_at": "2023-11-14T22:13:20.500Z",
    "generator_url": "https://prometheus.example/graph",
}


def configured(action: dict[str, Any], folder: Path | None = None, **sections: Any) -> config.Configuration:
    """Return the configuration of one queue with this action; JSON is YAML."""
    text = json.dumps({"queues": {"q": {"action": action}}, **sections}).replace("$", "$$")
    return config.parse(text, name="c.yml", environ={}, **({"folder": folder} if folder else {}))


def options(action: dict[str, Any], folder: Path | None = None, **sections: Any) -> Any:
    """Return the options of an action."""
    return configured(action, folder, **sections).queues["q"].action.options


def mistakes(action: dict[str, Any], **sections: Any) -> list[str]:
    """Return what is told of an action, each with its place below it."""
    try:
        configured(action, **sections)
    except InvalidConfigurationError as error:
        return [re.sub(r"^c\.yml:\d+:\d+: queues\.q\.action\.?", "", told) for told in error.problems]
    return []


def parts(*, permits: Callable[[str], bool] = lambda _: True, **others: Any) -> Parts:
    """Return what an action may use; every address may be connected to."""
    return Parts(clock=SystemClock(), permits=permits, **others)
