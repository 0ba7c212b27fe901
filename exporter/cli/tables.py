"""Rows as an aligned table, as JSON or as CSV: what every command with data prints."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from exporter.cli.package_report import printable, utc_time, width

__all__ = ["document", "duration", "moment", "percent", "printable", "table", "values"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GAP = "  "
LEAST = 20
"""Cells of a terminal that the last column of a table keeps."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None = None) -> str:
    """Return the rows under their headings, columns to the left; nothing in them can steer a terminal.

    The last column is cut where lines would be longer than `columns`, but never to less than LEAST.
    """
    lines = [list(headings), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(width(line[place]) for line in lines) for place in range(len(headings))]
    if columns is not None:
        widths[-1] = min(widths[-1], max(LEAST, columns - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)))
        lines = [[*line[:-1], _cut(line[-1], widths[-1])] for line in lines]
    return "".join(
        GAP.join(cell + " " * (size - width(cell)) for cell, size in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def _cut(text: str, cells: int) -> str:
    """Return a printable text that takes so many cells at most; an ellipsis says that there is more."""
    if width(text) <= cells:
        return text
    while width(text) > cells - 1:
        text = text[:-1]
    return f"{text}…"


def document(content: Any) -> str:
    """Return a JSON document, ended by a line break."""
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def values(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return CSV after RFC 4180 with a line of headings; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def percent(share: float | None) -> str:
    """Return a share as people read it; it is never rounded up to 100 %."""
    if share is None:
        return "-"
    return "100 %" if share >= 1 else f"{int(share * 100_000) / 1000:.3f} %"


def moment(time: float | None) -> str:
    """Return a time in UTC, or a dash."""
    return utc_time(time) or "-"


def duration(seconds: float) -> str:
    """Return a time span in its two largest units."""
    parts = []
    left = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
