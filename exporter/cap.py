"""Label values that come from data are made safe and kept few; what falls together is joined, so no count is lost."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final

from exporter.labels import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.model import Family, Labels, Samples

OTHER: Final = "__other__"
"""The label value of what is beyond the series cap."""

MERGES: Final[Mapping[str, Callable[[float, float], float]]] = {"sum": operator.add, "min": min, "max": max}


def capped(samples: Samples, configured: frozenset[str], limit: int) -> tuple[Samples, int]:
    """Return the samples with safe and few label values from data, and how many values were joined.

    Configured values never count against the cap. What falls together is joined by the family's `merge`.
    """
    open_families = {family: family.labels.index(family.data_label) for family in samples if family.data_label}
    values = {labels[place] for family, place in open_families.items() for labels in samples[family]}
    shown = {value: normalised(value) for value in values}
    beyond = set(sorted(set(shown.values()) - configured)[limit:])
    if not beyond and all(value == text for value, text in shown.items()):
        return samples, 0
    shown = {value: OTHER if text in beyond else text for value, text in shown.items()}
    safe: Samples = {
        family: _joined(family, series, open_families[family], shown) if family in open_families else series
        for family, series in samples.items()
    }
    return safe, len(beyond)


def _joined(
    family: Family, series: Mapping[Labels, float], place: int, shown: Mapping[str, str]
) -> dict[Labels, float]:
    merge = MERGES[family.merge]
    found: dict[Labels, float] = {}
    for labels, value in series.items():
        text = shown[labels[place]]
        safe = labels if text == labels[place] else (*labels[:place], text, *labels[place + 1 :])
        found[safe] = merge(found[safe], value) if safe in found else value
    return found
