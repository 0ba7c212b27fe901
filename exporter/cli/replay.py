"""`watchbridge replay`: what becomes of a payload of Alertmanager's webhook, alert by alert and rule by rule."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from exporter.cli import data
from exporter.cli.option_types import FilePath
from exporter.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.bridge.plans import PlannedAlert, PlannedRestart, PlannedStep
    from exporter.bridge.receipts import Receipt
    from exporter.config import Configuration
    from exporter.store.store import Store

BODY_BYTES: Final = 8 * 1024 * 1024
"""As much as the webhook takes."""
REFUSED: Final = frozenset({"refused", "quarantined"})
ALERT: Final = ("position", "alertname", "outcome", "incident", "reason")
STEP: Final = ("rule", "action", "queue", "key", "service", "mode", "verdict", "why", "runs", "restart")


@click.command()
@click.argument("payload", metavar="PAYLOAD", type=FilePath(dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Only print the plan: nothing is stored, and nothing is done.")
@data.with_output
def command(payload: str, config: Path | None, output: str, *, dry_run: bool) -> None:
    """Print what becomes of each alert of PAYLOAD, a JSON body of Alertmanager's webhook; `-` is standard input.

    For each alert: whether it opens an incident or is known, which rule matches, exactly what would be run, and the
    reason of each thing that is not done. A restart is decided as the server decides it, with the order among the
    services of PAYLOAD; nothing is probed: of what a service needs counts what the store saw last.

    Without --dry-run the alerts are then stored as if Alertmanager had sent them, and the running server acts on them.

    Exit status: 0 fine, 1 the payload, an alert or what a rule wants of it is refused, 2 usage or configuration, 3 the
    store cannot be reached.
    """
    body = _read(payload)
    configuration = data.configured(config)
    alerts, receipt = data.awaited("Planning", _replayed(configuration, body, dry_run=dry_run))
    rows = [_alert(one) for one in alerts]
    if output == "csv":
        data.show(output, [row for alert in rows for row in _flat(alert)], (*ALERT, *STEP))
    else:
        data.show(output, rows, ALERT, as_table=lambda found: "".join(map(_text, found)) or "No alert.\n")
    data.tell(_ending(receipt, alerts, dry_run=dry_run))
    if any(one.outcome in REFUSED or any(step.verdict == "refused" for step in one.steps) for one in alerts):
        raise click.exceptions.Exit(1)


def _read(payload: str) -> bytes:
    try:
        if payload == "-":
            body = _bounded(sys.stdin.buffer)
        else:
            with Path(payload).open("rb") as file:
                body = _bounded(file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(
            reason=f"The payload {payload} cannot be read: {reason}; check its name and its rights."
        ) from error
    if len(body) > BODY_BYTES:
        raise ConfigurationError(
            reason=f"The payload {payload} is larger than the {BODY_BYTES // 1024**2} MiB that the webhook takes: set "
            "`max_alerts` in Alertmanager's receiver."
        )
    return body


def _bounded(stream: BinaryIO) -> bytes:
    return stream.read(BODY_BYTES + 1)


async def _replayed(
    configuration: Configuration, body: bytes, *, dry_run: bool
) -> tuple[list[PlannedAlert], Receipt | None]:
    """Return the plan, and what became of the alerts where they were stored."""
    from exporter.bridge.planning import planned

    now = time.time()
    if dry_run and data.missing(configuration):
        data.tell("There is no store yet: this is the plan for one that has heard of no alert before.")
        return await planned(None, configuration, body, now, await data.maintenance(configuration, None, now)), None
    async with data.opened(configuration, empty=dry_run, make=not dry_run) as store:
        known = None if dry_run and store.revision is None else store
        alerts = await planned(known, configuration, body, now, await data.maintenance(configuration, known, now))
        if dry_run or any(one.position < 0 for one in alerts):
            return alerts, None
        return alerts, await _delivered(store, configuration, body)


async def _delivered(store: Store, configuration: Configuration, body: bytes) -> Receipt:
    """Store the alerts as the webhook does."""
    import logging
    import socket

    from exporter import alerts
    from exporter.bridge.intake import Intake
    from exporter.bridge.terms import terms
    from exporter.clock import SystemClock
    from exporter.store import counters

    # The plan says it all; the log of the intake is that of the server.
    logging.getLogger("exporter.bridge").addHandler(logging.NullHandler())
    replica = configuration.replica or socket.gethostname()[:40]
    intake = Intake(store, SystemClock(), counters.scope_of(store, replica), terms(configuration))
    intake.start()
    try:
        return await intake.take(alerts.parse(body, time.time()))
    finally:
        await intake.close()


def _alert(one: PlannedAlert) -> dict[str, Any]:
    return {
        "position": one.position,
        "alertname": one.alertname,
        "outcome": one.outcome,
        "incident": one.incident_id,
        "reason": one.sentence,
        "labels": dict(one.labels),
        "steps": [_step(step) for step in one.steps],
    }


def _step(one: PlannedStep) -> dict[str, Any]:
    from exporter.logs import REDACTION

    return {
        "rule": one.rule,
        "action": one.action,
        "queue": one.queue,
        "key": one.key,
        "service": one.service,
        "mode": one.mode,
        "verdict": one.verdict,
        "why": one.sentence,
        "runs": None if one.plan is None else REDACTION.apply(one.plan.sentence),
        "plan": None if one.plan is None else dict(one.plan.details),
        "restart": None if one.restart is None else _restart(one.restart),
    }


def _restart(one: PlannedRestart) -> dict[str, Any]:
    """Return what the decision on a restart looks at."""
    return {
        "order": one.order,
        "after": list(one.after),
        "hold": one.hold,
        "circuits": dict(one.circuits),
        "window": one.window,
        "budget": one.budget,
        "fleet": one.fleet,
        "dependency": one.dependency,
        "unseen": list(one.unseen),
    }


def _flat(alert: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each step of an alert, or one for an alert without any."""
    own = {name: alert[name] for name in ALERT}
    return [own | step for step in alert["steps"]] or [own]


def _text(alert: Mapping[str, Any]) -> str:
    """Return what becomes of an alert as lines for people."""
    if alert["position"] < 0:
        return data.line(f"The payload is refused: {alert['reason']}")
    labels = ", ".join(f"{name}={value}" for name, value in alert["labels"].items() if name != "alertname")
    name = f"{alert['alertname'] or '(no name)'}{f' ({labels})' if labels else ''}"
    if alert["outcome"] == "quarantined":
        return data.line(f"Alert {alert['position'] + 1} is quarantined: {alert['reason']}")
    lines = [f"Alert {alert['position'] + 1}, {name}: {alert['reason']}"]
    for step in alert["steps"]:
        lines += _step_lines(step)
    return "".join(data.line(line) for line in lines)


def _step_lines(step: Mapping[str, Any]) -> list[str]:
    if step["rule"] is None:
        return [f"  {step['verdict']}: {step['why']}"]
    where = [f"queue {step['queue']}"] if step["queue"] else []
    where += [f"{noun} {step[noun]}" for noun in ("key", "service") if step[noun]]
    facts = ", ".join([*where, f"mode {step['mode']}"])
    would = "runs" if step["verdict"] == "run" else "would run"
    why = step["why"] if step["why"].startswith(f"{step['verdict']}: ") else f"{step['verdict']}: {step['why']}"
    return [
        f"  rule {step['rule']}: {step['action']} ({facts})",
        f"    {why}",
        *([f"    {would}: {step['runs']}"] if step["runs"] else []),
        *_restart_lines(step["restart"]),
    ]


def _restart_lines(row: Mapping[str, Any] | None) -> list[str]:
    from exporter.cli import restart_plan

    if row is None:
        return []
    return [f"    order: {row['order']}", *(f"    {line}" for line in restart_plan.facts(row))]


def _ending(receipt: Receipt | None, alerts: Sequence[PlannedAlert], *, dry_run: bool) -> str:
    if receipt is None:
        return "Nothing was stored." + (" Without --dry-run it would be." if dry_run and _any(alerts) else "")
    counts = {
        "accepted": receipt.accepted,
        "duplicate": receipt.duplicates,
        "late": receipt.late,
        "quarantined": receipt.quarantined,
        "refused": receipt.refused,
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"Stored ({told or 'no alert'}): a running server acts on what it may."


def _any(alerts: Sequence[PlannedAlert]) -> bool:
    return any(one.outcome not in REFUSED for one in alerts)
