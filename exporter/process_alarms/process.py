"""A process as the tables of a process monitor have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Process:
    """A row of the table of processes. `key` is its number as the database gave it, `id` the same as a text."""

    key: Any
    id: str
    name: str | None
    alarm: bool = True
