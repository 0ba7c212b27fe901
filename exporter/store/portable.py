"""The format of a backup: gzip of JSON lines, the same whichever engine wrote it.

The first line describes the rest, then comes one line a row, the last line counts the rows of each table: a file
that was cut short has no last line. gzip's own checksum finds changed bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

FORMAT = "watchbridge-backup"
VERSION = 1
LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of the longest line that is read: a small file must not unpack into all of the memory."""

_CUT_SHORT = "its end is missing; use another backup"


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup says about itself: its schema, when it was made (epoch seconds), the columns of its tables."""

    revision: str
    created: float
    tables: Mapping[str, Sequence[str]]


@dataclass(slots=True)
class Writer:
    """Takes the rows of an open backup and counts them."""

    file: gzip.GzipFile
    header: Header
    rows: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = dict.fromkeys(self.header.tables, 0)
        self._line(
            {
                "format": FORMAT,
                "version": VERSION,
                "revision": self.header.revision,
                "created": self.header.created,
                "tables": {name: list(columns) for name, columns in self.header.tables.items()},
            }
        )

    def add(self, table: str, row: Sequence[Any]) -> None:
        """Write one row, its values in the order of the header's columns."""
        self._line([table, *row])
        self.rows[table] += 1

    def end(self) -> None:
        """Write the line that shows that nothing is missing."""
        self._line({"rows": self.rows})

    def _line(self, value: Any) -> None:
        self.file.write(json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n")


@contextlib.contextmanager
def writing(path: Path, header: Header, *, force: bool) -> Iterator[Writer]:
    """Give a writer; the file appears at `path`, whole, on disk and readable by us alone, when the block ends well.

    BackupError when `path` exists and `force` is not given, or when it cannot be written.
    """
    if path.exists() and not force:
        raise BackupError(where=path, reason="there is a file already; name another, or give --force to replace it")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=header.created) as file:
                writer = Writer(file, header)
                yield writer
                writer.end()
            raw.flush()
            os.fsync(raw.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def read_header(path: Path) -> Header:
    """Return what a backup says about itself; BackupError when it is none."""
    with contextlib.closing(_lines(path)) as lines:
        first = next(lines, None)
    if not isinstance(first, dict) or first.get("format") != FORMAT:
        raise BackupError(where=path, reason="it is no backup of Watchbridge")
    if first.get("version") != VERSION:
        reason = (
            f"its format has the version {first.get('version')!r} where {VERSION} is known; use a newer Watchbridge"
        )
        raise BackupError(where=path, reason=reason)
    match first:
        case {"revision": str(revision), "created": int() | float() as created, "tables": dict(tables)} if all(
            isinstance(columns, list) and all(isinstance(column, str) for column in columns)
            for columns in tables.values()
        ):
            return Header(revision=revision, created=float(created), tables=tables)
    raise BackupError(where=path, reason="its first line is damaged; use another backup")


def read_rows(path: Path, header: Header) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (table, values by column) of every row; BackupError at damage, at the latest after the last row."""
    counted = dict.fromkeys(header.tables, 0)
    with contextlib.closing(_lines(path)) as lines:
        next(lines, None)
        for number, line in enumerate(lines, start=2):
            match line:
                case {"rows": dict(promised)}:
                    if promised != counted or next(lines, None) is not None:
                        reason = "the number of its rows is not what it says; use another backup"
                        raise BackupError(where=path, reason=reason)
                    return
                case [str(table), *values] if len(header.tables.get(table, ())) == len(values) > 0:
                    counted[table] += 1
                    yield table, dict(zip(header.tables[table], values, strict=True))
                case _:
                    raise BackupError(where=path, reason=f"its line {number} is damaged; use another backup")
    raise BackupError(where=path, reason=_CUT_SHORT)


def _lines(path: Path) -> Generator[Any, None, None]:
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(LINE_LIMIT):
                if len(line) == LINE_LIMIT:
                    raise BackupError(where=path, reason=f"it has a line of more than {LINE_LIMIT} bytes")
                yield json.loads(line)
    except EOFError as error:
        raise BackupError(where=path, reason=_CUT_SHORT) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BackupError(where=path, reason="it is damaged or no gzip file; use another backup") from error
    except (ValueError, RecursionError) as error:
        raise BackupError(where=path, reason="it holds a line that is not JSON; use another backup") from error
    except OSError as error:
        reason = f"it cannot be read: {(error.strerror or str(error)).lower()}"
        raise BackupError(where=path, reason=reason) from error


def _unwritable(path: Path, error: OSError) -> BackupError:
    reason = f"it cannot be written: {(error.strerror or str(error)).lower()}; name a folder with room that exists"
    return BackupError(where=path, reason=reason)


def _sync_folder(folder: Path) -> None:
    """Put the new name on disk too; Windows has no such call and needs none."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
