"""Families and their lines, as the text format 0.0.4 and OpenMetrics 1.0.0 spell them.

A line is the same in both forms; only the descriptions above it and the end of the body differ.

A histogram's label tuple has one element more than its family declares: the upper bound of a bucket (`"0.5"`,
`"+Inf"`), or `"sum"`, or `"count"`. Its reader gives the buckets of a combination from the lowest to `"+Inf"`, then
the sum, then the count; values are cumulative, as both forms want them.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Final

from exporter.errors import FamilyDeclarationError
from exporter.labels import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exporter.exposition.negotiation import Form
    from exporter.model import Family, Labels

TYPES: Final = ("gauge", "counter", "histogram")

_METRIC_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL_NAME: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_RESERVED_LABELS: Final = frozenset({"le", "quantile"})
_RESERVED_SUFFIXES: Final = ("_total", "_sum", "_count", "_bucket", "_created")
_TOTAL: Final = "_total"

# Beyond this, a float is written as Python's shortest repr: more digits than it has would be noise.
_LARGEST_WHOLE: Final = 1e16


def checked(family: Family) -> Family:
    """Return the family, or raise FamilyDeclarationError naming the first rule of the exposition that it breaks."""
    for problem in _problems(family):
        raise FamilyDeclarationError(family=family.name, reason=problem)
    return family


def _problems(family: Family) -> Iterator[str]:
    if not _METRIC_NAME.fullmatch(family.name):
        yield "its name is not letters, digits and underscores"
    if family.type not in TYPES:
        yield f"its type {family.type!r} is none of {', '.join(TYPES)}"
    if family.type == "counter" and not family.name.endswith(_TOTAL):
        yield "the name of a counter ends in _total"
    if family.type != "counter" and family.name.endswith(_RESERVED_SUFFIXES):
        yield f"only counters and parts of histograms end in {', '.join(_RESERVED_SUFFIXES)}"
    if not family.help.strip():
        yield "it has no help"
    yield from _label_problems(family)


def _label_problems(family: Family) -> Iterator[str]:
    for label in family.labels:
        if not _LABEL_NAME.fullmatch(label):
            yield f"its label {label!r} is not letters, digits and underscores, or begins with two underscores"
        if label in _RESERVED_LABELS:
            yield f"its label {label!r} belongs to histograms and summaries"
    if len(set(family.labels)) != len(family.labels):
        yield "a label is named twice"
    if family.data_label is not None and family.data_label not in family.labels:
        yield f"its data_label {family.data_label!r} is not one of its labels"


def stem(family: Family) -> str:
    """Return the family's name in OpenMetrics, where only the samples of a counter end in _total."""
    return family.name.removesuffix(_TOTAL) if family.type == "counter" else family.name


def description(family: Family, form: Form) -> bytes:
    """Return the HELP and TYPE lines."""
    text = encodable(family.help).replace("\\", r"\\").replace("\n", r"\n")
    name = family.name
    if form.openmetrics:
        text = text.replace('"', r"\"")
        name = stem(family)
    return f"# HELP {name} {text}\n# TYPE {name} {family.type}\n".encode()


def opening(family: Family, labels: Labels) -> bytes:
    """Return a sample's line up to its value, the space before it included.

    Raises TypeError, ValueError or AttributeError when the labels are not as many texts as the family declares.
    """
    name, names, values = family.name, family.labels, labels
    if family.type == "histogram":
        *kept, part = labels
        values = tuple(kept)
        if part in ("sum", "count"):
            name = f"{name}_{part}"
        else:
            name, names, values = f"{name}_bucket", (*names, "le"), (*kept, _spelled(float(part)))
    if not names and not values:
        return f"{name} ".encode()
    pairs = [f'{label}="{_escaped(value)}"' for label, value in zip(names, values, strict=True)]
    return f"{name}{{{','.join(pairs)}}} ".encode()


def ending(value: float) -> bytes:
    """Return a sample's value and the end of its line.

    Whole numbers have no point, others the shortest text that reads back as the same float; numbers beyond a float
    are infinite, negative zero is zero. Raises TypeError or ValueError for what is no number.
    """
    try:
        number = float(value)
    except OverflowError:
        number = float("inf") if value > 0 else float("-inf")
    if number.is_integer() and -_LARGEST_WHOLE < number < _LARGEST_WHOLE:
        return b"%d\n" % number
    if isfinite(number):
        return b"%a\n" % number
    return f"{_spelled(number)}\n".encode()


def unique(lines: Iterable[bytes]) -> Iterable[bytes]:
    """Return the lines with only the last of those that differ in nothing but the value."""
    return {line[: line.rindex(b" ")]: line for line in lines if line}.values()


def _escaped(value: str) -> str:
    return encodable(value).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _spelled(number: float) -> str:
    """Return the canonical text of a bound or of what is not finite: `0.5`, `1.0`, `+Inf`, `-Inf`, `NaN`."""
    if isfinite(number):
        return repr(number)
    return {"inf": "+Inf", "-inf": "-Inf"}.get(repr(number), "NaN")
