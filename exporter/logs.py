"""Logs: one JSON object a line, rotated by size, never holding a known secret and never raising."""

from __future__ import annotations

import errno
import json
import logging
import logging.handlers
import os
import stat
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - the schema is generated from the annotation
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter.config.options import Size, option
from exporter.errors import LogFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import TextIOWrapper

NAME: Final = "watchbridge"
"""Of our handler, among those that others may have added."""

LIBRARIES: Final = ("aiohttp", "aiosqlite", "alembic", "asyncio", "sqlalchemy")
"""What they say below a warning is about themselves, several lines a statement."""

FLOOD_LINES: Final = 100
FLOOD_SECONDS: Final = 10.0
FLOOD_KINDS: Final = 1000
"""A hundred lines of one kind in ten seconds tell what is wrong; thousands only fill the disk."""

SHORTEST_SECRET: Final = 4
"""A shorter secret would redact half of every line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Where the log goes and what it says."""

    level: Literal["debug", "info", "warning", "error"] = option("info", help="The least severe level that is logged.")
    format: Literal["json", "text"] = option("json", help="One JSON object a line, or plain text for people.")
    file: Path | None = option(None, help="A file instead of standard error; made with the permissions 0600.")
    # 5120 KB and five files are the process monitor's defaults, which this takes over.
    max_size: Size = option(Size(5 * 1024 * 1024), help="The file is rotated at this size.", minimum=1024)
    keep: int = option(5, help="Rotated files that are kept.", minimum=0, maximum=1000)


class Redaction:
    """Replaces known secrets in whatever is about to be written."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._by_place: dict[str, tuple[str, ...]] = {}

    def learn(self, secrets: Iterable[str], place: str = "configuration") -> None:
        """Replace the known secrets of a place; longer ones are looked for first, since one may hold another."""
        self._by_place[place] = tuple(secrets)
        known = {
            part
            for of_place in self._by_place.values()
            for secret in of_place
            for part in (secret, _escaped(secret))
            if len(part) >= SHORTEST_SECRET
        }
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def apply(self, text: str) -> str:
        """Return the text with each known secret as <secret>."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, "<secret>")
        return text


def _escaped(secret: str) -> str:
    return json.dumps(secret)[1:-1]


REDACTION: Final = Redaction()
"""The secrets of the running configuration: one process, one log."""


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", None)
    return dict(fields) if isinstance(fields, dict) else {}


def _cause(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[0] is None:
        return None
    return logging.Formatter().formatException(record.exc_info)


class JsonFormatter(logging.Formatter):
    """One ASCII-safe JSON object a line, so that no locale and no content can break it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line = {
            "ts": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **_fields(record),
        }
        cause = _cause(record)
        if cause:
            line["traceback"] = cause
        return REDACTION.apply(json.dumps(line, ensure_ascii=True, default=str))


class TextFormatter(logging.Formatter):
    """One line for people; control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, and a traceback below it where there is one."""
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        line = f"{_moment(record)} {record.levelname:<7} {record.getMessage()}{fields}"
        line = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line)
        cause = _cause(record)
        return REDACTION.apply(f"{line}\n{cause}" if cause else line)


class _RotatingFile(logging.handlers.RotatingFileHandler):
    """Rotated by size, readable by its owner only, never written through a symbolic link."""

    def _open(self) -> TextIOWrapper[Any]:
        # O_NONBLOCK: opening a pipe would wait for its reader, and the whole program with it.
        extra = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | extra, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file; leave `file` out to log to standard error")
        return os.fdopen(descriptor, "a", encoding="ascii", errors="backslashreplace")


class Flood(logging.Filter):
    """Lets only so many lines of one kind through in a while, and says with the next one how many were held back."""

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, object], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the line may pass; a kind is a logger and the text before its arguments are filled in."""
        key = (record.name, str(record.msg)[:200])
        now = record.created
        begun, count = self._windows.get(key, (now, 0))
        if abs(now - begun) > FLOOD_SECONDS:
            held, begun, count = max(0, int(count) - FLOOD_LINES), now, 0
            if held:
                record.fields = {**_fields(record), "held_back": held}
        if key not in self._windows and len(self._windows) >= FLOOD_KINDS:
            self._windows.clear()
        self._windows[key] = [begun, count + 1]
        return count < FLOOD_LINES


def set_up(options: LogOptions) -> None:
    """Send the program's log where the options say; what was set up before is replaced. Raises LogFileError."""
    handler: logging.Handler
    if options.file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        try:
            handler = _RotatingFile(options.file, maxBytes=options.max_size, backupCount=options.keep, delay=False)
        except OSError as error:
            raise LogFileError(path=options.file, reason=error.strerror or error) from None
    handler.setFormatter(JsonFormatter() if options.format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [held for held in root.handlers if held.get_name() == NAME]:
        root.removeHandler(old)
        old.close()
    handler.set_name(NAME)
    handler.addFilter(Flood())
    root.addHandler(handler)
    root.setLevel(options.level.upper())
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # Measured: each malformed request is logged with a traceback otherwise.
    logging.raiseExceptions = False
