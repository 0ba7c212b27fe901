"""A kind with options of several types.

A second paragraph that no schema needs.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- the schema is generated from the annotations
from dataclasses import dataclass
from typing import Annotated

from exporter.config.options import Choice, Duration, Kind, Secret, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a kind."""

    url: str = option(help="A text.", example="http://h/", minimum=1)
    count: int = option(1, help="A number.", minimum=1, maximum=9)
    wait: Duration = option(Duration(1.0), help="A time.", minimum=1)
    key: Secret | None = option(None, help="A key.")
    verify: Annotated[Choice, Kind("samples")] | None = option(None, help="A kind in a kind, of its own family.")
    steps: tuple[Annotated[Choice, Kind("samples")], ...] = option((), help="Several.", maximum=3)
    named: Mapping[str, Annotated[Choice, Kind("samples")]] = option(default_factory=dict, help="By name.")

    def problems(self, configuration):
        """Yield a mistake that only the options show."""
        if self.count == 7:
            yield ("count",), "is seven"

    def warnings(self, configuration):
        """Yield what is hardly meant."""
        if self.count == 8:
            yield ("count",), "is eight"
