"""What config.ini said, as the YAML of our own configuration."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from exporter.config.words import written_duration, written_size
from exporter.config.writing import key, scalar
from exporter.restarting.options import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.process_monitor.database import Database
    from exporter.process_monitor.restarts import Service
    from exporter.process_monitor.translation import Monitor

NAME: Final = "monitoring"
"""Of the database, and of the alarms in it."""
_WIDTH: Final = 116
_HEAD: Final = """\
# Carried over from the config.ini of the process monitor: processes in alarm are restarted and verified, then their
# alarm is cleared.
"""
_REFUSED: Final = """\
# A process in alarm that is not named below is refused, never restarted by a default: [process.default] alone restarts
# nothing any more. Add those that it covered.
"""
_MODE: Final = "mode: observe  # decided and shown, nothing is run: set auto when you have seen what it would do"


def text(found: Monitor) -> str:
    """Return the YAML of all that could be carried over."""
    lines = [*_HEAD.splitlines(), *_REFUSED.splitlines(), *_named(found.names), _MODE]
    if found.log is not None:
        lines += _log(found.log)
    if found.database is not None:
        lines += _alarms(found.database, found.every)
    lines.append("services:" + ("" if found.services else " {}"))
    for name, service in found.services.items():
        lines += [f"  {key(name)}:", "    restart:", *_restart(service, service.restart, 6, "")]
        lines.append(f"    circuit: {_circuit(*found.circuit)}")
    return "\n".join(lines) + "\n"


def _named(names: tuple[str, ...]) -> list[str]:
    said = ", ".join(map(key, names)) or "none"
    return [f"# {line}" for line in textwrap.wrap(f"The file names: {said}.", _WIDTH, break_on_hyphens=False)]


def _log(log: Mapping[str, Any]) -> list[str]:
    lines = ["log:"]
    if "level" in log:
        lines.append(f"  level: {log['level']}")
    lines += [f"  max_size: {written_size(log['max_size'])}", f"  keep: {log['keep']}"]
    return [*lines, "  # file: /var/log/watchbridge/watchbridge.log  # left out: standard error, which systemd keeps"]


def _alarms(database: Database, every: int) -> Iterator[str]:
    yield "databases:"
    yield f"  {NAME}:"
    if database.has_password:
        yield f"    # Make the file {NAME}.url beside this one, with the mode 0600, and put this one line into it:"
        yield f"    # {database.url}"
        yield "    # with the old password for PASSWORD; @ : / ? # % in it are written %40 %3A %2F %3F %23 %25."
    if database.host == "localhost":
        yield "    # localhost is reached by TCP; where there is only a socket, end the URL with ?unix_socket=PATH."
    yield f"    url_file: {NAME}.url" if database.has_password else f"    url: {scalar(database.url)}"
    yield "alarms:"
    yield f"  {NAME}:"
    yield f"    database: {NAME}"
    yield f"    every: {written_duration(every)}"


def _restart(service: Service, options: Mapping[str, Any], indent: int, place: str) -> Iterator[str]:
    for word, value in options.items():
        head = f"{' ' * indent}{word}:"
        if isinstance(value, Mapping):
            yield head
            yield from _restart(service, value, indent + 2, f"{place}{word}.")
        else:
            note = service.notes.get(f"{place}{word}")
            written = written_duration(value) if isinstance(value, float) else scalar(value)
            yield f"{head} {written}" + (f"  # {note}" if note else "")


def _circuit(failures: int, reset: int) -> str:
    usual_failures, usual_reset = PRESETS["process"]
    said = ["preset: process"]
    if failures != usual_failures:
        said.append(f"failures: {failures}")
    if reset != usual_reset:
        said.append(f"reset: {written_duration(reset)}")
    return "{" + ", ".join(said) + "}"
