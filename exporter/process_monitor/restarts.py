"""The processes of config.ini as restarts of ours: how each is restarted, and what a shell has to do of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from exporter import programs
from exporter.config.mistakes import nearest, shown
from exporter.config.options import Duration
from exporter.config.sections import NAME_PATTERN
from exporter.process_monitor import keys, shell
from exporter.process_monitor.values import plain
from exporter.restarts.systemd import problem as unit_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.process_monitor.ini import Entry, Section
    from exporter.process_monitor.values import Values

FOLDER: Final = "/etc/watchbridge"
"""Where scripts belong that are still to be made."""
_LONGEST_NAME: Final = 255
"""Characters of `PROCESE.process_name`."""
_OTHER_UNIT: Final = re.compile(r".*\.(automount|device|mount|path|scope|slice|socket|swap|target|timer)")
_CONTAINER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_SURELY_SECRET: Final = 8
"""Characters from which on a password is hardly a word that a command holds anyway."""


@dataclass(frozen=True, slots=True)
class Script:
    """A file that is still to be made: its path, what it is for, where that stands, and its text."""

    path: str
    purpose: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Service:
    """The keys of `restart`, durations as Duration, what is to be said of some, and the scripts that it needs."""

    restart: Mapping[str, Any]
    notes: Mapping[str, str]
    scripts: tuple[Script, ...]


@dataclass(slots=True)
class Restarts:
    """Makes services of sections. `password` is the database's: no command may show it."""

    values: Values
    password: str
    scripts: dict[tuple[str, str], Script] = field(default_factory=dict)
    """By section and key: those of process.default are made once."""
    paths: dict[str, int] = field(default_factory=dict)
    """Taken paths, each with how many more wanted it."""

    def service(self, section: str) -> Service | None:
        """Return what a section says, filled up from process.default; None after telling why it cannot be used."""
        told = len(self.values.mistakes)
        name = section.removeprefix(keys.PROCESS)
        known = self.values.ini.sections
        default = known.get(keys.DEFAULT)
        made = _Making(self, section, name, known[section]).service()
        is_spoilt = known[section].spoilt or (default is not None and default.spoilt)
        return None if is_spoilt or len(self.values.mistakes) > told else made

    def script(self, section: str, key: str, entry: Entry) -> Script:
        """Return the script for a command that only a shell understands; no two have one path."""
        found = self.scripts.get((section, key))
        if found is None:
            stem = path = f"{FOLDER}/{_UNSAFE.sub('-', section.removeprefix(keys.PROCESS))}-{keys.COMMANDS[key]}"
            while path in self.paths:
                self.paths[stem] += 1
                path = f"{stem}-{self.paths[stem]}"
            self.paths[path] = 1
            found = self.scripts[section, key] = Script(f"{path}.sh", f"[{section}] {key}", entry.line, entry.value)
        return found

    def shows_password(self, text: str) -> bool:
        """Return whether a command holds the password of the database, be it short, as one."""
        words = {self.password, plain(self.password), self.password.strip("'\"")} - {""}
        given = "|".join(re.escape(one) for word in words for one in (word, quote(word, safe="")))
        forms = rf"(?:-p|--password['\"]?[= ]|(?i:pass|password|pwd)=)['\"]?(?:{given})(?!\w)|:(?:{given})@"
        is_in = any(len(word) >= _SURELY_SECRET and word in text for word in words)
        return bool(words) and (is_in or re.search(forms, text) is not None)


@dataclass(slots=True)
class _Making:
    """Makes one service."""

    all: Restarts
    section: str
    name: str
    at: Section
    notes: dict[str, str] = field(default_factory=dict)
    scripts: list[Script] = field(default_factory=list)

    def service(self) -> Service:
        if not re.fullmatch(NAME_PATTERN, self.name) or len(self.name) > _LONGEST_NAME:
            self.refuse(
                self.at, f"is no name of a process: write at most {_LONGEST_NAME} characters, none a space at the end"
            )
        restart = self.strategy()
        if before := self.command("pre_restart_command", "before"):
            restart["before"] = before
        timeout = self.seconds("health_check_timeout")
        restart["attempts"] = self.number("max_attempts")
        restart["delay"] = self.seconds("restart_delay")
        if check := self.command("health_check_command", "verify.argv"):
            restart["verify"] = {"kind": "command", "argv": check, "timeout": timeout}
        restart["verify_timeout"] = timeout
        return Service(restart, self.notes, tuple(self.scripts))

    def strategy(self) -> dict[str, Any]:
        """Return the kind of restart and what it restarts."""
        found = self.all.values.entry(self.sections, "restart_strategy")
        word = plain(found[1].value) if found is not None else "auto"
        if found is not None and word not in keys.STRATEGIES:
            hint = nearest(word, keys.STRATEGIES)
            known = ", ".join(keys.STRATEGIES)
            sentence = f"[{found[0]}] restart_strategy: {shown(word)} is no strategy{hint}: write one of {known}"
            self.all.values.refuse(found[1], sentence)
            return {}
        return {"kind": keys.STRATEGIES[word]} | _MAKERS[word](self)

    def auto(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if unit := self.unit():
            options["unit"] = unit
        if programs.found(self.name) is not None:
            options["argv"] = (self.name,)
            self.notes["argv"] = "where there is no such unit: write the whole command line"
        elif unit:
            self.notes["unit"] = "where there may be none, add argv: [PROGRAM, ARGUMENT...], which starts it"
        else:
            self.refuse(self.at, "names neither a unit of systemd nor a program: set restart_strategy=custom for it")
        return options

    def systemd(self) -> dict[str, Any]:
        unit = self.unit()
        if not unit:
            self.refuse(self.at, "names no service of systemd: name the section after the unit, without .service")
        return {"unit": unit}

    def unit(self) -> str:
        """Return the unit that the process is; empty where there can be none of that name."""
        unit = self.name if self.name.endswith(".service") else f"{self.name}.service"
        return "" if unit_problem(unit) or _OTHER_UNIT.fullmatch(self.name) else unit

    def process(self) -> dict[str, Any]:
        if _is_relative(self.name):
            self.refuse(self.at, "is the relative path of a program: name the section after its whole path")
        self.notes["argv"] = "write the whole command line: it is found by it and started with it"
        return {"argv": (self.name,)}

    def custom(self) -> dict[str, Any]:
        argv = self.command("restart_command", "argv")
        if self.is_missing("restart_command"):
            self.refuse(self.at, "has no restart_command, which restart_strategy=custom needs: add it")
        if self.is_missing("health_check_command"):
            self.refuse(self.at, "has no health_check_command: add one, nobody can say else whether the restart helped")
        return {"argv": argv}

    def docker(self) -> dict[str, Any]:
        if not _CONTAINER.fullmatch(self.name):
            self.refuse(self.at, "can be no name of a container: name the section after one")
        return {"container": self.name}

    def command(self, key: str, place: str) -> tuple[str, ...] | None:
        """Return an argument list for a command, that of a script where it needs a shell; None where there is none."""
        found = self.all.values.entry(self.sections, key)
        if found is None:
            return None
        section, entry = found
        if self.all.shows_password(entry.value):
            wrong = f"[{section}] {key} shows the password of [database] to whoever lists processes"
            self.all.values.refuse(entry, f"{wrong}: let the program read it from a file of its own, such as ~/.my.cnf")
            return None
        argv = shell.argv(entry.value)
        if argv is None:
            self.notes[place] = "still to be made: the import says what belongs into it"
            self.scripts.append(self.all.script(section, key, entry))
            return (self.scripts[-1].path,)
        if _is_relative(argv[0]):
            wrong = f"[{section}] {key}: {shown(argv[0])} depends on the folder that the old monitor ran in"
            self.all.values.refuse(entry, f"{wrong}: write its whole path, beginning with /")
        return argv

    def is_missing(self, key: str) -> bool:
        return self.all.values.entry(self.sections, key) is None

    @property
    def sections(self) -> tuple[str, str]:
        return self.section, keys.DEFAULT

    def number(self, key: str) -> int | None:
        return self.all.values.number(self.sections, key)

    def seconds(self, key: str) -> Duration:
        return Duration(float(self.number(key) or 0))

    def refuse(self, place: Entry | Section, sentence: str) -> None:
        self.all.values.refuse(place, f"[{shown(self.section)[1:-1]}] {sentence}")


_MAKERS: Final = {
    "auto": _Making.auto,
    "service": _Making.systemd,
    "process": _Making.process,
    "custom": _Making.custom,
    "docker": _Making.docker,
}


def _is_relative(program: str) -> bool:
    return not program.startswith("/") and ("/" in program or program.startswith("."))
