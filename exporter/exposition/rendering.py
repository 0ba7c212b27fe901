"""The body of a scrape, in which only the lines whose value changed since the last one are written again.

Between two scrapes most of the work is already done: the lines of the last render are kept beside their labels and
values, and lists are compared element by element without leaving C. What is kept is what the last render showed.
"""

from __future__ import annotations

from itertools import chain, compress
from operator import ne
from threading import Lock
from typing import TYPE_CHECKING, Final

from exporter.errors import FamilyDeclarationError
from exporter.exposition.families import checked, description, ending, opening, stem, unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exporter.exposition.negotiation import Form
    from exporter.model import Family, Labels, Samples

_REPLACED: Final = "\ufffd".encode()
_BLOCK: Final = 16384  # labels compared in one C call: under 2 ms, so that other threads get their turn


class Exposition:
    """Renders samples, incrementally.

    Any thread may call it and calls wait for each other, so an event loop calls it in a thread. At 100,000 series a
    render takes tens of milliseconds, the first one half a second; `benchmarks/` measures what a loop beside it feels.
    """

    def __init__(self, families: Iterable[Family]) -> None:
        """Declare the families known beforehand; others are added when their first samples come.

        Raises FamilyDeclarationError for a family that breaks a rule, or that contradicts another of its name.
        """
        self.refused = 0
        """How many series the last render left out: their family, labels or value could not be written."""
        self._families: dict[str, Family] = {}
        self._kept: dict[Family, _Kept] = {}
        self._lock = Lock()
        for family in families:
            self._declared(family)

    def render(self, samples: Iterable[Samples], form: Form) -> bytes:
        """Return the body of an answer: the given sources' samples, joined, families in the order of their names.

        Of a combination of label values that comes twice, the last value counts. A family without samples is not
        shown. What cannot be written is left out and counted in `refused`; nothing raises. The two forms share
        what is kept; a render of fewer families forgets the others, so filtered scrapes want an Exposition of their
        own.
        """
        with self._lock:
            parts, self.refused = self._gathered(samples)
            self._kept = {family: self._kept.get(family) or _Kept(family) for family in sorted(parts, key=_name)}
            pieces: list[Iterable[bytes]] = []
            for family, kept in self._kept.items():
                lines = kept.refreshed(_joined(parts[family]))
                self.refused += len(kept.refused)
                if len(kept.refused) < len(kept.lines):
                    pieces += ((description(family, form),), lines)
            if form.openmetrics:
                pieces.append((b"# EOF\n",))
            return b"".join(list(chain.from_iterable(pieces)))

    def _gathered(self, samples: Iterable[Samples]) -> tuple[dict[Family, list[Mapping[Labels, float]]], int]:
        """Return what there is to show of each family, in the order of the sources, and how many series are not."""
        parts: dict[Family, list[Mapping[Labels, float]]] = {}
        refused = 0
        for source in samples:
            for met, series in source.items():
                if not series:
                    continue
                try:
                    parts.setdefault(self._declared(met), []).append(series)
                except FamilyDeclarationError:
                    refused += len(series)
        return parts, refused

    def _declared(self, family: Family) -> Family:
        """Return the family under which a declaration's samples are shown: the first of equal ones."""
        known = self._families.get(stem(family))
        if known is family:
            return family
        if known is None:
            self._families[stem(family)] = checked(family)
            return family
        if _declaration(known) != _declaration(family):
            raise FamilyDeclarationError(family=family.name, reason=f"it contradicts the {known.type} {known.name!r}")
        return known


class _Kept:
    """What the last render showed of one family, and how to bring it up to date."""

    __slots__ = ("family", "labels", "lines", "refused", "replaced", "values")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.labels: list[Labels] = []
        self.values: list[float | None] = []
        self.lines: list[bytes] = []  # an empty line has not been written yet, or could not be
        self.refused: set[int] = set()
        self.replaced = False  # a character was replaced, so two combinations may have become one

    def refreshed(self, series: Mapping[Labels, float]) -> Iterable[bytes]:
        """Return the lines of the series, in their order, writing those whose value changed."""
        labels = list(series)
        values: list[float | None] = list(series.values())
        if not _same(labels, self.labels):
            self._align(labels)
        self.labels = labels  # the newer of equal tuples: the next comparison then finds the same objects
        lines, refused = self.lines, self.refused
        for place in _changed(values, self.values):
            lines[place] = line = self._line(lines[place], labels[place], values[place])
            (refused.discard if line else refused.add)(place)
        if not refused:
            self.refused = set()  # a set keeps the table of its largest size, which is that of the first render
        self.values = values
        return unique(self.lines) if self.replaced else self.lines

    def _align(self, labels: list[Labels]) -> None:
        """Bring what is kept into the order of the labels; what is new has no value and an empty line."""
        places = {of: place for place, of in enumerate(self.labels)}
        lines, values = [*self.lines, b""], [*self.values, None]
        kept = [places.get(of, -1) for of in labels]
        self.lines = [lines[place] for place in kept]
        self.values = [values[place] for place in kept]
        self.refused = {place for place, line in enumerate(self.lines) if not line}
        self.replaced = self.replaced and any(_REPLACED in line for line in self.lines)

    def _line(self, line: bytes, labels: Labels, value: float | None) -> bytes:
        """Return the line with another value; an empty one when there is no writing it."""
        try:
            start = line[: line.rindex(b" ") + 1] if line else opening(self.family, labels)
            if not line and _REPLACED in start:
                self.replaced = True
            return start + ending(value)  # type: ignore[arg-type] # None raises TypeError like all that is no number
        except (TypeError, ValueError, AttributeError):
            return b""


def _same(left: list[Labels], right: list[Labels]) -> bool:
    """Return whether two lists are equal, a block at a time."""
    return len(left) == len(right) and all(
        left[start : start + _BLOCK] == right[start : start + _BLOCK] for start in range(0, len(left), _BLOCK)
    )


def _changed(new: list[float | None], old: list[float | None]) -> Sequence[int]:
    """Return the places at which two lists of one length differ."""
    try:
        return () if new == old else list(compress(range(len(new)), map(ne, new, old)))
    except ArithmeticError:  # a signalling NaN of a SQL driver's Decimal refuses even to be compared
        return range(len(new))


def _joined(parts: list[Mapping[Labels, float]]) -> Mapping[Labels, float]:
    if len(parts) == 1:
        return parts[0]
    joined: dict[Labels, float] = {}
    for part in parts:
        joined.update(part)
    return joined


def _name(family: Family) -> str:
    return family.name


def _declaration(family: Family) -> tuple[str, str, str, tuple[str, ...]]:
    return family.name, family.type, family.help, family.labels
