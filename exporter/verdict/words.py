"""The words of health documents: the one table of what each means.

Words are compared without regard to case; spaces and hyphens are underscores. A word that is not here counts for
nothing: `UNKNOWN` of Spring Boot, `starting`, `green`. `true` and `false` of JSON are up and down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model import State

_LONGEST: Final = 32
"""Characters of a text that can be a word: longer ones are not looked at."""


@dataclass(frozen=True, slots=True)
class Word:
    """A status word, the state that it means, and who writes it."""

    text: str
    state: State
    writer: str


TABLE: Final = (
    Word("healthy", "up", "Watchbridge's guide, ASP.NET Core, Docker"),
    Word("ok", "up", "Watchbridge's guide, NestJS Terminus, health+json, Kubernetes"),
    Word("up", "up", "Spring Boot Actuator, MicroProfile Health, NestJS Terminus, health+json"),
    Word("pass", "up", "health+json"),
    Word("passed", "up", "hand-written checks"),
    Word("passing", "up", "Consul"),
    Word("operational", "up", "status pages"),
    Word("available", "up", "hand-written checks"),
    Word("connected", "up", "hand-written checks of databases"),
    Word("degraded", "degraded", "Watchbridge's guide, ASP.NET Core"),
    Word("warning", "degraded", "Watchbridge's guide, Consul"),
    Word("warn", "degraded", "health+json"),
    Word("unhealthy", "down", "Watchbridge's guide, ASP.NET Core, Docker"),
    Word("error", "down", "Watchbridge's guide, NestJS Terminus, health+json"),
    Word("down", "down", "Spring Boot Actuator, MicroProfile Health, NestJS Terminus, health+json"),
    Word("fail", "down", "health+json"),
    Word("failed", "down", "hand-written checks"),
    Word("failing", "down", "hand-written checks"),
    Word("failure", "down", "hand-written checks"),
    Word("critical", "down", "Consul"),
    Word("unavailable", "down", "hand-written checks"),
    Word("disconnected", "down", "Watchbridge's guide"),
    Word("out_of_service", "down", "Spring Boot Actuator: it asks for no traffic"),
    Word("shutting_down", "down", "NestJS Terminus: it will not answer much longer"),
)

_BY_TEXT: Final = {word.text: word for word in TABLE}
NUMBERS: Final[Mapping[float, Word]] = {
    0: _BY_TEXT["unhealthy"],
    1: _BY_TEXT["degraded"],
    2: _BY_TEXT["healthy"],
}
"""HealthStatus of ASP.NET Core, as its HealthReport is serialised without a converter: 0 is Unhealthy, 2 Healthy.

Source: Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus. Numbers mean this only inside such a report.
"""

_TRUE: Final = Word("true", "up", "")
_FALSE: Final = Word("false", "down", "")


def word_of(value: object) -> Word | None:
    """Return the word that a text or a boolean is, None for any other value."""
    if isinstance(value, str):
        if (word := _BY_TEXT.get(value)) or len(value) > _LONGEST:
            return word
        return _BY_TEXT.get(value.strip().lower().replace("-", "_").replace(" ", "_"))
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    return None
