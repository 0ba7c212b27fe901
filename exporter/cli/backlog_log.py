"""The log file of the `backlog` commands (`backlog.log_file`): one line for each change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.backlog_lines import told
from exporter.cli.data import tell
from exporter.cli.package_alerts import append
from exporter.cli.tables import printable
from exporter.errors import ReportLogError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a command changed: what it did (a verb), to which key of which queue, and why."""

    verb: str
    key: str
    queue: str
    reason: str = ""


def record(path: Path | None, now: float, changes: Sequence[Change]) -> None:
    """Append changes that were made at a moment (seconds since 1970); one that cannot be written is only a warning."""
    if path is None or not changes:
        return
    try:
        append(path, [_line(now, one) for one in changes])
    except ReportLogError as error:
        tell(
            f"Warning: this was done, but the log file {path} cannot be written: {error.facts['reason']}; "
            "check `backlog.log_file`."
        )


def _line(now: float, change: Change) -> str:
    reason = f": {change.reason}" if change.reason else ""
    return printable(f"{told(now)} {change.verb} {change.key} (queue {change.queue}){reason}")
