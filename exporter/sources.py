"""From a configuration to what is scraped: the databases and sources of one generation of the program."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter import blackbox, kinds, scrape
from exporter.databases import open_database

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.blackbox import Known
    from exporter.bridge.bridge import Bridge
    from exporter.config import Configuration
    from exporter.databases.database import Database
    from exporter.model import Clock, Family, Reload, Source
    from exporter.services.watch import Watch


@dataclass(frozen=True, slots=True)
class Generation:
    """What one configuration made: the `Parts` that collectors build on, and the sources that they built."""

    configuration: Configuration
    clock: Clock
    reload: Reload
    databases: Mapping[str, Database]
    modules: Known
    watch: Watch | None = None
    bridge: Bridge | None = None
    _made: list[Source] = field(default_factory=list)

    def options(self, collector: str) -> Mapping[str, Any]:
        """Return the configured sources of a collector by name; also those of a section that is more than sources."""
        found = self.configuration.collectors.get(collector)
        return found or getattr(self.configuration, collector, {})

    @property
    def sources(self) -> list[Source]:
        """Return the sources of every collector, made at the first call."""
        if not self._made:
            for word in kinds.words("collectors"):
                self._made.extend(kinds.load("collectors", word).sources(self))
        return self._made

    async def close(self, *, keep: Mapping[str, Database]) -> None:
        """Close the databases that the next generation did not take over."""
        dropped = [database for name, database in self.databases.items() if keep.get(name) is not database]
        await asyncio.gather(*(database.close() for database in dropped))


def generation(
    configuration: Configuration,
    clock: Clock,
    reload: Reload,
    earlier: Generation | None,
    watch: Watch | None = None,
    bridge: Bridge | None = None,
) -> Generation:
    """Return the parts of a configuration; databases whose options are the same keep their connections.

    Raises ConfigurationError for a missing driver or an unusable URL: before anything that runs was touched.
    """
    databases: dict[str, Database] = {}
    for name, options in configuration.databases.items():
        kept = earlier.databases.get(name) if earlier else None
        databases[name] = kept if kept is not None and kept.options == options else open_database(name, options)
    made = Generation(configuration, clock, reload, databases, blackbox.known(configuration), watch, bridge)
    _ = made.sources
    return made


def families() -> tuple[Family, ...]:
    """Return every family that this program can show."""
    of_kinds = (family for word in kinds.words("collectors") for family in kinds.load("collectors", word).FAMILIES)
    return (*scrape.FAMILIES, *of_kinds)
