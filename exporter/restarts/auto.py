"""systemd where it has the unit, else the process: as the process monitor's strategy `auto`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporter.config.options import option
from exporter.model import Outcome, Plan, Reading, Retry
from exporter.restarts import process, systemd
from exporter.restarts.process.options import ARGV_HELP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import Item, RestartParts

    Told = tuple[tuple[str | int, ...], str]

ON_HOST: Final = True
VERIFIES: Final = True

ASKED_WITHIN: Final = 5.0
"""Seconds that systemd is asked whether it has the unit."""
BOOTED: Final = Path("/run/systemd/system")
"""A folder that is there where systemd is what the system was started with (sd_booted(3))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(process.Options):
    """A unit of systemd, and the program that is started where systemd does not have that unit; either may be left out.

    The further keys are those of the process.
    """

    argv: tuple[str, ...] = option((), help=ARGV_HELP, example=["/opt/worker", "--queue", "mail"], maximum=1000)
    unit: str | None = option(
        None,
        help="The exact name of the unit, which ends with .service; no pattern.",
        example="worker.service",
        minimum=1,
        maximum=systemd.LONGEST_NAME,
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with either part, and that there is none."""
        if self.unit is not None and (sentence := systemd.problem(self.unit)):
            yield ("unit",), sentence
        if self.argv:
            yield from process.Options.problems(self, configuration)
        elif self.unit is None:
            yield (), "has neither `unit` nor `argv`: give what systemd restarts, or what is started, or both"

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield what the unit alone needs, and options of a process where none is ever started."""
        yield from process.Options.warnings(self, configuration)
        if self.unit is not None and not self.argv:
            yield from systemd.Options(unit=self.unit).warnings(configuration)
            if self.match is not None or self.pid_file is not None:
                yield (), "has no `argv`, so no process is ever looked for: leave `match` and `pid_file` out"


def plan(options: Options) -> Plan:
    """Return both ways, the second one for where systemd does not have the unit."""
    parts = []
    details: dict[str, Any] = {}
    if options.unit is not None:
        found = systemd.plan(systemd.Options(unit=options.unit))
        parts.append(found.sentence)
        details["systemd"] = dict(found.details)
    if options.argv:
        found = process.plan(options)
        parts.append(found.sentence)
        details["process"] = dict(found.details)
    return Plan("; where systemd has no such unit: ".join(parts), details)


async def restart(options: Options, item: Item, parts: RestartParts, timeout: float) -> Outcome:
    """Restart the unit where systemd has it, else the process."""
    until = parts.clock.monotonic() + timeout
    try:
        unit = await _unit(options, min(ASKED_WITHIN, timeout))
    except systemd.NotSeenError as error:
        return Retry(f"nothing was restarted: {error}")
    left = until - parts.clock.monotonic()
    if unit is not None:
        return await systemd.restart(unit, item, parts, left)
    return await process.restart(options, item, parts, left)


async def verify(options: Options, parts: RestartParts, timeout: float) -> Reading:
    """Look at the unit where systemd has it, else at the process."""
    began = parts.clock.monotonic()
    try:
        unit = await _unit(options, timeout)
    except systemd.NotSeenError as error:
        return Reading("unknown", str(error), parts.clock.monotonic() - began, "system")
    left = timeout - (parts.clock.monotonic() - began)
    if unit is not None:
        return await systemd.verify(unit, parts, left)
    return await process.verify(options, parts, left)


async def _unit(options: Options, timeout: float) -> systemd.Options | None:
    """Return the unit where systemd is who restarts it; None where that is the process.

    NotSeenError where systemd is there and does not say: the process could be started beside its unit. One that is
    masked or broken is systemd's as well: somebody meant that, or has to mend it.
    """
    if options.unit is None:
        return None
    unit = systemd.Options(unit=options.unit)
    if not options.argv:
        return unit
    try:
        found = await systemd.facts(options.unit, timeout)
    except systemd.NotSeenError:
        if systemd.program() is not None and BOOTED.is_dir():
            raise
        return None
    return None if found.get("LoadState") == systemd.NO_SUCH_UNIT else unit
