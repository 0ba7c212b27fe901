"""The rules, dashboards and Alertmanager files that ship beside the code, and how they get where they are used.

In an installed wheel they lie in this folder; in a checkout they are the folders of the same name at the top.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from exporter.errors import ExportFailedError, ExportWouldOverwriteError, ShippedFilesMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

Folder = Literal["rules", "grafana", "alertmanager"]
"""What ships: Prometheus rules, Grafana dashboards, a sample of Alertmanager's configuration."""

_PLACES: Final = (Path(__file__).parent, Path(__file__).parents[2])
_SUFFIXES: Final = frozenset({".yml", ".json"})


def shipped_files(folder: Folder, places: tuple[Path, ...] = _PLACES) -> dict[str, bytes]:
    """Return the content of the shipped files by file name, sorted; ShippedFilesMissingError when there are none.

    Tests of rules (`NOUN_test.yml`) stay out: Prometheus would refuse them as rules.
    """
    for place in places:
        found = {
            path.name: path.read_bytes()
            for path in sorted((place / folder).glob("*.*"))
            if path.suffix in _SUFFIXES and not path.stem.endswith("_test")
        }
        if found:
            return found
    raise ShippedFilesMissingError(folder=folder)


def export(files: Mapping[str, bytes], target: Path, *, force: bool = False) -> list[Path]:
    """Write the files into a folder, which is made when missing, and return their paths.

    A file that is already there with other content stops everything before anything is written
    (ExportWouldOverwriteError), unless `force`. ExportFailedError when the folder cannot be written.
    """
    try:
        theirs = [name for name, content in files.items() if _differs(target / name, content)]
        if theirs and not force:
            raise ExportWouldOverwriteError(target=str(target), names=", ".join(theirs))
        target.mkdir(parents=True, exist_ok=True)
        return [_write(target / name, content) for name, content in files.items()]
    except OSError as error:
        raise ExportFailedError(target=str(error.filename or target), reason=error.strerror or error) from error


def _differs(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() != content
    except FileNotFoundError:
        return False


def _write(path: Path, content: bytes) -> Path:
    """Replace the file as a whole: a Prometheus that reloads meanwhile never reads half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
    return path
