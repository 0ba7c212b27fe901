"""What a health document says of its service, in any of the common dialects and without a mapping by the user.

- The source systems' own: `status`, and components under `checks`, `services`, `dependencies` or `details`, each a
  word, a boolean or an object with a `status`; other objects beside them with a `status` of their own.
- application/health+json (draft-inadarei-api-health-check): `checks` maps names to lists of objects.
- Spring Boot Actuator: `components` (`details` before 2.2), which may hold components in turn.
- ASP.NET Core: one word as plain text, or a HealthReport with `entries` (`results` in Microsoft's example), whose
  keys may begin with capitals and whose states may be numbers.
- MicroProfile Health: `checks` is a list of objects with `name` and `status`.
- NestJS Terminus: `details` holds all components, `info` and `error` the same ones again.

Bodies come from outside: nothing here raises, whatever they hold, and what is looked at is bounded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from exporter.labels import normalised
from exporter.verdict.judgement import RANKS, Verdict, gathered
from exporter.verdict.words import NUMBERS, Word, word_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import Component, State

LARGEST: Final = 256 * 1024
"""Bytes of the largest document that is read: some milliseconds of parsing, and far above any real one."""
_DEEPEST: Final = 4
"""Levels of components inside components; Spring Boot's composites have two or three."""
_MOST_ENTRIES: Final = 1000
"""Components that are looked at, of which the worst are kept."""
_LONGEST_TEXT: Final = 64
"""Bytes of the longest body that may be one word and the space around it."""
_NAMED: Final = 3
"""Components that a reason names."""

_MAPPINGS: Final = ("checks", "services", "dependencies", "components")
_CONTAINERS: Final = (*_MAPPINGS, "details", "entries", "results")
_NAMES: Final = ("name", "service", "id")
_SPACE: Final = b" \t\r\n"
_MARK: Final = b"\xef\xbb\xbf"

# Numbers are read as floats: an integer of many digits would raise, and takes quadratic time where the limit is off.
_DECODER: Final = json.JSONDecoder(parse_int=float, strict=False)


def of_body(body: bytes, content_type: str) -> Verdict | None:
    """Return what a body says, None where it says nothing: no health document, no word that we know.

    A JSON object is read whatever its content type is; a lone word only from text/plain. A component that is worse
    than the document's own status decides: degraded makes the service degraded, down makes it down.
    """
    if not body.startswith(b"{"):
        body = body.removeprefix(_MARK)
        if len(body) <= _LONGEST_TEXT and content_type[:10].lower() == "text/plain":
            word = word_of(body.strip(_SPACE).decode(errors="replace"))
            return _verdict(word, ()) if word else None
        if body[:_LONGEST_TEXT].lstrip(_SPACE)[:1] != b"{":
            return None
    document = _parsed(body)
    return _judged(_lowered(document)) if document else None


def _parsed(body: bytes) -> dict[str, Any] | None:
    if len(body) > LARGEST:
        return None
    try:
        document = _DECODER.decode(body.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _judged(document: Mapping[str, Any]) -> Verdict | None:
    reader = _Reader(numbers="entries" in document and "totalduration" in document)
    own = reader.word(document.get("status"))
    if "status" in document:
        reader.read(document, "", 0)
        reader.read_others(document)
    else:
        # Lists, `details` and `results` are in any API's answers: without a status they are no health document.
        reader.read({key: document[key] for key in _MAPPINGS if isinstance(document.get(key), dict)}, "", 0)
    components = gathered(reader.found)
    return _verdict(own, components) if own or components else None


def _verdict(own: Word | None, components: tuple[Component, ...]) -> Verdict:
    states: list[State] = [part.state for part in components[:1]] + ([own.state] if own else [])
    state = max(states, key=RANKS.__getitem__)
    said = f"the body says {own.text}" if own else "the body has no status that is known"
    bad = [part.name for part in components if part.state == state] if state != "up" else []
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        said += ", but" if own and own.state == "up" else ";"
        said += f" {state}: {', '.join(bad[:_NAMED])}{more}"
    return Verdict(state, said, "" if state == "up" else "health", components)


def _lowered(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields with keys as this module writes them: .NET's serialiser begins them with capitals."""
    return fields if "status" in fields else {key.lower(): value for key, value in fields.items()}


class _Reader:
    """Gathers the components of one document."""

    def __init__(self, *, numbers: bool) -> None:
        self.found: list[tuple[str, State]] = []
        self._numbers = numbers
        self._left = _MOST_ENTRIES

    def word(self, value: object) -> Word | None:
        if self._numbers and isinstance(value, float):
            return NUMBERS.get(value)
        return word_of(value)

    def read(self, fields: Mapping[str, Any], prefix: str, depth: int) -> None:
        """Read the containers of a document or of a component."""
        for key in _CONTAINERS:
            held = fields.get(key)
            if isinstance(held, (dict, list)):
                for name, value in self._entries(key, held, depth):
                    self._component(prefix + name, value, depth)

    def read_others(self, document: Mapping[str, Any]) -> None:
        """Read the objects that stand beside the status, such as `replication`, and have one of their own."""
        for key, value in document.items():
            if isinstance(value, dict) and key not in _CONTAINERS and self.word(_lowered(value).get("status")):
                self._component(key, value, 0)

    def _entries(self, key: str, held: dict[str, Any] | list[Any], depth: int) -> Iterator[tuple[str, Any]]:
        if isinstance(held, list):
            for place, value in enumerate(held[:_MOST_ENTRIES]):
                if isinstance(value, dict):
                    yield _name(_lowered(value), f"{key}[{place}]"), value
        elif key != "details":
            yield from held.items()
        else:
            yield from self._details(held, depth)

    def _details(self, held: dict[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
        """Yield what is a component in `details`, which others fill with facts (`exists: true`, `debug: false`).

        Inside a component only objects are. In the document words are too, and booleans where everything is a state.
        """
        plain = [value for value in held.values() if not isinstance(value, (dict, list))]
        all_states = all(self.word(value) for value in plain)
        for name, value in held.items():
            if isinstance(value, (dict, list)) or (depth == 0 and (all_states or isinstance(value, str))):
                yield name, value

    def _component(self, name: str, value: Any, depth: int) -> None:
        if self._left <= 0:
            return
        self._left -= 1
        if isinstance(value, list):
            for one in value[:_MOST_ENTRIES]:
                if isinstance(one, dict):
                    self._component(name, one, depth)
            return
        fields = _lowered(value) if isinstance(value, dict) else {"status": value}
        if word := self.word(fields.get("status")):
            self.found.append((normalised(name), word.state))
        if depth + 1 < _DEEPEST and isinstance(value, dict):
            self.read(fields, f"{name[:_LONGEST_TEXT]}/", depth + 1)


def _name(fields: Mapping[str, Any], otherwise: str) -> str:
    for key in _NAMES:
        if isinstance(name := fields.get(key), str) and name:
            return name
    return otherwise
