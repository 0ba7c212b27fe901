"""A program that restarts the service: done when it exits with 0. It gets the item as JSON on its standard input."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter import placeholders, programs
from exporter.commands import CommandOptions, carried_out
from exporter.model import Outcome, Plan, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import Item, RestartParts

    Told = tuple[tuple[str | int, ...], str]

ON_HOST: Final = True
VERIFIES: Final = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(CommandOptions):
    """A program and its arguments, as they are written: braces are braces."""

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield a program that is not here, and what looks as if something were filled in."""
        del configuration
        if sentence := programs.absent(self.argv[0]):
            yield ("argv", 0), f"{sentence}; until then it fails on this host"
        for index, text in enumerate(self.argv):
            if placeholders.name(text) is not None:
                yield ("argv", index), f"nothing is filled in here: the program is given {text!r} as it stands"


def plan(options: Options) -> Plan:
    """Return the argument list."""
    return Plan(shlex.join(options.argv), {"argv": list(options.argv)})


async def restart(options: Options, item: Item, parts: RestartParts, timeout: float) -> Outcome:
    """Run the program once; at the deadline it is killed with all that it started."""
    del parts
    return await carried_out(options, options.argv, item, timeout)


async def verify(options: Options, parts: RestartParts, timeout: float) -> Reading:
    """Say that nobody but the service's probe can tell: a program that has ended says nothing of what it started."""
    del options, parts, timeout
    return Reading("unknown", "a program does not say whether what it restarted runs", 0.0)
