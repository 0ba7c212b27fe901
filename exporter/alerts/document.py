"""JSON, read strictly: what two readers could understand differently is refused, and nothing in it can be costly."""

from __future__ import annotations

import json
from typing import Any, Final, Never

from exporter.alerts.alert import PayloadError

DEEPEST: Final = 32
"""How many lists and objects may stand in each other."""

MOST_VALUES: Final = 500_000
"""How many values and objects a document may have: some 16 bytes for each in a body of 8 MiB."""

_LONGEST_INTEGER: Final = 20
_LONGEST_NUMBER: Final = 64
_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_MARKS: Final = bytes(set(range(256)) - set(b'"[]{},:'))


def read(body: bytes) -> Any:
    """Return what a JSON document in UTF-8 says; PayloadError when it is none, or says one thing in two ways."""
    if not body:
        raise PayloadError(400, "invalid_json", "the body is empty: send Alertmanager's webhook payload")
    text = _decoded(body)
    marks = _punctuation(body)
    _refuse_depth_and_crowd(marks)
    try:
        return _read(text, marks.count(b":"))
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:].rstrip(": ")
        where = f"line {error.lineno}, column {error.colno} (character {error.pos})"
        raise PayloadError(400, "invalid_json", f"the body is not JSON at {where}: {what}") from None


def shown(text: str) -> str:
    """Return a few characters of a text from outside, such as an error may repeat."""
    return ascii(text if len(text) <= 20 else text[:17] + "...")  # noqa: PLR2004 -- enough to find it by


def _decoded(body: bytes) -> str:
    if body.startswith(_MARKS):
        raise PayloadError(400, "invalid_encoding", "the body begins with a byte order mark: send UTF-8 without one")
    if b"\0" in body[:4]:
        raise PayloadError(400, "invalid_encoding", "the body is UTF-16 or UTF-32: send UTF-8")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        where = f"byte {error.start}"
        raise PayloadError(400, "invalid_encoding", f"the body is not UTF-8 at {where}: {error.reason}") from None


def _read(text: str, colons: int) -> Any:
    """Return what a document says whose objects have so many keys; fewer mean that one of them was there twice."""
    keys = 0

    def counted(found: dict[str, Any]) -> dict[str, Any]:
        nonlocal keys
        keys += len(found)
        return found

    read_once = json.JSONDecoder(object_hook=counted, **_NUMBERS).decode(text)
    # Looking at each pair takes twice as long, so only a document that is wrong is read so, to tell which key it is.
    return read_once if keys == colons else _STRICT.decode(text)


def _refuse_depth_and_crowd(marks: bytes) -> None:
    """Refuse a document that is too deep or of too many values, before a reader pays for each level and value."""
    nesting = marks.translate(None, b",:")
    if b"[" * (DEEPEST + 1) in nesting:
        _too_deep()
    if len(marks) > MOST_VALUES and marks.count(b",") + nesting.count(b"[") > MOST_VALUES:
        sentence = f"the body has more than {MOST_VALUES:,} values: set max_alerts in Alertmanager"
        raise PayloadError(413, "too_many_alerts", sentence)
    for _ in range(DEEPEST):
        before = len(nesting)
        nesting = nesting.replace(b"[]", b"")
        if len(nesting) == before:
            break
    # What is left of a document that ends too early is as deep as it has brackets without an end.
    if b"[]" in nesting or nesting.count(b"[") > DEEPEST:
        _too_deep()


def _punctuation(body: bytes) -> bytes:
    """Return the brackets, commas and colons outside of strings, with braces as brackets."""
    # First the escapes that matter to where a string ends; then all but the marks; then what quotes enclose.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = body.translate(_BRACKETS, _NO_MARKS).replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2]) if b'"' in marks else marks


def _too_deep() -> Never:
    sentence = f"the body has lists and objects in each other more than {DEEPEST} deep"
    raise PayloadError(400, "too_deep", sentence)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise PayloadError(400, "duplicate_key", f"an object of the body has the key {shown(twice)} twice")
    return found


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > _LONGEST_INTEGER or text == "-0":
        _no_number(text)
    return int(text)


def _float(text: str) -> float:
    value = float(text) if len(text) <= _LONGEST_NUMBER else float("inf")
    if value in {float("inf"), float("-inf")} or (value == 0 and text.startswith("-")):
        _no_number(text)
    return value


def _no_number(text: str) -> Never:
    raise PayloadError(400, "not_a_number", f"the body has {shown(text)} where only a number of usual size can stand")


_NUMBERS: Final[dict[str, Any]] = {"parse_int": _integer, "parse_float": _float, "parse_constant": _no_number}
_STRICT: Final = json.JSONDecoder(object_pairs_hook=_object, **_NUMBERS)
