"""Items of the backlog as rows, and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exporter.model import Item
from exporter.store.bridge_tables import backlog_items
from exporter.store.bulk import storable
from exporter.store.columns import NAME_LENGTH, REASON_LENGTH
from exporter.store.documents import document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model import Hold, ItemState, Mode

CONTEXT_BYTES: Final = 60_000
"""Bytes of a context: what MySQL's TEXT takes, with room."""

UNFINISHED: Final[tuple[ItemState, ...]] = ("pending", "held", "failed", "running")
"""States of which a key has one item at most that a person added."""

WAITING: Final[tuple[ItemState, ...]] = ("pending", "failed", "held")
"""States in which an item is looked at when it is due."""

ENDED: Final[tuple[ItemState, ...]] = ("done", "cancelled")
"""States that end by nothing but the purge; a dead item is kept for a person."""


@dataclass(frozen=True, slots=True)
class BacklogItem:
    """An item as it is stored: see `bridge_tables.backlog_items`. Times are in seconds since 1970.

    `context` holds `labels`, `annotations`, `starts_at` and `generator_url` of the alert that led to it, `notify` (the
    identity of the entry) of a notification, and what an import said of times.
    """

    id: int
    queue: str
    key: str
    active_key: str | None
    incident_id: int | None
    rule: str | None
    step: int | None
    state: ItemState
    origin: str
    reason: str
    service: str | None
    context: Mapping[str, Any]
    mode: Mode
    approved_by: str | None
    hold: Hold | None
    explanation: str | None
    attempts: int
    created_at: float
    due_at: float
    finished_at: float | None
    lease_owner: str | None
    lease_until: float | None
    fence: int

    @property
    def item(self) -> Item:
        """Return it as an action sees it: in the attempt that runs, or that would be the next."""
        context = self.context
        return Item(
            id=self.id,
            queue=self.queue,
            key=self.key,
            reason=self.reason,
            service=self.service,
            attempt=self.attempts if self.state == "running" else self.attempts + 1,
            created_at=self.created_at,
            incident=context.get("incident") if self.incident_id is None else self.incident_id,
            labels=context.get("labels", {}),
            annotations=context.get("annotations", {}),
            starts_at=context.get("starts_at"),
            generator_url=context.get("generator_url", ""),
        )


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item that a rule (`rule`), a person (`cli`), a file (`import`) or an event (`notify`) leads to."""

    queue: str
    key: str
    reason: str
    origin: str
    state: ItemState
    mode: Mode
    due_at: float
    context: Mapping[str, Any] = field(default_factory=dict)
    incident_id: int | None = None
    rule: str | None = None
    step: int | None = None
    service: str | None = None
    hold: Hold | None = None
    explanation: str | None = None


def as_claimed(item: BacklogItem, owner: str) -> BacklogItem:
    """Return an item as a claim leaves it. Written out: `replace` takes ten times as long, for each claim of each."""
    return BacklogItem(
        item.id,
        item.queue,
        item.key,
        item.active_key,
        item.incident_id,
        item.rule,
        item.step,
        "running",
        item.origin,
        item.reason,
        item.service,
        item.context,
        item.mode,
        item.approved_by,
        None,
        None,
        item.attempts + 1,
        item.created_at,
        item.due_at,
        item.finished_at,
        owner,
        item.lease_until,
        item.fence + 1,
    )


COLUMNS: Final = tuple(backlog_items.c[name] for name in BacklogItem.__dataclass_fields__)
"""What `decoded` wants, in its order."""
_CONTEXT: Final = tuple(BacklogItem.__dataclass_fields__).index("context")


def decoded(row: Any) -> BacklogItem:
    """Return the item of a row that begins with `COLUMNS`."""
    values = list(row[: len(COLUMNS)])
    text = values[_CONTEXT]
    values[_CONTEXT] = {} if text == "{}" else json.loads(text)
    return BacklogItem(*values)


def encoded(item: NewItem, now: float) -> dict[str, Any]:
    """Return the row of a new item. A text that is too long is cut; of a context that is, the annotations go first."""
    return {
        "queue": item.queue,
        "key": storable(item.key, NAME_LENGTH),
        "active_key": None,
        "incident_id": item.incident_id,
        "rule": item.rule,
        "step": item.step,
        "state": item.state,
        "origin": item.origin,
        "reason": storable(item.reason, REASON_LENGTH),
        "service": None if item.service is None else storable(item.service, NAME_LENGTH),
        "context": _context(item.context),
        "mode": item.mode,
        "approved_by": None,
        "hold": item.hold,
        "explanation": None if item.explanation is None else storable(item.explanation, REASON_LENGTH),
        "attempts": 0,
        "created_at": now,
        "due_at": item.due_at,
        "finished_at": now if item.state in ENDED else None,
        "fence": 0,
    }


def _context(context: Mapping[str, Any]) -> str:
    for left_out in ((), ("annotations",), ("annotations", "labels", "generator_url")):
        kept = {name: value for name, value in context.items() if name not in left_out}
        text = document(kept)
        text = storable(text, len(text))
        if len(text.encode()) <= CONTEXT_BYTES:
            return text
    return "{}"
