"""Which form a request gets: RFC 9110, section 12.5.1, over the forms that Prometheus knows.

Prometheus 2.42 asks for OpenMetrics 1.0.0, then 0.0.1 (q=0.75), then text 0.0.4 (q=0.5), then anything (q=0.1).
Prometheus 3 adds `escaping=allow-utf-8` and text 1.0.0, which we do not write: our names need no quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ESCAPINGS: Final = ("allow-utf-8", "underscores", "dots", "values")
"""The words of `escaping` that Prometheus knows; all names here are valid under each of them."""

_UNKNOWN_ESCAPING: Final = "underscores"

# Elements and parameters are split outside of quotes. An unclosed quote reaches to the end: were it to fail there,
# a header of escaped quotes would take quadratic time.
_QUOTED: Final = r'"(?:[^"\\]|\\.?)*(?:"|\Z)'
_ELEMENT: Final = re.compile(rf"(?:{_QUOTED}|[^,])+", re.DOTALL)
_PARAMETER: Final = re.compile(rf"(?:{_QUOTED}|[^;])+", re.DOTALL)
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")  # RFC 9110, section 12.4.2
_LONGEST: Final = 8192  # what the server lets a header be


class Form(Enum):
    """A form of the exposition, in the order in which we like to give them."""

    OPENMETRICS_1_0_0 = ("application/openmetrics-text", "1.0.0")
    OPENMETRICS_0_0_1 = ("application/openmetrics-text", "0.0.1")
    TEXT_0_0_4 = ("text/plain", "0.0.4")

    @property
    def openmetrics(self) -> bool:
        """Whether the body follows the OpenMetrics specification; both of its versions have the same body here."""
        return self is not Form.TEXT_0_0_4

    @property
    def content_type(self) -> str:
        """The value of the Content-Type header, without escaping."""
        media_type, version = self.value
        return f"{media_type}; version={version}; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ContentType:
    """What a request gets: the form, and the escaping to name in the answer when the request named one."""

    form: Form
    escaping: str | None = None

    def __str__(self) -> str:
        """Return the value of the Content-Type header."""
        return self.form.content_type + (f"; escaping={self.escaping}" if self.escaping else "")


@dataclass(frozen=True, slots=True)
class Weighted:
    """One element of an Accept or Accept-Encoding header: a lower-case name, its parameters, its weight of 0 to 1."""

    name: str
    parameters: dict[str, str]
    weight: float


def weighted(header: str) -> Iterator[Weighted]:
    """Yield the well-formed elements of a header and pass over the rest; never raises."""
    for element in _ELEMENT.findall(header[:_LONGEST]):
        parts = [part.strip() for part in _PARAMETER.findall(element)]
        parameters: dict[str, str] = {}
        for pair in parts[1:]:
            key, _, value = pair.partition("=")
            parameters.setdefault(key.strip().lower(), value.strip().strip('"'))
        weight = parameters.pop("q", "1")
        if parts and _WEIGHT.fullmatch(weight):
            yield Weighted(parts[0].lower(), parameters, float(weight))


def negotiate(accept: str | None) -> ContentType:
    """Return the form that the Accept header gives the most weight, text 0.0.4 when it names none of ours.

    The most specific element that fits a form weighs it. Equal weights: the more specific element, then OpenMetrics
    1.0.0, but text for a bare `*/*`, which is what people and their tools send. Never raises.
    """
    elements = list(weighted(accept or ""))
    best: tuple[tuple[float, int, int], ContentType] | None = None
    for place, form in enumerate(Form):
        fitting = [(specificity, element) for element in elements if (specificity := _specificity(element, form))]
        if not fitting:
            continue
        specificity, element = max(fitting, key=lambda pair: (pair[0], pair[1].weight))
        liking = -((place + 1) % len(Form)) if specificity == 1 else -place
        rank = (element.weight, specificity, liking)
        if element.weight > 0 and (best is None or rank > best[0]):
            best = rank, ContentType(form, _escaping(element))
    return best[1] if best else ContentType(Form.TEXT_0_0_4)


def _specificity(element: Weighted, form: Form) -> int:
    """Return how closely an element names a form: 0 not at all, 1 `*/*`, 2 `type/*`, 3 the type, 4 its version."""
    media_type, version = form.value
    asked = element.parameters.get("version")
    if asked not in (None, version):
        return 0
    if element.name == media_type:
        return 4 if asked else 3
    if element.name == media_type.partition("/")[0] + "/*":
        return 2
    return 1 if element.name == "*/*" else 0


def _escaping(element: Weighted) -> str | None:
    asked = element.parameters.get("escaping")
    if asked is None or asked in ESCAPINGS:
        return asked
    return _UNKNOWN_ESCAPING
