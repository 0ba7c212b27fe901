"""Kinds in the configuration: a mapping whose `kind` names a module, and whose other keys are that module's options.

While a file is checked, only the modules of the kinds that it names are imported. The published schema, which editors
and the reference read, has them all.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from exporter import kinds
from exporter.config.options import Kind
from exporter.config.schema import Schema, of_object
from exporter.errors import InvalidConfigurationError, UnknownKindError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

KEY: Final = "kind"
"""The key that names the module."""
_HELP: Final = "Which kind it is: further keys follow from it."


class NotLoadedError(Exception):
    """The module behind an installed word cannot be imported; the message is a sentence."""


@cache
def known(family: str) -> tuple[str, ...]:
    """Return the words of a family. They are looked for once: entry points are read from many small files."""
    return kinds.words(family)


@cache
def _module(family: str, word: str) -> ModuleType:
    try:
        return kinds.load(family, word)
    except UnknownKindError:
        raise
    except Exception as error:  # a third party's module may raise anything
        noun = family.removesuffix("s")
        reason = f"the installed {noun} '{word}' cannot be loaded ({type(error).__name__}): mend or remove it"
        raise NotLoadedError(reason) from error


def options_of(family: str, word: str) -> type | None:
    """Return the options class of a kind, or None where it has none; NotLoadedError when it cannot be imported."""
    options: type | None = getattr(_module(family, word), "Options", None)
    return options


def target_of(kind: Kind, word: str) -> tuple[str, str] | None:
    """Return the option that names what a kind is about, and what stands in it until a target is named.

    None where the configuration must name it, or where the kind has no such option.
    """
    target: tuple[str, str] | None = getattr(_module(kind.family, word), "TARGET", None) if kind.aimed else None
    return target


def schema_of(kind: Kind, word: object) -> Schema:
    """Return what a mapping must be whose `kind` is this word; where there is no such kind, what that says of it.

    NotLoadedError when the module of the word cannot be imported.
    """
    if isinstance(word, str) and word in known(kind.family):
        return _of_word(kind, word)
    return _of_no_word(kind)


@cache
def _of_no_word(kind: Kind) -> Schema:
    word = {"type": "string", "enum": list(known(kind.family)), "title": KEY, "description": _HELP}
    return {"type": "object", "required": [KEY], "properties": {KEY: word}}


@cache
def _of_word(kind: Kind, word: str) -> Schema:
    """Return the schema of one kind with the keys beside its own; TypeError where both have the same key."""
    schema: Schema = {"type": "object", "additionalProperties": False, "required": [KEY]}
    properties: Schema = {KEY: {"type": "string", "enum": [word], "title": KEY, "description": _HELP}}
    for options in (options_of(kind.family, word), kind.beside):
        part = of_object(options) if options is not None else {}
        if twice := properties.keys() & part.get("properties", {}).keys():
            raise TypeError(f"the {kind.family} of the kind {word} and what stands beside them share {sorted(twice)}")
        properties |= part.get("properties", {})
        schema["required"] = [*schema["required"], *part.get("required", ())]
        if rules := part.get("allOf"):
            schema["allOf"] = [*schema.get("allOf", ()), *rules]
    if target := target_of(kind, word):
        schema["required"].remove(target[0])
    text = summary(_module(kind.family, word))
    return schema | {"properties": properties} | ({"description": text} if text else {})


def summary(module: object) -> str:
    """Return the first paragraph of a module's docstring, on one line."""
    return (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def published(schema: Schema) -> Schema:
    """Return the schema with every kind in it, for readers that know none of our keywords.

    Each family stands once below `$defs`, so that a kind may hold kinds of its own family.
    InvalidConfigurationError when the module of an installed kind cannot be imported.
    """
    definitions: Schema = {}
    try:
        found = _resolved(schema, definitions)
    except NotLoadedError as error:
        raise InvalidConfigurationError((str(error),)) from error
    return {**found, "$defs": definitions} if definitions else found


def _resolved(schema: Any, definitions: Schema) -> Any:
    if isinstance(schema, list):
        return [_resolved(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("x-kind")
    if not isinstance(kind, Kind):
        return {key: _resolved(one, definitions) for key, one in schema.items()}
    name = _name(kind)
    if name not in definitions:
        definitions[name] = {}  # a kind may hold kinds of its own family: the name is taken first
        definitions[name] = _family(kind, name, definitions)
    rest = {key: one for key, one in schema.items() if key not in {"x-kind", "type"}}
    return {"$ref": f"#/$defs/{name}"} | rest


def _name(kind: Kind) -> str:
    return kind.family if kind.beside is None else f"{kind.family}.{kind.beside.__name__}"


def _family(kind: Kind, name: str, definitions: Schema) -> Schema:
    """Return what holds for every kind, and the rule that leads from a word to its kind."""
    words = known(kind.family)
    for word in words:
        definitions[f"{name}.{word}"] = _resolved(_of_word(kind, word), definitions)
    beside = of_object(kind.beside) if kind.beside is not None else {}
    schema = dict(_of_no_word(kind))
    schema["properties"] = schema["properties"] | _resolved(beside.get("properties", {}), definitions)
    schema["allOf"] = list(_rules(words, name))
    return schema


def _rules(words: tuple[str, ...], name: str) -> Iterator[Schema]:
    for word in words:
        is_it = {"type": "object", "required": [KEY], "properties": {KEY: {"const": word}}}
        yield {"if": is_it, "then": {"$ref": f"#/$defs/{name}.{word}"}}
