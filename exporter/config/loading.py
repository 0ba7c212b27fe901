"""From text to the Configuration, or to every mistake of it at once."""

from __future__ import annotations

import dataclasses
import itertools
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from exporter.config import quick
from exporter.config.building import Builder, NotBuiltError
from exporter.config.document import read
from exporter.config.mistakes import LIMIT, nearest, refuse
from exporter.config.schema import of_type
from exporter.config.sections import all_sections, composed, schema_of
from exporter.config.unread import Unread, UnreadMapping
from exporter.config.variables import expander

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.config.document import Document
    from exporter.config.mistakes import Mistake
    from exporter.config.mistakes import Path as Steps
    from exporter.config.quick import Check
    from exporter.config.sections import Section

_schema = cache(schema_of)


def parse(
    text: str, name: str, environ: Mapping[str, str], folder: Path, sections: tuple[Section, ...] | None
) -> Configuration:
    """Return the configuration of a text; InvalidConfigurationError tells all mistakes, first line first."""
    document = read(text, name, lambda: expander(environ))
    sections = sections or all_sections()
    mistakes = [*document.mistakes, *_mistakes(document, sections)]
    # What is right in itself is built and cross-checked all the same: mistakes of all sorts are told together.
    reading = _Reading(document, Builder(document, folder), sections, is_right=not mistakes)
    configuration = composed(sections, {section.word: reading.value(section) for section in sections})
    builder = reading.builder
    builder.cross_check(configuration, sections)
    if mistakes or builder.mistakes:
        raise refuse(name, [*mistakes, *builder.mistakes])
    warnings = tuple(f"{name}:{line}:{column}: {what}" for line, column, what in sorted(builder.warnings))
    secrets = frozenset(builder.secrets)
    return dataclasses.replace(configuration, warnings=warnings, secrets=secrets, blank=not document.data)


def _mistakes(document: Document, sections: tuple[Section, ...]) -> list[Mistake]:
    if _checker(sections)(document.data):
        return []
    from exporter.config import check  # noqa: PLC0415 -- jsonschema takes long to import, and most files are right

    return check.mistakes(document, _schema(sections))


class _Reading:
    """Builds the sections of a document; what has mistakes is left out, or something unread stands for it."""

    def __init__(self, document: Document, builder: Builder, sections: tuple[Section, ...], *, is_right: bool) -> None:
        self.builder = builder
        self._data: Mapping[str, Any] = document.data if isinstance(document.data, dict) else {}
        words = {section.word for section in sections}
        self._unknown = list(itertools.islice((word for word in self._data if word not in words), LIMIT))
        self._is_right = is_right

    def value(self, section: Section) -> Any:
        """Return the value of a section."""
        if section.word not in self._data:
            return self._default(section)
        value, path = self._data[section.word], (section.word,)
        if section.is_mapping and isinstance(value, dict):
            built = {name: self._built(section, one, (*path, name)) for name, one in value.items()}
            return MappingProxyType({name: Unread() if one is None else one for name, one in built.items()})
        if section.is_list and isinstance(value, list):
            entries = (self._built(section, one, (*path, n)) for n, one in enumerate(value))
            return tuple(one for one in entries if one is not None)
        found = None if section.is_mapping or section.is_list else self._built(section, value, path)
        return _unread(section) if found is None else found

    def _built(self, section: Section, value: Any, path: Steps) -> Any:
        """Return the object of a section or of one of its entries; None where it has mistakes."""
        if not self._is_right and not _entry_checker(section)(value):
            return None
        try:
            return self.builder.build(section.options_class(), value, path)
        except NotBuiltError:
            return None

    def _default(self, section: Section) -> Any:
        if any(nearest(word, [section.word]) for word in self._unknown):
            return _unread(section)  # its word has a typing error
        default = section.default()
        for one in default if isinstance(default, tuple) else (default,):
            if dataclasses.is_dataclass(one):
                self.builder.keep(one, (section.word,))
        return default


def _unread(section: Section) -> Any:
    return UnreadMapping() if section.is_mapping else () if section.is_list else Unread()


@cache
def _checker(sections: tuple[Section, ...]) -> Check:
    return quick.checker(_schema(sections))


@cache
def _entry_checker(section: Section) -> Check:
    return quick.checker(of_type(section.options_class(), section.facts))
