"""JSON Schema (draft 2020-12) from options classes.

Keywords of our own, which other readers of the schema skip: `x-duration` and `x-size` bound what a text means
(seconds, bytes), `x-secret` marks what no message may show, `x-path` a path. `x-kind` stands for all kinds of a family
and is resolved by `exporter.config.choices`: a published schema has none.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Union

from exporter.config.options import Choice, Duration, Facts, Kind, Secret, Size, facts_of
from exporter.config.words import DURATION_PATTERN, SIZE_PATTERN, written_duration, written_size

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
NAME_CHARACTERS: Final = 200
"""Characters of a name that the configuration gives: it becomes a label value."""

# Linters move imports that only annotations use behind TYPE_CHECKING: these words are then not in the module.
_NAMES: Final = {
    "Annotated": Annotated,
    "Any": Any,
    "Choice": Choice,
    "Duration": Duration,
    "Kind": Kind,
    "Literal": Literal,
    "Mapping": Mapping,
    "Path": Path,
    "Secret": Secret,
    "Size": Size,
}

_SCALARS: Final[Mapping[Any, Schema]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Secret: {"type": "string", "minLength": 1, "x-secret": True},
    Path: {"type": "string", "minLength": 1, "x-path": True},
}


class Entry(NamedTuple):
    """A field of an options class with its type resolved and `None` taken out of it."""

    name: str
    type: Any
    facts: Facts
    field: dataclasses.Field[Any]

    @property
    def required(self) -> bool:
        """Whether the class gives no default."""
        missing = dataclasses.MISSING
        return self.field.default is missing and self.field.default_factory is missing

    @property
    def is_secret(self) -> bool:
        """Whether the value may be written as NAME_file as well."""
        return self.type is Secret


@cache
def entries(options: type) -> tuple[Entry, ...]:
    """Return the fields of an options class; TypeError where one has a type that no file can hold."""
    hints = typing.get_type_hints(options, localns=_NAMES, include_extras=True)
    return tuple(
        # `continue` is a word of the configuration and of Python: its field is named `continue_`.
        Entry(f.name.removesuffix("_"), _without_none(hints[f.name]), facts_of(f), f)
        for f in dataclasses.fields(options)
    )


def branches(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union without None; the type itself where it is none."""
    if typing.get_origin(kind) in {Union, types.UnionType}:
        return tuple(member for member in typing.get_args(kind) if member is not types.NoneType)
    return (kind,)


def kind_of(kind: Any) -> Kind | None:
    """Return the mark of an `Annotated[Choice, Kind(...)]`; None for any other type."""
    marks = typing.get_args(kind)[1:] if typing.get_origin(kind) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, Kind)), None)


def of_type(kind: Any, facts: Facts = Facts()) -> Schema:  # noqa: B008 -- Facts is frozen
    """Return the schema of a type; TypeError names a type that no file can hold."""
    members = branches(kind)
    if len(members) > 1:
        return {"anyOf": [of_type(member, facts) for member in members]}
    if (written_out := _GENERIC.get(typing.get_origin(kind))) is not None:
        return written_out(typing.get_args(kind), facts)
    if (mark := kind_of(kind)) is not None:
        return {"type": "object", "x-kind": mark}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return of_class(kind)
    return _scalar(kind, facts)


def of_class(options: type) -> Schema:
    """Return the schema of an options class; also a text where the class has `from_scalar`."""
    schema = of_object(options)
    if not hasattr(options, "from_scalar"):
        return schema
    text: Schema = {"type": "string", "minLength": 1}
    if any(entry.is_secret for entry in entries(options)):
        text["x-secret"] = True
    return {"anyOf": [text, schema]} | _described(options)


def of_object(options: type) -> Schema:
    """Return the schema of an options class as a mapping."""
    fields = entries(options)
    properties: Schema = {}
    for entry in fields:
        properties[entry.name] = _property(entry)
        if entry.is_secret:
            text = f"A file that holds {entry.name}: read when the configuration is; relative to its folder."
            properties[f"{entry.name}_file"] = {"type": "string", "minLength": 1, "description": text}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    schema |= _described(options)
    if required := [entry.name for entry in fields if entry.required and not entry.is_secret]:
        schema["required"] = required
    if pairs := [_pair(entry) for entry in fields if entry.is_secret]:
        schema["allOf"] = pairs
    return schema


def _pair(entry: Entry) -> Schema:
    """Return the rule that a secret stands in the file or in one of its own, never in both."""
    both = [entry.name, f"{entry.name}_file"]
    return (
        {"oneOf": [{"required": [name]} for name in both]}
        if entry.required
        else {"not": {"type": "object", "required": both}}
    )


def _property(entry: Entry) -> Schema:
    schema = of_type(entry.type, entry.facts)
    schema["title"] = entry.name
    if entry.facts.help:
        schema["description"] = entry.facts.help
    if entry.facts.example is not None:
        schema["examples"] = [written(entry.facts.example, entry.type)]
    default = entry.field.default
    if default is dataclasses.MISSING and entry.field.default_factory is not dataclasses.MISSING:
        default = entry.field.default_factory()
    if default is not dataclasses.MISSING and (value := written(default, entry.type)) is not None:
        schema["default"] = value
    return schema


def written(value: Any, kind: Any) -> Any:
    """Return a value of an option as YAML and JSON write it; None for what has no such form (a secret, options)."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        members = branches(kind)
        if Duration in members:
            return written_duration(value)
        return written_size(int(value)) if Size in members else value
    if isinstance(value, tuple | list):
        items = [written(item, _inner(kind)) for item in value]
        return items if None not in items else None
    if isinstance(value, Mapping):
        return {key: written(item, _inner(kind)) for key, item in value.items()}
    return value.as_posix() if isinstance(value, Path) else None


def _inner(kind: Any) -> Any:
    """Return the type of the entries of the first collection in a type."""
    for member in branches(kind):
        if (origin := typing.get_origin(member)) in {tuple, Mapping}:
            return typing.get_args(member)[origin is Mapping]
    return str


def _described(options: type) -> Schema:
    # A dataclass without a docstring has its signature for one, which helps nobody.
    text = inspect.cleandoc(options.__doc__ or "")
    return {} if text.startswith(f"{options.__name__}(") else {"description": text.split("\n\n")[0].replace("\n", " ")}


def _literal(words: Any, _facts: Facts) -> Schema:
    return {"type": "string", "enum": list(words)}


def _list(items: Any, facts: Facts) -> Schema:
    item = of_type(items[0], dataclasses.replace(facts, minimum=None, maximum=None))
    return {"type": "array", "items": item} | _bounds(facts, "minItems", "maxItems")


def _mapping(names_and_values: Any, facts: Facts) -> Schema:
    names = {"minLength": 1, "maxLength": NAME_CHARACTERS}
    return {"type": "object", "additionalProperties": of_type(names_and_values[1], facts), "propertyNames": names}


_GENERIC: Final[Mapping[Any, Callable[[Any, Facts], Schema]]] = {Literal: _literal, tuple: _list, Mapping: _mapping}


def _scalar(kind: Any, facts: Facts) -> Schema:
    for word, keyword, pattern in ((Duration, "x-duration", DURATION_PATTERN), (Size, "x-size", SIZE_PATTERN)):
        if kind is word:
            text_or_zero = {"type": ["string", "integer"], "pattern": f"^0$|{pattern}", "minimum": 0, "maximum": 0}
            return {**text_or_zero, keyword: _bounds(facts)}
    if kind in _SCALARS:
        return _SCALARS[kind] | (_bounds(facts) if kind in {int, float} else {})
    if kind is str:
        return _text(facts)
    raise TypeError(f"an option has the type {kind!r}, which no configuration can hold")


def _text(facts: Facts) -> Schema:
    schema: Schema = {"type": "string"} | _bounds(facts, "minLength", "maxLength")
    if facts.pattern is not None:
        schema["pattern"] = f"^(?:{facts.pattern})$"
    if facts.choices is not None:
        schema["enum"] = list(facts.choices)
    return schema


def _bounds(facts: Facts, least: str = "minimum", most: str = "maximum") -> Schema:
    bounds = {least: facts.minimum, most: facts.maximum}
    return {key: int(value) if value == int(value) else value for key, value in bounds.items() if value is not None}


def _without_none(kind: Any) -> Any:
    members = branches(kind)
    return Union[members] if len(members) > 1 else members[0]  # noqa: UP007 -- built from values
