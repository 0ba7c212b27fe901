"""What `watchbridge backlog` tells of items and queues, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exporter.bridge.options import NOTIFICATIONS, RESTARTS
from exporter.cli import backlog_queues, tables
from exporter.model import ITEM_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.config import Configuration
    from exporter.store.action_runs import ActionRun
    from exporter.store.audit import Entry
    from exporter.store.backlog import BacklogItem

LISTED: Final = ("id", "queue", "key", "state", "hold", "attempts", "created_at", "due_at", "reason")
MORE: Final = ("finished_at", "origin", "explanation")
IN_TABLE: Final = (*LISTED, "explanation")
STATUS: Final = ("queue", "action", "mode", *ITEM_STATES, "oldest_pending", "next_attempt")
UNFINISHED: Final = ("pending", "held", "failed", "running", "dead")
"""What is still to be done, by somebody."""


def item(one: BacklogItem) -> dict[str, Any]:
    """Return an item as a row of the list."""
    return {
        "id": one.id,
        "queue": one.queue,
        "key": one.key,
        "state": one.state,
        "hold": one.hold,
        "attempts": one.attempts,
        "created_at": tables.moment(one.created_at),
        "due_at": tables.moment(one.due_at) if one.state in {"pending", "held", "failed"} else None,
        "finished_at": _moment(one.finished_at),
        "origin": one.origin,
        "incident": one.incident_id,
        "rule": one.rule,
        "reason": one.reason,
        "explanation": one.explanation,
    }


def shown(one: BacklogItem, runs: Sequence[ActionRun], trail: Sequence[Entry]) -> dict[str, Any]:
    """Return an item with its runs and with what was decided about it."""
    row = item(one) | {"service": one.service, "mode": one.mode, "approved_by": one.approved_by}
    if one.state == "running":
        row |= {"runs_at": one.lease_owner}
    context = one.context
    return row | {
        "labels": dict(context.get("labels", {})),
        "annotations": dict(context.get("annotations", {})),
        "runs": [_run(each) for each in runs],
        "history": [entry(each) for each in trail],
    }


def _run(one: ActionRun) -> dict[str, Any]:
    return {
        "attempt": one.attempt,
        "began_at": tables.moment(one.began_at),
        "seconds": None if one.ended_at is None else round(one.ended_at - one.began_at, 3),
        "outcome": one.outcome,
        "kind": one.kind,
        "by": one.replica,
        "plan": one.plan,
        "detail": one.detail,
        "output": one.output,
    }


def entry(one: Entry) -> dict[str, Any]:
    """Return an entry of the audit as a row."""
    return {"at": tables.moment(one.at), "who": one.actor, "what": one.verb, "why": one.reason}


def status(
    configuration: Configuration,
    counts: Mapping[tuple[str, str], int],
    oldest: Mapping[str, float],
    following: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Return a row for each queue that is configured or has items."""
    queues = sorted({*configuration.queues, *(queue for queue, _ in counts)})
    return [_status(configuration, queue, counts, oldest, following) for queue in queues]


def _status(
    configuration: Configuration,
    queue: str,
    counts: Mapping[tuple[str, str], int],
    oldest: Mapping[str, float],
    following: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "queue": queue,
        "action": action(configuration, queue),
        "mode": backlog_queues.mode(configuration, queue),
        **{state: counts.get((queue, state), 0) for state in ITEM_STATES},
        "oldest_pending": _moment(oldest.get(queue)),
        "next_attempt": _moment(following.get(queue)),
    }


def action(configuration: Configuration, queue: str) -> str | None:
    """Return in a word what is done with the items of a queue; None: they wait for a person."""
    if queue == NOTIFICATIONS:
        return "notify"
    if queue == RESTARTS:
        return "restart"
    found = backlog_queues.action(configuration, queue)
    return None if found is None else str(found.kind)


def status_table(rows: Sequence[Mapping[str, Any]], now: float, oldest: Mapping[str, float]) -> str:
    """Return the rows of `status` for people: with the age of the oldest item, and who works a queue off."""
    if not rows:
        return "No queue, and no item.\n"
    headings = [name.replace("_", " ").capitalize() for name in STATUS]
    return tables.table(headings, [_cells(row, now, oldest) for row in rows])


def _cells(row: Mapping[str, Any], now: float, oldest: Mapping[str, float]) -> list[str]:
    since = oldest.get(row["queue"])
    told = {
        "action": row["action"] or "a person",
        "oldest_pending": "-" if since is None else f"{tables.duration(max(0.0, now - since))} ago",
        "next_attempt": row["next_attempt"] or "-",
    }
    return [str(told.get(name, row[name])) for name in STATUS]


def _moment(time: float | None) -> str | None:
    return None if time is None else tables.moment(time)
