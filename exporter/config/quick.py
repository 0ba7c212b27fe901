"""Whether data is as its schema wants it: yes or no, at a fifth of the cost of saying why not.

It knows the keywords that `exporter.config.schema` writes and no others. What it refuses is told by
`exporter.config.check`, whose answer the tests hold against this one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from exporter.config import choices
from exporter.config.words import duration, size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.config.schema import Schema

    Check: TypeAlias = Callable[[Any], bool]


def checker(schema: Schema) -> Check:
    """Return the function that says whether a value is right; TypeError names a keyword that is not known."""
    if unknown := schema.keys() - _KEYWORDS.keys() - _ANNOTATIONS - _TOGETHER:
        raise TypeError(f"the schema uses {sorted(unknown)}, which nothing here checks")
    checks = [_KEYWORDS[word](rule) for word, rule in schema.items() if word in _KEYWORDS]
    if "properties" in schema or "additionalProperties" in schema:
        checks.append(_members(schema.get("properties", {}), schema.get("additionalProperties", True)))
    return checks[0] if len(checks) == 1 else _all_of(tuple(checks))


def _all_of(checks: tuple[Check, ...]) -> Check:
    def check(value: Any) -> bool:
        for one in checks:  # noqa: SIM110 -- a generator for each value would double the time
            if not one(value):
                return False
        return True

    return check


def _members(named: Mapping[str, Schema], other: bool | Schema) -> Check:  # noqa: FBT001 -- as JSON Schema writes it
    known = {name: checker(schema) for name, schema in named.items()}
    rest: Check | None = checker(other) if isinstance(other, dict) else (lambda _: True) if other else None

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for name, one in value.items():
            ask = known.get(name, rest)
            if ask is None or not ask(one):
                return False
        return True

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Final[Mapping[str, Check]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


def _type(words: str | list[str]) -> Check:
    if isinstance(words, str):
        return _TYPES[words]
    alternatives = [_TYPES[word] for word in words]
    return lambda value: any(one(value) for one in alternatives)


def _enum(words: list[str]) -> Check:
    known = frozenset(words)
    return lambda value: isinstance(value, str) and value in known


def _measured(measure: Callable[[Any], float | None], holds: Callable[[float, float], bool]) -> Callable[[Any], Check]:
    """Return the keyword that compares a measure of a value with its bound; what has no measure is right."""

    def keyword(bound: float) -> Check:
        def check(value: Any) -> bool:
            found = measure(value)
            return found is None or holds(found, bound)

        return check

    return keyword


def _number(value: Any) -> float | None:
    return value if _is_number(value) else None


def _characters(value: Any) -> int | None:
    return len(value) if isinstance(value, str) else None


def _entries(value: Any) -> int | None:
    return len(value) if isinstance(value, list) else None


def _least(found: float, bound: float) -> bool:
    return found >= bound


def _most(found: float, bound: float) -> bool:
    return found <= bound


def _pattern(pattern: str) -> Check:
    matches = re.compile(pattern).fullmatch
    return lambda value: not isinstance(value, str) or matches(value) is not None


def _meaning(read: Callable[[str], float]) -> Callable[[Mapping[str, float]], Check]:
    def keyword(bounds: Mapping[str, float]) -> Check:
        least, most = bounds.get("minimum", 0), bounds.get("maximum", float("inf"))

        def check(value: Any) -> bool:
            if not isinstance(value, str | int):
                return True
            try:
                return least <= read(str(value)) <= most
            except ValueError:
                return True  # the pattern of the schema tells this

        return check

    return keyword


def _required(names: list[str]) -> Check:
    wanted = frozenset(names)
    return lambda value: not isinstance(value, dict) or wanted <= value.keys()


def _names(schema: Schema) -> Check:
    ask = checker(schema)
    return lambda value: not isinstance(value, dict) or all(ask(name) for name in value)


def _items(schema: Schema) -> Check:
    ask = checker(schema)
    return lambda value: not isinstance(value, list) or all(ask(one) for one in value)


def _any(schemas: list[Schema]) -> Check:
    alternatives = [checker(schema) for schema in schemas]
    return lambda value: any(one(value) for one in alternatives)


def _one(schemas: list[Schema]) -> Check:
    alternatives = [checker(schema) for schema in schemas]
    return lambda value: sum(one(value) for one in alternatives) == 1


def _not(schema: Schema) -> Check:
    ask = checker(schema)
    return lambda value: not ask(value)


def _kind(kind: Any) -> Check:
    known: dict[Any, Check] = {}

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        word = value.get(choices.KEY)
        if not isinstance(word, str):
            return False
        if word not in known:
            try:
                known[word] = checker(choices.schema_of(kind, word))
            except choices.NotLoadedError:
                return False
        return known[word](value)

    return check


_KEYWORDS: Final[Mapping[str, Callable[[Any], Check]]] = {
    "type": _type,
    "enum": _enum,
    "minimum": _measured(_number, _least),
    "maximum": _measured(_number, _most),
    "minLength": _measured(_characters, _least),
    "maxLength": _measured(_characters, _most),
    "minItems": _measured(_entries, _least),
    "maxItems": _measured(_entries, _most),
    "pattern": _pattern,
    "required": _required,
    "propertyNames": _names,
    "items": _items,
    "allOf": lambda schemas: _all_of(tuple(checker(schema) for schema in schemas)),
    "anyOf": _any,
    "oneOf": _one,
    "not": _not,
    "x-duration": _meaning(duration),
    "x-size": _meaning(size),
    "x-path": lambda _: lambda value: not isinstance(value, str) or "\0" not in value,
    "x-kind": _kind,
}
_TOGETHER: Final = frozenset({"properties", "additionalProperties"})
_ANNOTATIONS: Final = frozenset({"$schema", "title", "description", "default", "examples", "x-secret"})
