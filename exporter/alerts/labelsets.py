"""The labels and the annotations of an alert, within bounds, and the fingerprint that labels make."""

from __future__ import annotations

from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from exporter.alerts import texts
from exporter.alerts.alert import UnfitError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST: Final = 64
"""Labels of one alert, and annotations."""

LONGEST_NAME: Final = 256
"""Characters of a name."""

LONGEST_VALUE: Final = 1024
"""Characters of a label's value: an alert with a longer one is not taken, as cutting it would make it another."""

LARGEST_LABELS: Final = 20 * 1024
"""Bytes in UTF-8 of all names and values of one alert's labels."""

LONGEST_ANNOTATION: Final = 4096
"""Characters of an annotation's value: longer ones are cut."""

LARGEST_ANNOTATIONS: Final = 40 * 1024
"""Bytes in UTF-8 of all names and values of one alert's annotations: what has no room is cut."""


def labels_of(found: Any) -> dict[str, str]:
    """Return the labels of an alert; UnfitError when they cannot be taken as they are."""
    if type(found) is not dict or not found:
        raise UnfitError("bad_labels", "has no labels")
    if len(found) > MOST:
        raise UnfitError("bad_labels", f"has {len(found)} labels, more than {MOST}")
    if _plain(found, LONGEST_VALUE, LARGEST_LABELS):
        return found
    taken: dict[str, str] = {}
    for place, (raw, value) in enumerate(found.items(), 1):
        name = _label(raw, LONGEST_NAME, place, "name")
        if not name:
            raise UnfitError("bad_labels", f"has a label, number {place}, without a name")
        if name in taken:
            raise UnfitError("duplicate_label", f"has a label, number {place}, of the same name as one before it")
        taken[name] = _label(value, LONGEST_VALUE, place, "value")
    if sum(len(text.encode()) for text in chain.from_iterable(taken.items())) > LARGEST_LABELS:
        raise UnfitError("label_too_long", f"has labels of more than {LARGEST_LABELS:,} bytes together")
    return taken


def digest(taken: Mapping[str, str]) -> str:
    """Return the fingerprint of an alert that brought none: 32 hexadecimal digits of the hash of its labels."""
    told = sha256()
    for text in chain.from_iterable(sorted(taken.items())):
        data = text.encode()
        told.update(b"%d:" % len(data) + data)
    return told.hexdigest()[:32]


def annotations_of(found: Any) -> dict[str, str]:
    """Return the annotations of an alert, cut to what there is room for; UnfitError when they are no texts.

    Of two that get the same name the first is taken.
    """
    if found is None:
        return {}
    if type(found) is not dict:
        raise UnfitError("bad_annotations", "has annotations that are not an object")
    if not found or (len(found) <= MOST and _plain(found, LONGEST_ANNOTATION, LARGEST_ANNOTATIONS, lines=True)):
        return found
    for place, value in enumerate(found.values(), 1):
        if type(value) is not str:
            raise UnfitError("bad_annotations", f"has an annotation, number {place}, whose value is no text")
    return _cut(found)


def _plain(found: dict[str, Any], longest: int, largest: int, *, lines: bool = False) -> bool:
    """Whether all can be taken as it is, which is so for nearly all alerts: asked of everything at once."""
    names = "".join(found)
    try:
        values = "".join(found.values())
    except TypeError:
        return False
    if not (names.isascii() and names.isprintable() and values.isascii()):
        return False
    if not (values.isprintable() or (lines and values.replace("\n", " ").replace("\t", " ").isprintable())):
        return False
    return (
        len(names) + len(values) <= largest
        and "" not in found
        and (len(names) <= LONGEST_NAME or max(map(len, found)) <= LONGEST_NAME)
        and (len(values) <= longest or max(map(len, found.values())) <= longest)
    )


def _label(text: Any, limit: int, place: int, what: str) -> str:
    if type(text) is not str:
        raise UnfitError("bad_labels", f"has a label, number {place}, whose {what} is no text")
    if texts.longer(text, limit) or len(value := texts.label(text)) > limit:
        sentence = f"has a label, number {place}, whose {what} is longer than {limit:,} characters"
        raise UnfitError("label_too_long", sentence)
    return value


def _cut(found: Mapping[str, str]) -> dict[str, str]:
    taken: dict[str, str] = {}
    room = LARGEST_ANNOTATIONS
    for raw, text in found.items():
        name = texts.label(texts.cut(raw, LONGEST_NAME))
        if not name or name in taken:
            continue
        room -= len(name.encode())
        value = _fitting(texts.cut(text, LONGEST_ANNOTATION), room)
        if value is None or len(taken) == MOST:
            break
        taken[name] = value
        room -= len(value.encode())
    return taken


def _fitting(text: str, room: int) -> str | None:
    """Return as much of a text as so many bytes hold, with an ellipsis; None where that is nothing."""
    data = text.encode()
    if len(data) <= room:
        return text
    kept = data[: max(0, room - len("…".encode()))].decode(errors="ignore")
    return kept + "…" if kept else None
