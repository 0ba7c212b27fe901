"""What a person can do about a restart that is held."""

from __future__ import annotations

import shlex
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exporter.config import Configuration
    from exporter.store.backlog import BacklogItem
    from exporter.store.store import Store

_ADVICE: Final = {
    "mode": "`watchbridge backlog approve {item}` releases it, and --here does it now",
    "window": "`watchbridge windows list` shows the window, and `watchbridge windows end ID` ends it",
    "dependency": "it is restarted when that is well: look at that first",
    "budget": "it is restarted then: raise `budgets` to have it sooner",
    "busy": "it is restarted when that run is over",
    "silenced": "it is restarted when the silence ends",
}


async def of(store: Store, configuration: Configuration, item: BacklogItem) -> str | None:
    """Return what can be done about a held item, as a part of a sentence."""
    if item.hold == "circuit":
        return closing(await _barring(store, configuration, item.service or ""))
    return _ADVICE.get(item.hold or "", "").format(item=item.id) or None


def about(hold: str | None, circuits: dict[str, str]) -> str | None:
    """Return what can be done about what would be held; `circuits` has how each is, by its name."""
    if hold == "circuit":
        return closing([name for name, state in circuits.items() if state != "closed"])
    return _ADVICE.get(hold or "") if hold != "mode" else None


def closing(names: list[str]) -> str | None:
    """Return how circuits are closed by hand, by what they are called."""
    words = [
        f"--group {shlex.quote(name.removeprefix('the group '))}"
        if name.startswith("the group ")
        else shlex.quote(name)
        for name in names
    ]
    return f"`watchbridge circuits reset {' '.join(words)}` lets it be tried at once" if words else None


async def _barring(store: Store, configuration: Configuration, service: str) -> list[str]:
    """Return the circuits that are not closed, by what they are called."""
    from exporter.circuit import CLOSED
    from exporter.restarting.strategy import restartable
    from exporter.store import circuits
    from exporter.worker import restart_gate

    strategy = restartable(configuration, socket.gethostname()).strategies.get(service)
    if strategy is None:
        return []
    known, now = await circuits.listed(store)
    keys = restart_gate.keys(strategy)
    return [called for key, called in keys if known.get(key, CLOSED).state(now) != "closed"]
