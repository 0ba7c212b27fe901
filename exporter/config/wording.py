"""What was found and what was wanted, as people say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exporter.config.mistakes import shown
from exporter.config.words import written_duration, written_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.config.document import Place

    Schema = Mapping[str, Any]

WRITTEN: Final[Mapping[str, Callable[[Any], str]]] = {"x-duration": written_duration, "x-size": written_size}


def wanted(schema: Schema) -> str:
    """Return what a schema allows, for people: "a duration like 30s, 5m or 1h", "a whole number from 1 to 100"."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(wanted(branch) for branch in schema["anyOf"]))
    if "enum" in schema:
        choices = [f"'{choice}'" for choice in schema["enum"]]
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    for keyword, noun in (("x-duration", "a duration like 30s, 5m or 1h"), ("x-size", "a size like 512KiB or 5MiB")):
        if keyword in schema:
            return noun + _range(schema[keyword], WRITTEN[keyword], " ")
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


def types(schema: Schema) -> set[str]:
    """Return the types that a schema takes."""
    kinds = schema.get("type", [])
    own = {kinds} if isinstance(kinds, str) else set(kinds)
    return own.union(*(types(branch) for branch in schema.get("anyOf", ())))


def has(schema: Schema, keyword: str) -> bool:
    """Return whether a keyword holds for a value of the schema, in one of its alternatives at least."""
    return keyword in schema or any(has(branch, keyword) for branch in schema.get("anyOf", ()))


def hides(schema: Any) -> bool:
    """Return whether a secret is wanted anywhere inside: a text in place of the whole may then hold it."""
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    # Which kind was meant is not known: any of them may have secrets.
    itself = isinstance(schema, dict) and not schema.keys().isdisjoint({"x-secret", "x-kind"})
    return itself or any(hides(child) for child in children)


def found(value: Any, place: Place, *, hidden: bool) -> str:
    """Return what stands in the file, for people; <secret> for what must not be shown."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if hidden:
        return "<secret>"
    if isinstance(value, str):
        return shown(place.raw if place.raw is not None else value)
    return place.raw or str(value)
