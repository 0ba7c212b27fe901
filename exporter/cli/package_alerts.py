"""What `watchbridge packages` tells besides its report: the alert, its mail, and the line of the log file."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from exporter.cli.package_report import printable, table
from exporter.errors import MailError, PackageOptionError, ReportLogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.cli.package_report import Report
    from exporter.mail import MailOptions

REPEAT_SECONDS: Final = 3600.0
"""How soon the same lasting alert is mailed again."""
RETRY_SECONDS: Final = 300.0
"""How soon a mail that could not be sent is tried again."""


def sentence(report: Report, threshold: int) -> str | None:
    """Return the alert of a report: more packages are stuck than the threshold, not as many."""
    if report.stuck is None or report.stuck <= threshold:
        return None
    return f"ALERT: {report.stuck} packages of {printable(report.source)} are stuck, more than {threshold}"


@dataclass(slots=True)
class Mailer:
    """Mails alerts to some addresses: once an hour while one lasts, and anew after it has ended."""

    addresses: Sequence[str]
    options: MailOptions | None
    _not_before: dict[str, float] = field(default_factory=dict)

    async def tell(self, report: Report, alert: str | None, monotonic: float) -> list[str]:
        """Mail an alert that is due; return a warning for each mail that did not leave. `monotonic` is in seconds."""
        if alert is None:
            self._not_before.pop(report.source, None)
            return []
        if not self.addresses or monotonic < self._not_before.get(report.source, monotonic):
            return []
        warnings = await self._send(report, alert)
        self._not_before[report.source] = monotonic + (RETRY_SECONDS if warnings else REPEAT_SECONDS)
        return warnings

    async def _send(self, report: Report, alert: str) -> list[str]:
        from exporter.mail import send

        warnings = []
        subject = f"[watchbridge] {report.stuck} packages of {report.source} are stuck"
        body = f"{alert}\n\n{table([report], detailed=True, icons=False)}"
        for address in self.addresses:
            try:
                await send(address, subject, body, self.options)
            except MailError as error:
                warnings.append(str(error))
        return warnings


def mailer(addresses: str, configured: MailOptions | None, environ: Mapping[str, str]) -> Mailer:
    """Return the mailer for addresses with commas between. Raises ConfigurationError for what is no address.

    The server is the configuration's, else the one of SMTP_HOST, else the `mail` command is used.
    """
    from exporter.mail import is_recipient, options_from_environment

    wanted = [address.strip() for address in addresses.split(",") if address.strip()]
    for address in wanted:
        if not is_recipient(address):
            raise PackageOptionError(name="alert-email", reason=f"found {address!r}, wanted one as admin@example.com")
    options = (configured or options_from_environment(environ)) if wanted else None
    return Mailer(wanted, options)


def log_line(report: Report, alert: str | None) -> str:
    """Return the line of one reading: when, where, how many, and each status; texts are quoted as in JSON."""
    counts = ", ".join(f"{reading.status}={reading.count}" for reading in report.readings)
    fields = {"source": _quoted(report.source), "total": report.total, "stuck": report.stuck, "counts": _quoted(counts)}
    if alert is not None:
        fields["alert"] = _quoted(alert)
    return _log_line(report.taken, "warning" if alert else "info", fields)


def error_line(source: str, taken: float, error: str) -> str:
    """Return the line of a reading that failed."""
    return _log_line(taken, "error", {"source": _quoted(source), "error": _quoted(error)})


def _log_line(taken: float, level: str, fields: dict[str, object]) -> str:
    when = datetime.fromtimestamp(taken, UTC).astimezone().isoformat(timespec="seconds")
    return " ".join([when, f"level={level}", *(f"{key}={value}" for key, value in fields.items())])


def _quoted(text: str) -> str:
    return json.dumps(printable(text), ensure_ascii=False)


def append(path: Path, lines: Sequence[str]) -> None:
    """Append lines to a log file, made with mode 0600. ReportLogError says why it could not be.

    A symbolic link, a hard link, a pipe or a device in its place is refused: in a folder that others write in, it
    would let them choose what we write to (CWE-59).
    """
    # O_NONBLOCK: opening a pipe that nobody reads would wait forever.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        if path.is_symlink():
            raise ReportLogError(path=path, reason="it is a symbolic link")
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        raise ReportLogError(path=path, reason=error.strerror or type(error).__name__) from error
    with os.fdopen(handle, "wb", buffering=0) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise ReportLogError(path=path, reason="it is no plain file with one name")
        try:
            file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise ReportLogError(path=path, reason=error.strerror or type(error).__name__) from error
