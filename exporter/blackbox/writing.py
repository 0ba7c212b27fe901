"""Modules as the YAML of our own configuration: what was read means the same when it is read again.

Secrets are never written: a file stands for each, the one that was given or one that is still to be made.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

from exporter.config.options import Secret
from exporter.config.schema import Entry, entries, written
from exporter.config.words import written_duration
from exporter.config.writing import key, scalar
from exporter.kinds import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.config.options import Choice

    Steps = tuple[str | int, ...]

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_HEAD: Final = """\
# Modules of /probe?module=NAME&target=, carried over from a file of blackbox_exporter.
# A request names the target, which must be in `probing: {allow: [...]}`.
"""


def text(choices: Mapping[str, Choice], files: Mapping[str, Mapping[Steps, Path]]) -> str:
    """Return the YAML of modules by name; `files` has those secrets of a module that were given in a file."""
    lines = [*_HEAD.splitlines(), "probe_modules:" + ("" if choices else " {}")]
    for name, choice in choices.items():
        lines.append(f"  {key(name)}:")
        lines.append(f"    kind: {scalar(choice.kind)}")
        lines += _Writing(name, files.get(name, {}), load("probes", choice.kind).TARGET).options(choice.options, (), 4)
        lines.append(f"    timeout: {written_duration(choice.beside.timeout)}")
    return "\n".join(lines) + "\n"


class _Writing:
    """Writes the options of one module."""

    def __init__(self, name: str, files: Mapping[Steps, Path], target: tuple[str, str]) -> None:
        self.name = name
        self.target = target
        self.files = files

    def options(self, options: Any, path: Steps, indent: int) -> Iterator[str]:
        """Yield the lines of an options object; what has its default is left out."""
        declared: Any = type(options)
        for entry in entries(declared):
            value = getattr(options, entry.name)
            if (not entry.required and value == _default(entry)) or (entry.name, value) == self.target:
                continue
            yield from self.entry(entry, value, (*path, entry.name), indent)

    def entry(self, entry: Entry, value: Any, path: Steps, indent: int) -> Iterator[str]:
        """Yield the lines of one option."""
        head = f"{' ' * indent}{entry.name}"
        if isinstance(value, Secret):
            given = self.files.get(path)
            words = " ".join(str(step).replace("_", " ") for step in path)
            made = _UNSAFE.sub("-", f"{self.name}.{entry.name}")
            note = f"  # put the {words} of this module into this file" if given is None else ""
            yield f"{head}_file: {scalar(made if given is None else str(given))}{note}"
        elif dataclasses.is_dataclass(value):
            yield f"{head}:"
            yield from self.options(value, path, indent + 2)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            yield f"{head}:"
            for index, one in enumerate(value):
                lines = list(self.options(one, (*path, index), indent + 4)) or [f"{' ' * (indent + 4)}{{}}"]
                yield f"{' ' * (indent + 2)}- {lines[0].lstrip()}"
                yield from lines[1:]
        else:
            yield f"{head}: {scalar(written(value, entry.type))}"


def _default(entry: Entry) -> Any:
    if entry.field.default_factory is not dataclasses.MISSING:
        return entry.field.default_factory()
    return entry.field.default
