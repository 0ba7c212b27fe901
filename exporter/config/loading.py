"""From text to the Configuration, or to every mistake of it at once."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

from exporter.config import check
from exporter.config.building import Builder, NotBuiltError
from exporter.config.document import read
from exporter.config.mistakes import refuse
from exporter.config.schema import of_type
from exporter.config.sections import all_sections, composed, schema_of
from exporter.config.variables import expander

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.config.document import Document
    from exporter.config.mistakes import Path as Steps
    from exporter.config.schema import Schema
    from exporter.config.sections import Section

_schema = cache(schema_of)


def parse(
    text: str, name: str, environ: Mapping[str, str], folder: Path, sections: tuple[Section, ...] | None
) -> Configuration:
    """Return the configuration of a text; InvalidConfigurationError tells all mistakes, first line first."""
    document = read(text, name, expander(environ))
    sections = sections or all_sections()
    mistakes = [*document.mistakes, *check.mistakes(document, _schema(sections))]
    builder = Builder(document, folder)
    if mistakes:
        # What is right in itself is built all the same: a secret's missing file is told together with the rest.
        for kind, value, path in _right(document, sections):
            _built(builder, kind, value, path)
        raise refuse(name, [*mistakes, *builder.mistakes])
    values = {section.word: _value(builder, section, document.data) for section in sections}
    if builder.mistakes:
        raise refuse(name, builder.mistakes)
    configuration = composed(sections, values)
    builder.cross_check(configuration)
    if builder.mistakes:
        raise refuse(name, builder.mistakes)
    warnings = tuple(f"{name}:{line}:{column}: {what}" for line, column, what in sorted(builder.warnings))
    return dataclasses.replace(configuration, warnings=warnings, secrets=frozenset(builder.secrets))


def _value(builder: Builder, section: Section, data: Mapping[str, Any]) -> Any:
    if section.word in data:
        return _built(builder, section.type(), data[section.word], (section.word,))
    default = section.default()
    for one in default if isinstance(default, tuple) else (default,):
        if dataclasses.is_dataclass(one):
            builder.built.append(((section.word,), one))
    return default


def _built(builder: Builder, kind: Any, value: Any, path: Steps) -> Any:
    try:
        return builder.build(kind, value, path)
    except NotBuiltError:
        return None


def _right(document: Document, sections: tuple[Section, ...]) -> Iterator[tuple[Any, Any, Steps]]:
    """Yield what has no mistake against the schema: whole sections, and single entries of mappings."""
    data = document.data if isinstance(document.data, dict) else {}
    for section in sections:
        value = data.get(section.word)
        pieces: list[tuple[Any, Any, Steps]] = [(section.type(), value, (section.word,))]
        if section.is_mapping and isinstance(value, dict):
            pieces = [(section.options_class(), one, (section.word, name)) for name, one in value.items()]
        yield from (piece for piece in pieces if check.is_right(piece[1], _of_type(piece[0])))


@cache
def _of_type(kind: Any) -> Schema:
    return of_type(kind)
