"""YAML as Go reads it into typed fields, which is more forgiving than our own configuration is.

A key left empty keeps its default, a number where a text is wanted is the text that was written, and yes and on are
true (https://pkg.go.dev/go.yaml.in/yaml/v3#hdr-Compatibility).
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from exporter.config.options import Secret
from exporter.config.scalars import EMPTY, Trap
from exporter.config.schema import branches, entries

if TYPE_CHECKING:
    from exporter.config.document import Document
    from exporter.config.mistakes import Path

_BOOLEANS: Final = {"y": True, "yes": True, "on": True, "n": False, "no": False, "off": False}


def read(kind: Any, value: Any, path: Path, document: Document) -> Any:
    """Return the data of a type as Go would take it; what does not fit the type is left for the schema to tell."""
    members = branches(kind)
    kind = members[0]
    origin = typing.get_origin(kind)
    if isinstance(value, dict) and (origin is Mapping or dataclasses.is_dataclass(kind)):
        found = {word: _of_key(kind, word, one, (*path, word), document) for word, one in value.items()}
        return {word: one for word, one in found.items() if not is_empty(one)}
    if isinstance(value, list) and origin is tuple:
        item = typing.get_args(kind)[0]
        return [read(item, one, (*path, index), document) for index, one in enumerate(value)]
    if kind is bool:
        return boolean(value)
    if kind in {str, Secret} and len(members) == 1:
        return _text(value, document.place(path).raw)
    return value


def _of_key(kind: Any, word: str, value: Any, path: Path, document: Document) -> Any:
    if typing.get_origin(kind) is Mapping:
        return read(typing.get_args(kind)[1], value, path, document)
    types = {entry.name: entry.type for entry in entries(kind)}
    types |= {f"{entry.name}_file": str for entry in entries(kind) if entry.is_secret}
    return read(types[word], value, path, document) if word in types else value


def _text(value: Any, raw: str | None) -> Any:
    is_scalar = isinstance(value, bool | int | float) or (isinstance(value, Trap) and bool(value.text))
    return raw if is_scalar and raw is not None else value


def boolean(value: Any) -> Any:
    """Return true or false for the words of YAML 1.1; anything else as it is."""
    return _BOOLEANS.get(value.text.lower(), value) if isinstance(value, Trap) else value


def is_empty(value: Any) -> bool:
    """Return whether a key was left empty."""
    return isinstance(value, Trap) and value.sentence == EMPTY
