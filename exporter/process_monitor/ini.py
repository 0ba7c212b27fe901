"""An INI file as sections of keys with their lines: strict, linear, and without a word of what a line says.

Keys end at the first = or :, comments are lines that begin with # or ;, and an indented line goes on with the value
above it unless it is a key that is known. There is no interpolation: a percent sign is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporter.config.mistakes import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_BLANKS: Final = " \t"
_COMMENTS: Final = ("#", ";")


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands behind a key, line by line, and where the key stands."""

    lines: list[str]
    line: int
    column: int

    @property
    def value(self) -> str:
        """The value, with a line break between two lines of it."""
        return "\n".join(self.lines)


@dataclass(slots=True)
class Section:
    """What stands below a [name]. One that is `spoilt` has something in it that could not be read for sure."""

    line: int
    column: int
    entries: dict[str, Entry] = field(default_factory=dict)
    spoilt: bool = False


@dataclass(slots=True)
class Ini:
    """The sections of a file by name, in their order, and its mistakes."""

    sections: dict[str, Section] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


def read(text: str, known: Callable[[str], Collection[str]]) -> Ini:
    """Return what a text says; `known` has the keys of a section by its name, none where there is no such section.

    No sentence repeats a line: it may be a password.
    """
    reader = _Reader(known)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        reader.line(number, line)
    return reader.ini


class _Reader:
    def __init__(self, known: Callable[[str], Collection[str]]) -> None:
        self.known = known
        self.ini = Ini()
        self.name = ""
        self.section: Section | None = None
        self.key = ""
        """The key that an indented line goes on with; empty where there is none."""

    def line(self, number: int, line: str) -> None:
        text = line.strip(_BLANKS)
        column = line.find(text) + 1
        if not text:
            self.key = ""
        elif text.startswith(_COMMENTS):
            return
        elif not text.replace("\t", " ").isprintable():
            self.complain(number, column, "this line holds a character that cannot be seen: remove it")
        elif self.goes_on(text, is_indented=column > 1):
            self.append(text)
        elif text.startswith("["):
            self.header(number, column, text)
        else:
            self.entry(number, column, text)

    def goes_on(self, text: str, *, is_indented: bool) -> bool:
        if not is_indented or not self.key:
            return False
        name = _named(text)
        if name is not None:
            return not self.known(name)
        return _split(text)[0] not in self.known(self.name)

    def append(self, text: str) -> None:
        if self.section is not None:
            self.section.entries[self.key].lines.append(text)

    def header(self, number: int, column: int, text: str) -> None:
        self.key = ""
        name = _named(text)
        if name is None:
            self.complain(number, column, "a section is written [name] on a line of its own: mend this one")
            self.section = Section(number, column, spoilt=True)
            self.name = ""
            return
        self.name = name
        self.section = Section(number, column)
        first = self.ini.sections.setdefault(name, self.section)
        if first is not self.section:
            first.spoilt = True
            self.complain(number, column, f"this section stands here again, first on line {first.line}: keep one")

    def entry(self, number: int, column: int, text: str) -> None:
        key, value = _split(text)
        self.key = ""
        if not key:
            self.complain(number, column, "this line is no section, no key with a value and no comment: mend it")
        elif self.section is None:
            self.complain(number, column, "this line stands before the first section: put it below one")
        elif key in self.section.entries:
            first = self.section.entries[key]
            self.complain(number, column, f"this key stands here again, first on line {first.line}: keep one")
        else:
            self.section.entries[key] = Entry([value], number, column)
            self.key = key

    def complain(self, number: int, column: int, sentence: str) -> None:
        self.key = ""
        if self.section is not None:
            self.section.spoilt = True
        self.ini.mistakes.append(Mistake(number, column, sentence))


def _named(text: str) -> str | None:
    """Return the name of a section's line, None where it is no such line."""
    name, bracket, rest = text[1:].partition("]")
    rest = rest.strip(_BLANKS)
    if not text.startswith("[") or not bracket or "[" in name or (rest and not rest.startswith(_COMMENTS)):
        return None
    return name.strip(_BLANKS)


def _split(text: str) -> tuple[str, str]:
    """Return key and value; an empty key where there is none."""
    end = min((at for sign in "=:" if (at := text.find(sign)) >= 0), default=0)
    return text[:end].rstrip(_BLANKS), text[end + 1 :].lstrip(_BLANKS)
