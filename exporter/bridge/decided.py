"""What was decided of an incident: as items of the backlog, as an entry of the audit, as counts, and in the log."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter.bridge import notices
from exporter.store.audit import Entry
from exporter.store.backlog import NewItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.bridge.notices import Notice, Told
    from exporter.policy import Decision
    from exporter.store.counters import Increments
    from exporter.store.incidents import Incident

log: Final = logging.getLogger("exporter.bridge")

HELD: Final = "watchbridge_actions_held_total"
LOGGED: Final = 50
"""Decisions of one batch that are logged one by one: a storm is told by its number."""


@dataclass(frozen=True, slots=True)
class Decided:
    """An incident, what the rules decided of it, and whether it opened just then (else it was asked about anew)."""

    incident: Incident
    decisions: tuple[Decision, ...]
    opened: bool


def items(one: Decided, known: tuple[Notice, ...], now: float) -> Iterator[NewItem]:
    """Yield the items that an incident leads to, and those that tell of it."""
    context = _context(one.incident)
    for decision in one.decisions:
        if decision.verdict in _STATES:
            yield _item(decision, one.incident, context, now)
    if one.opened and known:
        reason = f"{one.incident.alertname}: {summary(one.decisions)}"
        for told in notices.of(known, "incident", one.incident.id, "opened", reason, one.incident.labels):
            yield notice_item(told, one.incident, now)


_STATES: Final[Mapping[str, Any]] = {"enqueue": "pending", "hold": "held", "observe": "cancelled"}


def _item(decision: Decision, incident: Incident, context: Mapping[str, Any], now: float) -> NewItem:
    return NewItem(
        queue=decision.queue,
        key=decision.key,
        reason=_reason(incident),
        origin="rule",
        state=_STATES[decision.verdict],
        mode=decision.mode,
        due_at=now,
        context=context,
        incident_id=incident.id,
        rule=decision.rule,
        step=decision.step,
        service=decision.service,
        hold="mode" if decision.verdict in {"hold", "observe"} else None,
        explanation=decision.sentence,
    )


def notice_item(told: Told, incident: Incident, now: float) -> NewItem:
    """Return the item that tells somebody of an incident."""
    ready = told.mode == "auto"
    return NewItem(
        queue=told.queue,
        key=told.key,
        reason=told.reason,
        origin="notify",
        state="pending" if ready else "cancelled",
        mode=told.mode,
        due_at=now,
        context={**_context(incident), "notify": told.identity},
        incident_id=incident.id,
        rule=told.rule,
        step=0,
        hold=None if ready else "mode",
        explanation=None if ready else "only observed: this notification does more than tell, and `mode` is not auto",
    )


def _context(incident: Incident) -> dict[str, Any]:
    return {
        "labels": dict(incident.labels),
        "annotations": dict(incident.annotations),
        "starts_at": incident.episode.starts_at,
        "generator_url": incident.generator_url,
    }


def _reason(incident: Incident) -> str:
    told = incident.annotations.get("summary") or incident.annotations.get("description") or ""
    return f"{incident.alertname}: {told}" if told else incident.alertname


def summary(decisions: Sequence[Decision]) -> str:
    """Return in one sentence what was decided."""
    return "; ".join(one.sentence for one in decisions) or "no rule matches it"


def audited(one: Decided, now: float) -> Entry:
    """Return the entry of the audit."""
    details = {
        "decisions": [
            {
                "rule": decision.rule,
                "action": decision.action,
                "queue": decision.queue,
                "key": decision.key,
                "verdict": decision.verdict,
                "reason": decision.sentence,
            }
            for decision in one.decisions
        ]
    }
    verb = "opened" if one.opened else "decided"
    return Entry(now, "alertmanager", verb, "incident", one.incident.id, summary(one.decisions), details)


def tallied(decided: Sequence[Decided]) -> Increments:
    """Return what decisions count: those that hold something back, once, however often the rules are asked."""
    tally: Increments = Counter()
    for one in decided:
        if not one.opened:
            continue
        for decision in one.decisions:
            if decision.verdict in {"hold", "observe"}:
                tally[HELD, ("mode",)] += 1
    return tally


def logged(decided: Sequence[Decided]) -> None:
    """Say in the log what was decided and why: the same as `watchbridge replay` prints."""
    for one in decided[:LOGGED]:
        fields = {"incident": one.incident.id, "alertname": one.incident.alertname}
        if not one.decisions:
            log.info("no rule matches the incident", extra={"fields": fields})
        for decision in one.decisions:
            more = {"rule": decision.rule, "action": decision.action, "queue": decision.queue, "key": decision.key}
            level = logging.WARNING if decision.verdict == "refuse" else logging.INFO
            log.log(level, "decided: %s", decision.sentence, extra={"fields": fields | more})
    if len(decided) > LOGGED:
        log.info("decided of more incidents at once", extra={"fields": {"incidents": len(decided) - LOGGED}})
