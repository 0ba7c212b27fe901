"""The package report as text: pure. What a table, JSON or CSV of `watchbridge packages` looks like is decided here."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.collectors.packages import StatusReading

RULE: Final = 50
"""Characters of the lines above and below the table."""
TOTAL: Final = "TOTAL"
ICONS: Final = {
    "Checking Licence": "🔍",
    "Downloaded": "⬇️",
    "Security Scanning": "🔒",
    "Security Scanned": "✅",
    "Pending Approval": "⏳",
    "Approved": "👍",
    "Rejected": "❌",
    "Published": "🚀",
}
_TITLE_ICON, _TOTAL_ICON, _OTHER_ICON = "📊", "📦", "❔"
_DETAIL_HEADINGS: Final = ("stuck", "oldest_update", "newest_update")


@dataclass(frozen=True, slots=True)
class Report:
    """One reading of one source: `readings` in workflow order, `taken` in seconds since 1970."""

    source: str
    taken: float
    readings: tuple[StatusReading, ...]

    @property
    def total(self) -> int:
        """Return the packages of all statuses."""
        return sum(reading.count for reading in self.readings)

    @property
    def stuck(self) -> int | None:
        """Return the stuck packages of all statuses; None where the source does not say."""
        known = [reading.stuck for reading in self.readings if reading.stuck is not None]
        return sum(known) if known else None


def local_time(moment: float) -> str:
    """Return a moment as the report shows it: local time in whole seconds."""
    return datetime.fromtimestamp(moment, UTC).astimezone().replace(tzinfo=None).isoformat(timespec="seconds")


def utc_time(moment: float | None) -> str | None:
    """Return a moment as ISO 8601 in UTC with a Z; None for what is no time."""
    if moment is None:
        return None
    try:
        return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    except (OverflowError, OSError, ValueError):
        return None


def printable(text: str) -> str:
    """Return the text with what could steer a terminal, or reorder its line, written as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def width(text: str) -> int:
    """Return the cells that a printable text takes on a terminal (Unicode UAX #11; marks take none)."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def table(reports: Sequence[Report], *, detailed: bool, icons: bool, named: bool = False) -> str:
    """Return a block for each report, with the source's name in its title if `named`."""
    return "\n".join(_block(report, detailed=detailed, icons=icons, named=named) for report in reports)


def _block(report: Report, *, detailed: bool, icons: bool, named: bool) -> str:
    rows = [_row(printable(reading.status), reading, detailed=detailed) for reading in report.readings]
    stuck = [] if not detailed else ["-" if report.stuck is None else str(report.stuck), "", ""]
    rows.append([TOTAL, str(report.total), *stuck])
    if detailed:
        rows.insert(0, ["Status", "Count", "Stuck", "Oldest update", "Newest update"])
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_line(row, [max(widths[0], 18), max(widths[1], 5), *widths[2:]]) for row in rows]
    if icons:
        marks = [_OTHER_ICON if (mark := ICONS.get(each.status)) is None else mark for each in report.readings]
        lead = ["  "] if detailed else []
        lines = [f"{mark} {line}" for mark, line in zip([*lead, *marks, _TOTAL_ICON], lines, strict=True)]
    title = f"Package Status Report - {local_time(report.taken)}" + (f" - {printable(report.source)}" if named else "")
    rule = "=" * max(RULE, *(width(line) for line in lines)) if detailed else "=" * RULE
    return "\n".join([f"{_TITLE_ICON} {title}" if icons else title, rule, *lines, rule, ""])


def _row(status: str, reading: StatusReading, *, detailed: bool) -> list[str]:
    if not detailed:
        return [status, str(reading.count)]
    stuck = "-" if reading.stuck is None else str(reading.stuck)
    return [status, str(reading.count), stuck, utc_time(reading.oldest) or "-", utc_time(reading.newest) or "-"]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Align the name and the times to the left, the numbers to the right."""
    cells = [
        " " * (size - width(cell)) + cell if column in (1, 2) else cell + " " * (size - width(cell))
        for column, (cell, size) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def document(reports: Sequence[Report], errors: dict[str, str], *, detailed: bool, several: bool, compact: bool) -> str:
    """Return the reports as one JSON document, ended by a line break; compact is a single line."""
    if several:
        content: dict[str, Any] = {"timestamp": local_time(max((report.taken for report in reports), default=0.0))}
        content["sources"] = {report.source: _content(report, detailed=detailed) for report in reports}
        if errors:
            content["errors"] = errors
    else:
        content = {"timestamp": local_time(reports[0].taken), **_content(reports[0], detailed=detailed)}
    text = json.dumps(content, ensure_ascii=False, indent=None if compact else 2)
    return text + "\n"


def _content(report: Report, *, detailed: bool) -> dict[str, Any]:
    ordered = sorted(report.readings, key=lambda reading: -reading.count)
    counts = {_key(reading.status): reading.count for reading in ordered}
    content: dict[str, Any] = {"package_counts": {**counts, TOTAL: report.total}}
    if detailed:
        content["details"] = {
            _key(reading.status): {
                "count": reading.count,
                "stuck": reading.stuck,
                "oldest_update": utc_time(reading.oldest),
                "newest_update": utc_time(reading.newest),
            }
            for reading in report.readings
        }
        content["stuck_total"] = report.stuck
    return content


def _key(status: str) -> str:
    """Return the status as a key; a status that is really called TOTAL must not hide the total."""
    return f"{status} (status)" if status == TOTAL else status


def table_of_values(reports: Sequence[Report], *, detailed: bool, several: bool, timestamps: bool, header: bool) -> str:
    """Return the reports as CSV after RFC 4180: CRLF, quotes where needed, no total (it would be summed twice).

    Values are written as they were read, also those that a spreadsheet takes for a formula.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    lead = ["timestamp"] * timestamps + ["source"] * several
    if header:
        writer.writerow([*lead, "status", "count", *(_DETAIL_HEADINGS if detailed else ())])
    for report in reports:
        before = [local_time(report.taken)] * timestamps + [report.source] * several
        for reading in report.readings:
            # The writer turns None, what is not known, into an empty field.
            details = (reading.stuck, utc_time(reading.oldest), utc_time(reading.newest)) if detailed else ()
            writer.writerow([*before, reading.status, reading.count, *details])
    return out.getvalue()
