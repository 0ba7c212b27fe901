"""From the process monitor's config.ini to what our own configuration says, or to sentences about what it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter.config.mistakes import nearest, shown
from exporter.errors import ConfigurationError
from exporter.process_monitor import database, ini, keys
from exporter.process_monitor.restarts import Restarts
from exporter.process_monitor.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.config.mistakes import Mistake
    from exporter.process_monitor.database import Database
    from exporter.process_monitor.restarts import Script, Service

SIZE: Final = 1 << 20
"""Characters of a file: some thousand processes."""
_OF_MONITOR: Final = ("max_restart_failures", "circuit_reset_time", "check_interval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What a file says.

    Attributes:
        database: where the alarms are; None where that cannot be carried over.
        every: seconds between two looks at the alarms.
        circuit: failures in a row, and seconds until a trial.
        log: options of the log; None where the file says nothing of it.
        services: what is restarted, by the name of the process.
        names: all processes that the file names.
        scripts: what only a shell can do.
        mistakes: what is not carried over, with its places.
        left_out: what stands nowhere in our configuration therefore.

    """

    database: Database | None
    every: int
    circuit: tuple[int, int]
    log: Mapping[str, Any] | None
    services: Mapping[str, Service]
    names: tuple[str, ...]
    scripts: tuple[Script, ...]
    mistakes: tuple[Mistake, ...]
    left_out: tuple[str, ...]


def read_text(text: str, name: str) -> Monitor:
    """Return what a text says; ConfigurationError when nothing of it is the monitor's, or too much."""
    if len(text) > SIZE:
        raise ConfigurationError(reason=f"{name} is larger than {SIZE // 1024} KiB: make it smaller")
    found = ini.read(text, keys.known)
    if not any(keys.known(section) for section in found.sections):
        reason = (
            f"{name} has none of the sections [database], [monitor], [logging] and [process.NAME]: name the config.ini "
            "of the process monitor, or a file of blackbox_exporter that ends in .yml"
        )
        raise ConfigurationError(reason=reason)
    return _Reading(Values(found)).monitor()


class _Reading:
    def __init__(self, values: Values) -> None:
        self.values = values
        self.sections = values.ini.sections

    def monitor(self) -> Monitor:
        self.unknown()
        where = database.read(self.values)
        failures, reset, every = (self.own(keys.MONITOR, key) for key in _OF_MONITOR)
        log = self.log()
        restarts = Restarts(self.values, database.password(self.values))
        names = [name for name in self.sections if keys.known(name) and name.startswith(keys.PROCESS)]
        found = {name.removeprefix(keys.PROCESS): restarts.service(name) for name in names if name != keys.DEFAULT}
        services = {name: service for name, service in found.items() if service is not None}
        left_out = ("the database and its alarms",) if where is None else ()
        return Monitor(
            database=where,
            every=every,
            circuit=(failures, reset),
            log=log,
            services=services,
            names=tuple(found),
            scripts=tuple(dict.fromkeys(script for service in services.values() for script in service.scripts)),
            mistakes=tuple(self.values.mistakes),
            left_out=left_out + tuple(f"the process {shown(name)}" for name, service in found.items() if not service),
        )

    def own(self, section: str, key: str) -> int:
        """Return a number of one section; its default, which is told, where it cannot be used."""
        found = self.values.number((section,), key)
        return keys.NUMBERS[key].default if found is None else found

    def log(self) -> Mapping[str, Any] | None:
        if keys.LOGGING not in self.sections:
            return None
        options: dict[str, Any] = {}
        found = self.values.word(keys.LOGGING, "log_level")
        if found is not None:
            level = keys.LEVELS.get(found[0].upper())
            if level is None:
                said = f"[logging] log_level: {shown(found[0])} is no level"
                self.values.refuse(found[1], f"{said}: write one of {', '.join(keys.LEVELS)}")
            else:
                options["level"] = level
        size, keep = (self.own(keys.LOGGING, key) for key in ("max_log_size", "log_files_to_keep"))
        return options | {"max_size": size * 1024, "keep": keep}

    def unknown(self) -> None:
        """Tell the sections and keys that the monitor does not have."""
        for name, section in self.sections.items():
            known = keys.known(name)
            if not known:
                sentence = "is no section of the process monitor, which has [database], [monitor], [logging] and"
                self.values.refuse(section, f"[{_short(name)}] {sentence} [process.NAME]: leave it out")
            for key, entry in section.entries.items():
                if known and key not in known:
                    # A line of a password may look like a key.
                    said = "has a key" if name == keys.DATABASE else f"has the key {shown(key)}"
                    hint = "" if name == keys.DATABASE else nearest(key, known)
                    mend = f"that is not carried over{hint}; known are {', '.join(known)}"
                    self.values.refuse(entry, f"[{_short(name)}] {said} {mend}")


def _short(name: str) -> str:
    return shown(name)[1:-1]
