"""Clocks that a test turns, and services and readings to watch with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.model import Reading
from exporter.schedule import Every
from exporter.services.service import Service

if TYPE_CHECKING:
    from exporter.model import State

NOON = 1_777_636_800.0
"""2026-05-01 12:00 UTC."""


@dataclass
class FakeClock:
    """Both clocks: `pass_` moves them together, `set` moves the wall's alone."""

    wall: float = NOON
    ticks: float = 1000.0

    def time(self) -> float:
        """Return seconds since 1970."""
        return self.wall

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.ticks

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.ticks += seconds

    def set(self, seconds: float) -> None:
        """Set the wall's clock forward, or back."""
        self.wall += seconds


def service(identity: int = 1, **changes: Any) -> Service:
    """Return a service that is probed each minute."""
    values: dict[str, Any] = {
        "id": identity,
        "client": "acme",
        "name": f"service-{identity - 1:05}",
        "kind": "tcp",
        "options": None,
        "pace": Every(60.0),
        "timeout": 5.0,
    }
    return Service(**values | changes)


def reading(state: State = "up", **changes: Any) -> Reading:
    """Return a reading of a state."""
    values: dict[str, Any] = {"state": state, "reason": f"it is {state}", "duration": 0.25}
    return Reading(**values | changes)
