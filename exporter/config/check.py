"""Data against its schema, as sentences: every mistake with its place, what was found and what was wanted."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator, ValidationError, validators

from exporter.config.mistakes import LIMIT, nearest, shown
from exporter.config.scalars import EMPTY, Trap
from exporter.config.words import duration, size, written_duration, written_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.config.document import Document, Place
    from exporter.config.mistakes import Mistake, Path

    Schema = Mapping[str, Any]

_FEW: Final = 16
"""So many known keys are listed where none is near the unknown one."""
_UNITS: Final = {"x-duration": "s", "x-size": "B"}
_WORDS: Final = {"x-duration": (duration, written_duration), "x-size": (size, written_size)}


def _meaning(keyword: str) -> Callable[..., Iterator[ValidationError]]:
    read, _ = _WORDS[keyword]

    def check(_validator: Any, bounds: Schema, text: Any, _schema: Schema) -> Iterator[ValidationError]:
        if not isinstance(text, str | int):
            return
        try:
            value = read(str(text))
        except ValueError:
            return  # the pattern of the schema tells this
        if not bounds.get("minimum", value) <= value <= bounds.get("maximum", value):
            yield ValidationError("out of bounds")

    return check


def _whole(_validator: Any, pattern: str, text: Any, _schema: Schema) -> Iterator[ValidationError]:
    # `$` of Python's expressions lets a last newline through, which JSON Schema's does not.
    if isinstance(text, str) and re.fullmatch(pattern, text) is None:
        yield ValidationError("does not match")


def _openable(_validator: Any, _value: bool, text: Any, _schema: Schema) -> Iterator[ValidationError]:  # noqa: FBT001 -- a keyword's signature
    if isinstance(text, str) and "\0" in text:
        yield ValidationError("no path")


_Validator: Final[Any] = validators.extend(  # type: ignore[no-untyped-call] # its stubs leave it untyped
    Draft202012Validator,
    {word: _meaning(word) for word in _WORDS} | {"pattern": _whole, "x-path": _openable},
)


def mistakes(document: Document, schema: Schema) -> list[Mistake]:
    """Return what the schema does not allow, at most some more than are told."""
    errors = itertools.islice(_Validator(schema).iter_errors(document.data), LIMIT + 1)
    told = itertools.chain.from_iterable(_Telling(document, error).mistakes() for error in errors)
    return list(itertools.islice(told, LIMIT + 1))


def is_right(value: Any, schema: Schema) -> bool:
    """Return whether a part of the data is as its schema wants it."""
    return bool(_Validator(schema).is_valid(value))


class _Telling:
    """One error of the validator as sentences."""

    def __init__(self, document: Document, error: ValidationError) -> None:
        self.document = document
        self.error = error
        self.rule: Any = error.validator_value
        self.found: Any = error.instance
        self.path: Path = tuple(error.absolute_path)
        self.schema: Schema = error.schema if isinstance(error.schema, dict) else {}

    def mistakes(self) -> Iterator[Mistake]:
        if isinstance(self.found, Trap):
            return self.trap(self.found)
        told = {
            "additionalProperties": self.unknown,
            "required": self.missing,
            "oneOf": self.one_of,
            "not": self.both,
            "anyOf": self.any_of,
            "minLength": self.too_short,
        }
        return told.get(str(self.error.validator), self.value)()

    def trap(self, trap: Trap) -> Iterator[Mistake]:
        if trap.sentence:
            hidden = trap.text and _has(self.schema, "x-secret")
            mend = "found <secret>, which YAML does not read as a text: put it in quotes"
            yield self.at(mend if hidden else trap.sentence)

    def unknown(self) -> Iterator[Mistake]:
        known = list(self.schema.get("properties", ()))
        for word in itertools.islice((word for word in self.found if word not in known), LIMIT + 1):
            mistake = self.document.mistake((*self.path, word), "", key=True)
            # What stands behind a colon without its space is a value, and may be a secret.
            name, colon, _ = word.partition(":")
            hint = "; write a space after the colon" if colon else nearest(word, known) or _few(known)
            sentence = f"unknown key {shown(name + colon)}{hint}"
            yield mistake._replace(sentence=self.at(sentence).sentence)

    def missing(self) -> Iterator[Mistake]:
        # jsonschema tells each missing key on its own, by its name at the beginning of the message.
        for name in self.rule:
            if self.error.message.startswith(f"{name!r} "):
                yield self.at(f"the key '{name}' is missing{self.example(name)}", key=True)

    def example(self, name: str) -> str:
        examples = self.schema.get("properties", {}).get(name, {}).get("examples")
        return f": write {name}: {examples[0]}" if examples and isinstance(examples[0], str | int) else ""

    def one_of(self) -> Iterator[Mistake]:
        names = [rule["required"][0] for rule in self.rule]
        if not isinstance(self.found, dict):
            return  # its type is told
        if all(name in self.found for name in names):
            yield self.exclusive(names)
        else:
            yield self.at(f"the key '{names[0]}' (or '{names[1]}') is missing", key=True)

    def both(self) -> Iterator[Mistake]:
        yield self.exclusive(self.rule["required"])

    def exclusive(self, names: list[str]) -> Mistake:
        mistake = self.document.mistake((*self.path, names[1]), "", key=True)
        return mistake._replace(sentence=self.at(f"give '{names[0]}' or '{names[1]}', not both").sentence)

    def any_of(self) -> Iterator[Mistake]:
        """Tell the mistakes of the alternative that has the type of the value; if none has it, what each wants."""
        alternatives: dict[Any, list[ValidationError]] = {}
        for error in self.error.context or ():
            alternatives.setdefault(error.relative_schema_path[0], []).append(error)
        for errors in alternatives.values():
            if not any(error.validator == "type" and not error.relative_path for error in errors):
                for error in errors:
                    yield from _Telling(self.document, error).mistakes()
                return
        yield from self.value()

    def too_short(self) -> Iterator[Mistake]:
        if self.found == "":
            inside_name = "propertyNames" in self.error.absolute_schema_path
            yield self.at("a name is empty: give one" if inside_name else EMPTY)
        else:
            yield from self.value()

    def value(self) -> Iterator[Mistake]:
        if "propertyNames" in self.error.absolute_schema_path:
            yield self.name()
            return
        hidden = _has(self.schema, "x-secret")
        instance = self.found
        place = self.document.place(self.path)
        found = "a text" if isinstance(instance, str) and not hidden and _hides(self.schema) else None
        found = found or _found(instance, place, hidden=hidden)
        sentence = f"found {found}, wanted {wanted(self.schema)}"
        yield self.at(sentence + self.hint(instance, place))

    def name(self) -> Mistake:
        if self.error.validator != "pattern":
            return self.at(f"the name {shown(self.found)} is too long: shorten it")
        mistake = self.document.mistake((*self.path, self.found), "", key=True)
        sentence = f"the name {shown(self.found)} begins or ends with a space, or is not one line: write it without"
        return mistake._replace(sentence=self.at(sentence).sentence)

    def hint(self, instance: Any, place: Place) -> str:
        types = _types(self.schema)
        unit = next((_UNITS[word] for word in _UNITS if _has(self.schema, word)), None)
        if unit and isinstance(instance, int) and instance > 0:
            return f": add its unit, as in {instance}{unit}"
        if isinstance(instance, int | float) and "string" in types and not types & {"integer", "number"}:
            return ": put it in quotes"
        is_number = isinstance(instance, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", instance)
        if is_number and not place.is_plain and types & {"integer", "number"} and "string" not in types:
            return ": leave the quotes out"
        if isinstance(instance, str) and isinstance(choices := self.schema.get("enum"), list):
            return nearest(instance, [str(choice) for choice in choices])
        return ""

    def at(self, sentence: str, *, key: bool = False) -> Mistake:
        return self.document.mistake(self.path, sentence, key=key)


def _few(known: list[str]) -> str:
    return f"; known here: {', '.join(known)}" if 0 < len(known) <= _FEW else ""


def wanted(schema: Schema) -> str:
    """Return what a schema allows, for people: "a duration like 30s, 5m or 1h", "a whole number from 1 to 100"."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(wanted(branch) for branch in schema["anyOf"]))
    if "enum" in schema:
        choices = [f"'{choice}'" for choice in schema["enum"]]
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    for keyword, noun in (("x-duration", "a duration like 30s, 5m or 1h"), ("x-size", "a size like 512KiB or 5MiB")):
        if keyword in schema:
            return noun + _range(schema[keyword], _WORDS[keyword][1], " ")
    return _wanted_type(schema)


def _wanted_type(schema: Schema) -> str:
    kind = schema.get("type")
    nouns = {"boolean": "true or false", "object": "a mapping (key: value)", "array": "a list ([a, b])"}
    if kind in {"integer", "number"}:
        return ("a whole number" if kind == "integer" else "a number") + _range(schema, str, " ")
    if kind == "array":
        entries = {"minimum": schema.get("minItems"), "maximum": schema.get("maxItems")}
        return nouns["array"] + _range({k: v for k, v in entries.items() if v is not None}, str, ", length ")
    if kind != "string":
        return nouns.get(str(kind), "something else")
    if "x-path" in schema:
        return "a path"
    if "pattern" in schema:
        examples = schema.get("examples")
        return f"a text like '{examples[0]}'" if examples else f"a text that matches {schema['pattern']}"
    letters = {"minimum": schema.get("minLength"), "maximum": schema.get("maxLength")}
    return "a text" + _range({k: v for k, v in letters.items() if v not in {None, 1}}, str, ", length ")


def _range(bounds: Schema, write: Callable[[Any], str], before: str) -> str:
    least, most = bounds.get("minimum"), bounds.get("maximum")
    if least is not None and most is not None:
        return f"{before}from {write(least)} to {write(most)}"
    if least is not None:
        return f"{before}of at least {write(least)}"
    return f"{before}of at most {write(most)}" if most is not None else ""


def _types(schema: Schema) -> set[str]:
    kinds = schema.get("type", [])
    own = {kinds} if isinstance(kinds, str) else set(kinds)
    return own.union(*(_types(branch) for branch in schema.get("anyOf", ())))


def _has(schema: Schema, keyword: str) -> bool:
    return keyword in schema or any(_has(branch, keyword) for branch in schema.get("anyOf", ()))


def _hides(schema: Any) -> bool:
    """Return whether a secret is wanted anywhere inside: a text in place of the whole may then hold it."""
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return (isinstance(schema, dict) and "x-secret" in schema) or any(_hides(child) for child in children)


def _found(value: Any, place: Place, *, hidden: bool) -> str:
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if hidden:
        return "<secret>"
    if isinstance(value, str):
        return shown(place.raw if place.raw is not None else value)
    return place.raw or str(value)
