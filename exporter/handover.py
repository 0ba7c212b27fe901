"""An item as programs and servers are handed it: one JSON document."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from exporter.labels import encodable

if TYPE_CHECKING:
    from exporter.model import Item

OUTPUT: Final = 64 * 1024
"""Bytes that are kept of what a program or a server says."""
MARGIN: Final = 4 * 1024
"""Bytes that a kind should hand back beyond OUTPUT: a secret that the end would cut in two is still found in them."""


def document(item: Item) -> dict[str, Any]:
    """Return the item as JSON has it. Texts are hostile, but can be encoded; times are RFC 3339 in UTC."""
    return {
        "id": item.id,
        "queue": encodable(item.queue),
        "key": encodable(item.key),
        "reason": encodable(item.reason),
        "service": None if item.service is None else encodable(item.service),
        "attempt": item.attempt,
        "incident": item.incident,
        "labels": {encodable(name): encodable(value) for name, value in item.labels.items()},
        "annotations": {encodable(name): encodable(value) for name, value in item.annotations.items()},
        "starts_at": None if item.starts_at is None else moment(item.starts_at),
        "generator_url": encodable(item.generator_url),
    }


def encoded(value: Any) -> bytes:
    """Return what JSON can hold as bytes, ASCII alone: nothing on the way can misread it."""
    return json.dumps(value, allow_nan=False).encode()


def moment(seconds: float) -> str | None:
    """Return a time in seconds since 1970 as RFC 3339 has it; None for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
