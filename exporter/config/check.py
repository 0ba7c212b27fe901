"""Data against its schema, as sentences: every mistake with its place, what was found and what was wanted."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator, ValidationError, validators

from exporter.config import choices, quick, wording
from exporter.config.mistakes import LIMIT, nearest, shown
from exporter.config.scalars import EMPTY, Trap
from exporter.config.wording import has, hides, types, wanted
from exporter.config.words import duration, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.config.document import Document, Place
    from exporter.config.mistakes import Mistake, Path
    from exporter.config.options import Kind

    Schema = Mapping[str, Any]

_FEW: Final = 16
"""So many known keys are listed where none is near the unknown one."""
_UNITS: Final = {"x-duration": "s", "x-size": "B"}
_WORDS: Final = {"x-duration": duration, "x-size": size}


def _meaning(keyword: str) -> Callable[..., Iterator[ValidationError]]:
    read = _WORDS[keyword]

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


def _kinded(validator: Any, kind: Kind, value: Any, _schema: Schema) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return  # its type is told
    word = value.get(choices.KEY)
    try:
        schema = choices.schema_of(kind, word)
    except choices.NotLoadedError as error:
        yield ValidationError(str(error), path=(choices.KEY,), validator="x-kind")
    else:
        yield from validator.descend(value, schema)


_Validator: Final[Any] = validators.extend(  # type: ignore[no-untyped-call] # its stubs leave it untyped
    Draft202012Validator,
    {word: _meaning(word) for word in _WORDS} | {"pattern": _whole, "x-path": _openable, "x-kind": _kinded},
)


def mistakes(document: Document, schema: Schema) -> list[Mistake]:
    """Return what the schema does not allow, at most some more than are told."""
    errors = itertools.islice(_Validator(schema).iter_errors(_wrong(document.data, schema)), LIMIT + 1)
    told = itertools.chain.from_iterable(_Telling(document, error).mistakes() for error in errors)
    return list(itertools.islice(told, LIMIT + 1))


def _wrong(data: Any, schema: Schema) -> Any:
    """Return the data without the named entries that are right: of ten thousand services, mostly one is wrong."""
    if not isinstance(data, dict):
        return data
    return {word: _wrong_entries(value, schema["properties"].get(word, {})) for word, value in data.items()}


def _wrong_entries(value: Any, schema: dict[str, Any]) -> Any:
    if not isinstance(value, dict) or not isinstance(schema.get("additionalProperties"), dict):
        return value
    is_name, is_entry = quick.checker(schema["propertyNames"]), quick.checker(schema["additionalProperties"])
    wrong = ((name, one) for name, one in value.items() if not (is_name(name) and is_entry(one)))
    # jsonschema takes entries in any order: the first ones are told.
    return dict(itertools.islice(wrong, LIMIT + 1))


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
            "x-kind": self.not_loaded,
        }
        return told.get(str(self.error.validator), self.value)()

    def trap(self, trap: Trap) -> Iterator[Mistake]:
        if trap.sentence:
            hidden = trap.text and has(self.schema, "x-secret")
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

    def not_loaded(self) -> Iterator[Mistake]:
        yield self.at(self.error.message)

    def example(self, name: str) -> str:
        words = self.schema.get("properties", {}).get(name, {}).get("enum")
        if name == choices.KEY and words:
            return f": it is one of {', '.join(repr(word) for word in words)}"
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
        hidden = has(self.schema, "x-secret")
        instance = self.found
        place = self.document.place(self.path)
        found = "a text" if isinstance(instance, str) and not hidden and hides(self.schema) else None
        if self.error.validator in {"minItems", "maxItems"} and instance:
            found = f"a list of {len(instance)}"
        found = found or wording.found(instance, place, hidden=hidden)
        sentence = f"found {found}, wanted {wanted(self.schema)}"
        yield self.at(sentence + self.hint(instance, place))

    def name(self) -> Mistake:
        if self.error.validator != "pattern":
            return self.at(f"the name {shown(self.found)} is too long: shorten it")
        mistake = self.document.mistake((*self.path, self.found), "", key=True)
        sentence = f"the name {shown(self.found)} begins or ends with a space, or is not one line: write it without"
        return mistake._replace(sentence=self.at(sentence).sentence)

    def hint(self, instance: Any, place: Place) -> str:
        kinds = types(self.schema)
        unit = next((_UNITS[word] for word in _UNITS if has(self.schema, word)), None)
        if unit and isinstance(instance, int) and instance > 0:
            return f": add its unit, as in {instance}{unit}"
        if isinstance(instance, int | float) and "string" in kinds and not kinds & {"integer", "number"}:
            return ": put it in quotes"
        is_number = isinstance(instance, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", instance)
        if is_number and not place.is_plain and kinds & {"integer", "number"} and "string" not in kinds:
            return ": leave the quotes out"
        if isinstance(instance, str) and isinstance(choices := self.schema.get("enum"), list):
            return nearest(instance, [str(choice) for choice in choices])
        return ""

    def at(self, sentence: str, *, key: bool = False) -> Mistake:
        return self.document.mistake(self.path, sentence, key=key)


def _few(known: list[str]) -> str:
    return f"; known here: {', '.join(known)}" if 0 < len(known) <= _FEW else ""
