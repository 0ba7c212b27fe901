"""Single values of config.ini, each with its place, and what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporter.config.mistakes import Mistake, shown
from exporter.process_monitor import ini, keys

if TYPE_CHECKING:
    from exporter.process_monitor.ini import Entry, Section

_INLINE: Final = re.compile(r"[ \t][#;]")


@dataclass(slots=True)
class Values:
    """Reads the values of sections; a mistake is noted and the value is None then."""

    ini: ini.Ini
    mistakes: list[Mistake] = field(init=False)

    def __post_init__(self) -> None:
        self.mistakes = self.ini.mistakes

    def refuse(self, entry: Entry | Section, sentence: str) -> None:
        """Note what is wrong at a place."""
        self.mistakes.append(Mistake(entry.line, entry.column, sentence))

    def entry(self, sections: tuple[str, ...], key: str) -> tuple[str, Entry] | None:
        """Return the first value that is not empty, and the section it stands in."""
        for name in sections:
            section = self.ini.sections.get(name)
            entry = section.entries.get(key) if section is not None else None
            if entry is not None and entry.value:
                return name, entry
        return None

    def word(self, section: str, key: str) -> tuple[str, Entry] | None:
        """Return a value without quotes around it and a comment behind it."""
        found = self.entry((section,), key)
        if found is None:
            return None
        text = plain(found[1].value)
        return (text, found[1]) if text else None

    def number(self, sections: tuple[str, ...], key: str) -> int | None:
        """Return a whole number, its default where it is left out; None after telling why it is none."""
        wanted = keys.NUMBERS[key]
        found = self.entry(sections, key)
        if found is None:
            return wanted.default
        name, entry = found
        text = plain(entry.value)
        value = int(text) if re.fullmatch("[0-9]{1,12}", text) else -1
        if wanted.least <= value <= wanted.most:
            return value
        of = f" of {wanted.unit}" if wanted.unit else ""
        wrong = f"[{name}] {key}: {shown(text)} is not usable"
        self.refuse(entry, f"{wrong}: write a whole number{of} from {wanted.least} to {wanted.most}")
        return None


def plain(text: str) -> str:
    """Return a value without a comment behind it and quotes around it."""
    text = _INLINE.split(f" {text}", maxsplit=1)[0].strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
