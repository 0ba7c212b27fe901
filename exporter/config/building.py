"""Checked data becomes frozen options; secrets are read from their files here, and cross checks are asked."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

from exporter.config import choices, files
from exporter.config.mistakes import LIMIT
from exporter.config.options import Choice, Duration, Kind, Secret, Size
from exporter.config.schema import Entry, branches, entries, kind_of
from exporter.config.secrets import is_secret, parts
from exporter.config.unread import NotReadError
from exporter.config.words import duration, size
from exporter.errors import WatchbridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from exporter.config.document import Document
    from exporter.config.mistakes import Mistake
    from exporter.config.mistakes import Path as Steps
    from exporter.config.sections import Section

SECRET_SIZE: Final = 64 * 1024
"""Bytes of a file that holds a secret."""


class NotBuiltError(Exception):
    """A value has no object; its mistakes are told already."""


class Builder:
    """Builds the objects of one document and keeps what it learns on the way.

    Attributes:
        mistakes: what only building shows: a secret's file that is missing, a text that an options class refuses.
        warnings: what works and should not stay, at its place.
        secrets: everything that must never be shown, as it is and as parts of URLs.
        built: each object of an options class with its path, for the cross checks.

    """

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []
        self.secrets: set[str] = set()
        self.built: list[tuple[Steps, Any]] = []

    def build(self, kind: Any, value: Any, path: Steps) -> Any:
        """Return the object of a type for checked data; NotBuiltError when a mistake was found (and kept).

        The type None is that of what is not there.
        """
        if kind is None:
            return None
        kind = _branch(kind, value)
        if (simple := _SCALARS.get(kind)) is not None:
            return simple(value)
        if (mark := _kind_of(kind)) is not None:
            return self._choice(mark, value, path)
        if typing.get_origin(kind) in {tuple, Mapping}:
            return self._collection(kind, value, path)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return self._options(kind, value, path)
        return self.folder / value if kind is Path else value

    def _collection(self, kind: Any, value: Any, path: Steps) -> Any:
        *_, item = (one for one in typing.get_args(kind) if one is not Ellipsis)
        if typing.get_origin(kind) is tuple:
            return tuple(self._each((item, one, (*path, index)) for index, one in enumerate(value)))
        built = self._each((item, one, (*path, key)) for key, one in value.items())
        return MappingProxyType(dict(zip(value, built, strict=True)))

    def cross_check(self, configuration: Any, sections: Iterable[Section]) -> None:
        """Ask every object, and the sections themselves, for what only the whole configuration shows."""
        for section in sections:
            self._ask(section.problems, configuration, (), self.mistakes)
        for path, one in self.built:
            for word, told in (("problems", self.mistakes), ("warnings", self.warnings)):
                if callable(ask := getattr(one, word, None)):
                    self._ask(ask, configuration, path, told)

    def _ask(self, ask: Callable[[Any], Any], configuration: Any, path: Steps, told: list[Mistake]) -> None:
        with contextlib.suppress(NotReadError):
            for steps, sentence in ask(configuration):
                told.append(self.document.mistake(self._written((*path, *steps)), sentence))
                if len(told) > LIMIT:
                    return

    def _written(self, path: Steps) -> Steps:
        """Return the path by which an option is given: a secret may stand in a file."""
        in_file = (*path[:-1], f"{path[-1]}_file") if path else path
        return in_file if path not in self.document.places and in_file in self.document.places else path

    def _each(self, parts_: Any) -> list[Any]:
        """Build each part, even when one before it could not be: all mistakes are told at once."""
        found, failed = [], False
        for kind, value, path in parts_:
            try:
                found.append(self.build(kind, value, path))
            except NotBuiltError:
                failed = True
        if failed:
            raise NotBuiltError
        return found

    def _choice(self, kind: Kind, value: Mapping[str, Any], path: Steps) -> Choice:
        """Return the choice of a kind: its own options and those beside them take their keys of one mapping."""
        word = value[choices.KEY]
        if (target := choices.target_of(kind, word)) and target[0] not in value:
            value = {**value, target[0]: target[1]}
        classes = (choices.options_of(kind.family, word), kind.beside)
        # Both are built even when one has a mistake: all are told at once.
        options, beside = self._each((one, value, path) for one in classes)
        return Choice(word, options, beside)

    def _options(self, options: Any, value: Any, path: Steps) -> Any:
        if isinstance(value, str):
            return self._made(lambda: options.from_scalar(value), path, is_text=True)
        given = [entry for entry in entries(options) if _is_given(entry, value)]
        plain = [entry for entry in given if not entry.is_secret]
        secrets = {entry.name: self._secret(entry.name, value, path) for entry in given if entry.is_secret}
        built = self._each((entry.type, value[entry.name], (*path, entry.name)) for entry in plain)
        if None in secrets.values():
            raise NotBuiltError
        keywords = secrets | {entry.field.name: one for entry, one in zip(plain, built, strict=True)}
        return self._made(lambda: options(**keywords), path)

    def _made(self, make: Callable[[], Any], path: Steps, *, is_text: bool = False) -> Any:
        try:
            made: Any = make()
        except (ValueError, WatchbridgeError) as error:
            self.mistakes.append(self.document.mistake(path, str(error)))
            raise NotBuiltError from error
        for entry, text in _secrets_of(made) if is_text else ():
            self._learn(text, path, f"{{{entry.name}_file: PATH}}")
        self.keep(made, path)
        return made

    def keep(self, made: Any, path: Steps) -> None:
        """Take an object into the cross checks, and its secrets among those to be hidden: defaults may be secret."""
        for text in (*(text for _, text in _secrets_of(made)), *hidden_of(made)):
            self.secrets |= parts(text)
        self.built.append((path, made))

    def _secret(self, name: str, value: Mapping[str, Any], path: Steps) -> Secret | None:
        if name in value:
            self._learn(value[name], (*path, name), f"{name}_file: PATH")
            return Secret(value[name])
        place = (*path, f"{name}_file")
        file = self.folder / value[f"{name}_file"]
        try:
            content = files.read(file, SECRET_SIZE)
            text = _secret_text(content.data)
        except ValueError as error:
            self.mistakes.append(self.document.mistake(place, f"the file {os.fspath(file)!r} {error}"))
            return None
        self.secrets |= parts(text)
        if content.others_read and is_secret(text):
            sentence = f"others than its owner may read the file {os.fspath(file)!r}: give it the mode 0600"
            self.warnings.append(self.document.mistake(place, sentence))
        return Secret(text)

    def _learn(self, text: str, path: Steps, instead: str) -> None:
        self.secrets |= parts(text)
        raw = self.document.place(path).raw or ""
        if is_secret(text) and raw.replace("$$", "$") == text:
            sentence = f"a secret stands in the file: move it to a file of its own and write {instead}"
            self.warnings.append(self.document.mistake(path, sentence))


def hidden_of(made: Any) -> Iterable[str]:
    """Return what options hide beside their secrets: what is made of those, and what only its name tells."""
    ask = getattr(made, "hidden", None)
    found: Iterable[str] = ask() if callable(ask) else ()
    return found


def _secrets_of(made: Any) -> Iterator[tuple[Entry, str]]:
    options: type = type(made)
    for entry in entries(options) if dataclasses.is_dataclass(options) else ():
        if entry.is_secret and (secret := getattr(made, entry.name)) is not None:
            yield entry, secret.reveal()


def _secret_text(data: bytes) -> str:
    text = files.text(data).removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError("is empty: put the secret in it")
    return text


def _is_given(entry: Entry, value: Mapping[str, Any]) -> bool:
    return entry.name in value or (entry.is_secret and f"{entry.name}_file" in value)


_members = cache(branches)
_kind_of = cache(kind_of)

_SCALARS: Final[dict[Any, Callable[[Any], Any]]] = {
    Duration: lambda value: duration(str(value)),
    Size: lambda value: size(str(value)),
    Secret: Secret,
    str: str,
    bool: bool,
    int: int,  # 5.0 is a whole number to JSON Schema
    float: float,
}


def _branch(kind: Any, value: Any) -> Any:
    """Return the member of a union that holds such a value; the schema has made sure that there is one."""
    members = _members(kind)
    if len(members) == 1:
        return members[0]
    return next((member for member in members if _holds(member, value)), kind)


def _holds(kind: Any, value: Any) -> bool:
    origin = typing.get_origin(kind)
    if isinstance(value, dict):
        return origin is Mapping or dataclasses.is_dataclass(kind) or kind_of(kind) is not None
    if isinstance(value, list):
        return origin is tuple
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, str):
        return kind not in {bool, int, float} and origin not in {tuple, Mapping, Annotated}
    return kind in {int, float, Duration, Size}
