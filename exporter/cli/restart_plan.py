"""`watchbridge restart --dry-run`: what would be done now, in which order, and why something not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from exporter.cli import data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.bridge.plans import PlannedRestart
    from exporter.config import Configuration
    from exporter.restarting.strategy import Restartable, Strategy

COLUMNS: Final = ("order", "service", "verdict", "hold", "why", "runs", "kind", "node", "item")
MORE: Final = ("after", "circuits", "window", "budget", "dependency", "unseen", "plan")


def show(configuration: Configuration, terms: Restartable, names: Sequence[str], output: str) -> None:
    """Print the plan of restarting services, which are in their order."""
    rows = data.awaited("Planning", _rows(configuration, terms, names))
    data.show(output, rows, COLUMNS, more=MORE, as_table=lambda found: "".join(map(_text, found)))
    data.tell("Nothing was enqueued and nothing was run: --dry-run was given.")


async def _rows(configuration: Configuration, terms: Restartable, names: Sequence[str]) -> list[dict[str, Any]]:
    import contextlib

    from exporter.worker import restart_outlook
    from exporter.worker.gate import Facts
    from exporter.worker.restart_outlook import Ask

    now = time.time()
    async with contextlib.AsyncExitStack() as stack:
        store = None
        if data.missing(configuration):
            data.tell("There is no store yet: this is the plan for one that has seen nothing.")
        else:
            store = await stack.enter_async_context(data.opened(configuration, empty=True))
            store = store if store.revision is not None else None
        windows = await data.maintenance(configuration, store, now)
        asks = [
            Ask(name, Facts(now, ("auto",), window=windows(name, terms.strategies[name].group)), by_person=True)
            for name in names
        ]
        situation = await restart_outlook.read(store, configuration, terms, names, now)
        there = {} if store is None else await _there(store, names)
    found = restart_outlook.planned(asks, configuration, terms, situation)
    return [_row(one, terms.strategies[one.service], there.get(one.service)) for one in found]


async def _there(store: Any, names: Sequence[str]) -> dict[str, int]:
    """Return the unfinished items that services have already."""
    from exporter.bridge.options import RESTARTS
    from exporter.store import backlog
    from exporter.store.backlog_rows import UNFINISHED

    found: dict[str, int] = {}
    for name in names:
        for item in await backlog.listed(store, queue=RESTARTS, states=UNFINISHED, key=name, limit=1):
            found[name] = item.id
    return found


def _row(one: PlannedRestart, strategy: Strategy, item: int | None) -> dict[str, Any]:
    from exporter.cli import restart_advice

    plan = strategy.plan()
    why = one.sentence
    if one.verdict == "held" and (advice := restart_advice.about(one.hold, dict(one.circuits))):
        why = f"{why}; {advice}"
    return {
        "order": one.order,
        "service": one.service,
        "verdict": one.verdict,
        "hold": one.hold,
        "why": why,
        "runs": f"it would fail: {plan}" if isinstance(plan, str) else plan.sentence,
        "kind": strategy.kind,
        "node": strategy.node,
        "item": item,
        "after": list(one.after),
        "circuits": dict(one.circuits),
        "window": one.window,
        "budget": one.budget,
        "dependency": one.dependency,
        "unseen": list(one.unseen),
        "plan": None if isinstance(plan, str) else dict(plan.details),
    }


def _text(row: Mapping[str, Any]) -> str:
    is_run = row["verdict"] == "run"
    would = "runs" if is_run else "would run"
    kind = row["kind"] if row["node"] is None else f"{row['kind']} on {row['node']}"
    why = row["why"] if is_run else f"{row['verdict']}: {row['why']}"
    lines = [
        f"{row['order']}. {row['service']} ({kind}): {why}",
        f"   {would}: {row['runs']}",
        *(f"   {line}" for line in facts(row)),
    ]
    if row["item"] is not None:
        lines.append(f"   item {row['item']} of it is there already")
    return "".join(data.line(line) for line in lines)


def facts(row: Mapping[str, Any]) -> list[str]:
    """Return what the decision looks at, each as a line: also what is in the way beside the first reason."""
    states = ", ".join(f"{name} {state.replace('_', '-')}" for name, state in row["circuits"].items())
    return [
        f"circuit: {states}",
        f"window: {row['window'] or 'none'}",
        f"budget: {row['budget'] or 'not spent'}",
        *([f"fleet: {row['fleet'] or 'not too much fails at once'}"] if "fleet" in row else []),
        f"waits for: {row['dependency'] or ', '.join(row['after']) or 'nothing'}",
        *row["unseen"],
    ]
