"""`watchbridge services history --restarts`, and what `services show` tells of restarts."""

from __future__ import annotations

import math
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from exporter.cli import data, tables
from exporter.errors import UnknownServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.store.service_restarts import ServiceRestart, Trend
    from exporter.store.store import Store

DAY: Final = 86_400.0
ATTEMPTS: Final = ("began_at", "kind", "origin", "acted", "verified", "seconds", "detail")
MORE: Final = ("item", "replica", "ended_at")
TREND: Final = ("day", "attempts", "restarted", "verified", "failed")


def show_history(config: Path | None, name: str, length: float, limit: int, output: str) -> None:
    """Print the attempts to restart a service, the newest first, and how often that helped by the day."""
    configuration = data.configured(config)
    attempts, trend = data.awaited("Reading the store", _history(configuration, name, length, limit + 1))
    rows = [_attempt(one) for one in attempts[:limit]]
    days = [_day(one) for one in trend]
    if output == "json":
        data.write(tables.document({"service": name, "restarts": rows, "days": days}))
    else:
        data.show(output, rows, ATTEMPTS, "No restart in that time.", more=MORE, as_table=lambda _: _text(rows, days))
    if len(attempts) > limit:
        data.tell(f"These are the newest {limit}: a higher --limit shows more.")


async def _history(
    configuration: Configuration, name: str, length: float, limit: int
) -> tuple[list[ServiceRestart], list[Trend]]:
    from exporter.store import service_restarts

    now = time.time()
    first, last = math.floor((now - length) / DAY) * DAY, math.ceil(now / DAY) * DAY
    async with data.opened(configuration) as store:
        found = await service_restarts.history(store, name, since=now - length, limit=limit)
        if not found and name not in configuration.services:
            await _refuse_unknown(store, configuration, name)
        days = max(1, round((last - first) / DAY))
        trend = await service_restarts.trend(store, name, since=first, until=last, buckets=days)
    return found, trend


async def _refuse_unknown(store: Store, configuration: Configuration, name: str) -> None:
    """Raise UnknownServiceError for a service that nobody knows: restarts outlive their service's entry."""
    from exporter.store import service_restarts

    if not await service_restarts.history(store, name, since=0.0, limit=1):
        raise UnknownServiceError.of(name, list(configuration.services))


def _attempt(one: ServiceRestart) -> dict[str, Any]:
    return {
        "began_at": tables.moment(one.began_at),
        "kind": one.kind,
        "origin": one.origin,
        "acted": one.acted,
        "verified": one.verified,
        "seconds": None if one.ended_at is None else round(max(0.0, one.ended_at - one.began_at), 3),
        "detail": one.detail or ("it runs" if one.ended_at is None else ""),
        "item": one.item_id,
        "replica": one.replica,
        "ended_at": None if one.ended_at is None else tables.moment(one.ended_at),
    }


def _day(one: Trend) -> dict[str, Any]:
    counts = {name: getattr(one, name) for name in TREND[1:]}
    return {"day": tables.moment(one.at)[:10], **counts}


def _text(rows: Sequence[Mapping[str, Any]], days: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "No restart in that time.\n"
    size = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    attempts = [[_cell(name, row[name]) for name in ATTEMPTS] for row in rows]
    busy = [[str(day[name]) for name in TREND] for day in days if day["attempts"]]
    return (
        tables.table([_heading(name) for name in ATTEMPTS], attempts, size)
        + "\n"
        + tables.table([_heading(name) for name in TREND], busy)
    )


def _heading(name: str) -> str:
    return "Took" if name == "seconds" else name.replace("_", " ").capitalize()


def _cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if name == "seconds":
        return f"{value:.1f} s"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


async def told(store: Store, configuration: Configuration, name: str) -> dict[str, Any]:
    """Return what `services show` tells of how a service is restarted; empty for one that the file does not name."""
    from exporter.circuit import CLOSED, Key
    from exporter.store import circuits, service_restarts

    options = configuration.services.get(name)
    if options is None:
        return {}
    row: dict[str, Any] = {
        "group": options.group,
        "criticality": options.criticality,
        "depends_on": list(options.depends_on),
        "restart": None if options.restart is None else options.restart.kind,
    }
    if options.restart is None:
        return row
    known, now = await circuits.listed(store)
    last = await service_restarts.history(store, name, since=0.0, limit=1)
    return row | {
        "circuit": known.get(Key("service", name), CLOSED).state(now),
        "last_restart": _last(last[0]) if last else None,
    }


def _last(one: ServiceRestart) -> str:
    if one.ended_at is None:
        how = "runs"
    elif one.acted is False:
        how = "nothing was restarted"
    else:
        how = {True: "verified", False: "failed", None: "not judged"}[one.verified]
    return f"{tables.moment(one.began_at)}, {how}"
