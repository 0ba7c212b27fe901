"""One thing with all that belongs to it, as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from exporter.cli import data, tables

LINES = 40
"""Lines of an output that are shown; JSON has all of it."""


def show(output: str, row: Mapping[str, Any] | None, missing: str) -> None:
    """Print one thing in a format; where there is none, say what is missing and end with 1: the check says no."""
    if row is None:
        data.tell(f"watchbridge: {missing}")
        raise click.exceptions.Exit(1)
    data.show_one(output, row, text)


def text(row: Mapping[str, Any]) -> str:
    """Return what is known of one thing: its own values, then a part for each list and mapping that is not empty."""
    own = [(heading(name), cell(value)) for name, value in row.items() if _is_said(value)]
    parts = [_pairs(own)]
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            parts.append(f"{heading(name)}\n" + _indented(_pairs([(word, cell(one)) for word, one in value.items()])))
        elif isinstance(value, list) and value:
            parts.append(f"{heading(name)}\n" + _indented(_listed(value)))
    return "\n".join(parts)


def _is_said(value: Any) -> bool:
    return value is not None and value != "" and not isinstance(value, Mapping | list)


def heading(name: str) -> str:
    """Return a column's name as people read it."""
    return name.replace("_", " ").capitalize()


def cell(value: Any) -> str:
    """Return a value as people read it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return tables.table(("", ""), [(tables.printable(name), value) for name, value in pairs])[1:]


def _listed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table, each followed by the lines of its `output` where it has one."""
    names = [name for name in rows[0] if name != "output"]
    lines = tables.table([heading(name) for name in names], [[cell(row[name]) for name in names] for row in rows])
    told, *rest = lines.splitlines(keepends=True)
    for row, line in zip(rows, rest, strict=True):
        told += line + _indented(_output(row.get("output") or ""))
    return told


def _output(output: str) -> str:
    lines = [tables.printable(line) for line in output.splitlines()]
    left = len(lines) - LINES
    if left > 0:
        lines = [*lines[:LINES], f"({left} more lines: --output json has them)"]
    return "".join(f"| {line}\n" for line in lines)


def _indented(block: str) -> str:
    return "".join(f"  {line}" for line in block.splitlines(keepends=True))
