"""What `watchbridge services` tells as tables for people."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

from exporter.cli import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HEADINGS: Final = {"response_time_ms": "Took", "seconds": "Lasted", "origin": "Named in"}
"""Columns that a table calls otherwise than by their key."""
ORIGINS: Final = {"file": "configuration file", "api": "API"}


def single(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the one row as a table of its columns, one a line."""
    return tables.table(("", ""), [(_heading(column), _cell(column, value)) for column, value in rows[0].items()])[1:]


def of(columns: Sequence[str], nothing: str = "Nothing in that time.") -> Callable[[Sequence[Mapping[str, Any]]], str]:
    """Return what makes rows a table of these columns, cut to fit where standard output is a terminal."""

    def table(rows: Sequence[Mapping[str, Any]]) -> str:
        if not rows:
            return nothing + "\n"
        cells = [[_cell(column, row[column]) for column in columns] for row in rows]
        size = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        return tables.table([_heading(column) for column in columns], cells, size)

    return table


def _heading(column: str) -> str:
    return HEADINGS.get(column, column.replace("_", " ").capitalize())


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if column.startswith("uptime_"):
        return tables.percent(value)
    if column in {"response_time_ms", "seconds"}:
        return tables.duration(value) if column == "seconds" else f"{value:g} ms"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ORIGINS[value] if column == "origin" else str(value)
