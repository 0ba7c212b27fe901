"""From a file of blackbox_exporter to choices of our kinds, or to every mistake of it at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from exporter.blackbox import leniency, refusals
from exporter.blackbox.options import Module
from exporter.config import check, document
from exporter.config.building import Builder, NotBuiltError
from exporter.config.mistakes import Mistake, masked, refuse
from exporter.config.schema import of_type

if TYPE_CHECKING:
    import pathlib

    from exporter.config.mistakes import Path
    from exporter.config.options import Choice

_WORD: Final = "modules"
_NOT_OURS: Final = ("an alias (", "an anchor (", "a tag (", "a merge key (")
"""How sentences begin about YAML that Go reads and we do not."""

_SECRETS: Final[tuple[tuple[Path, Path], ...]] = (
    (("basic_auth", "password"), ("http", "basic_auth", "password_file")),
    (("bearer_token",), ("http", "bearer_token_file")),
    (("bearer_token",), ("http", "authorization", "credentials_file")),
)
"""Where a secret stands in our options of http, and the key of blackbox_exporter that names its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """What a file says.

    Attributes:
        name: of the file, as messages have it.
        choices: the modules that can be used, each with `exporter.services.options.ModuleTiming` beside.
        refused: for each module that uses what is not done here, the sentences that say so.
        mistakes: what blackbox_exporter would refuse too.
        unsupported: the sentences of `refused` with their places.
        warnings: as a Configuration's.
        secrets: as a Configuration's.
        files: for each module its secrets that stand in a file, by their path in our options.
        left_out: the modules that cannot be used.
        unwritable: what our own configuration cannot hold without showing a secret, by module.

    """

    name: str
    choices: Mapping[str, Choice]
    refused: Mapping[str, tuple[str, ...]]
    mistakes: tuple[Mistake, ...]
    unsupported: tuple[Mistake, ...]
    warnings: tuple[str, ...]
    secrets: frozenset[str]
    files: Mapping[str, Mapping[Path, pathlib.Path]]
    left_out: tuple[str, ...]
    unwritable: Mapping[str, tuple[Mistake, ...]]


def load(path: pathlib.Path) -> Mapping[str, Choice]:
    """Return the modules of a file; InvalidConfigurationError tells all mistakes, and all that is not done here."""
    found = read(path)
    if found.mistakes or found.unsupported:
        raise refuse(str(path), [*found.mistakes, *found.unsupported])
    return found.choices


def read(path: pathlib.Path) -> Modules:
    """Return what a file says; InvalidConfigurationError when it cannot be read, or is no YAML."""
    return read_text(document.read_file(path), str(path), path.absolute().parent)


def read_text(text: str, name: str, folder: pathlib.Path) -> Modules:
    """Return what a text says; secrets and other files are looked for from `folder`."""
    return _Reading(text, name, folder).modules()


class _Reading:
    """Reads one file, module by module: a mistake in one says nothing of the others."""

    def __init__(self, text: str, name: str, folder: pathlib.Path) -> None:
        self.document = document.read(text, name)
        self.folder = folder
        self.builder = Builder(self.document, folder)
        self.refused: list[Mistake] = []
        self.wrong: list[Mistake] = []
        self.unwritable: dict[str, tuple[Mistake, ...]] = {}

    def modules(self) -> Modules:
        found = self._found()
        for mistake in self.document.mistakes:
            sentence = mistake.sentence.partition(": ")[2] or mistake.sentence
            (self.refused if sentence.startswith(_NOT_OURS) else self.wrong).append(mistake)
        self.wrong += check.mistakes(self.document, _schema())
        names = _Names(self.document, found)
        spoilt = {names.of(mistake) for mistake in (*self.wrong, *self.refused)}
        choices = {}
        for name, data in found.items():
            if name not in spoilt and (choice := self._choice(name, data)) is not None:
                choices[name] = choice
        told: dict[str, list[str]] = {name: [] for name in found if name not in choices}
        for mistake in sorted(set(self.refused)):
            told.get(names.of(mistake) or "", []).append(masked(mistake.sentence))
        return Modules(
            name=self.document.name,
            choices=MappingProxyType(choices),
            refused=MappingProxyType({name: tuple(sentences) for name, sentences in told.items() if sentences}),
            mistakes=tuple(sorted({*self.wrong, *self.builder.mistakes})),
            unsupported=tuple(sorted(set(self.refused))),
            warnings=tuple(
                f"{self.document.name}:{line}:{column}: {what}" for line, column, what in sorted(self.builder.warnings)
            ),
            secrets=frozenset(self.builder.secrets),
            files={name: self._files(found[name]) for name in choices},
            left_out=tuple(told),
            unwritable=self.unwritable,
        )

    def _files(self, data: Mapping[str, Any]) -> Mapping[Path, pathlib.Path]:
        """Return the secrets of a module that stand in a file."""
        found = {}
        for steps, theirs in _SECRETS:
            value: Any = data
            for step in theirs:
                value = value.get(step) if isinstance(value, dict) else None
            if isinstance(value, str):
                found[steps] = self.folder / value
        return found

    def _found(self) -> dict[str, Any]:
        """Return the data of the modules after what Go forgives and what is not done here were taken out of it."""
        data = self.document.data
        found = data.get(_WORD) if isinstance(data, dict) else None
        if leniency.is_empty(found):
            del data[_WORD]
        if not isinstance(found, dict):
            return {}
        for name, module in found.items():
            if isinstance(module, dict):
                found[name] = leniency.read(Module, module, (_WORD, name), self.document)
                refusals.take(found[name], (_WORD, name), self._refuse)
        return found

    def _refuse(self, path: Path, sentence: str) -> None:
        self.refused.append(self.document.mistake(path, sentence))

    def _choice(self, name: str, data: Any) -> Choice | None:
        from exporter.blackbox import translation  # noqa: PLC0415 -- only who has modules imports the kinds

        path = (_WORD, name)
        try:
            module = self.builder.build(Module, data, path)
        except NotBuiltError:
            return None
        result = translation.translated(module)
        self.wrong += self._told(path, result.mistakes)
        self.refused += self._told(path, result.refused)
        if result.unwritable:
            self.unwritable[name] = tuple(self._told(path, result.unwritable))
        self.builder.secrets |= result.secrets
        return None if result.mistakes or result.refused else result.choice

    def _told(self, path: Path, found: list[tuple[Path, str]]) -> list[Mistake]:
        return [self.document.mistake((*path, *steps), sentence) for steps, sentence in found]


class _Names:
    """To which module a mistake belongs: the one that it stands in."""

    def __init__(self, of: document.Document, names: Mapping[str, Any]) -> None:
        found = {name: of.place((_WORD, name)) for name in names}
        self._starts = sorted((place.key_line, place.key_column, name) for name, place in found.items())

    def of(self, mistake: Mistake) -> str | None:
        place = bisect_right(self._starts, (mistake.line, mistake.column, _LAST))
        return self._starts[place - 1][2] if place else None


_LAST: Final = chr(0x10FFFF)
"""Behind any name: a mistake at the key of a module is in that module."""


def _schema() -> dict[str, Any]:
    modules = of_type(Mapping[str, Module])
    return {"type": "object", "properties": {_WORD: modules}, "additionalProperties": False}
