"""A program that the configuration names and that is run for an item, which it gets as JSON on its standard input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exporter import handover, processes, programs
from exporter.config.options import option
from exporter.config.secrets import looks_secret
from exporter.errors import ProcessNotStartedError
from exporter.model import Done, GiveUp, Outcome, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.model import Item

    Told = tuple[tuple[str | int, ...], str]

_LAST_STATUS: Final = 255
_READ: Final = handover.OUTPUT + handover.MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """A program and its arguments, as they are written."""

    argv: tuple[str, ...] = option(
        help="The program and its arguments; no shell, and nothing in them is filled in. A program without a path is "
        "looked for in the system's folders.",
        example=["/opt/restart.sh", "worker"],
        minimum=1,
        maximum=1000,
    )
    # Not shown: what a program is given may be a secret.
    environment: Mapping[str, str] = field(
        default_factory=dict, repr=False, metadata={"help": "Variables beside PATH, LANG and HOME; it gets no others."}
    )
    give_up_on: tuple[int, ...] = option(
        (), help="Exit statuses after which no further attempt is made.", example=[64, 65], maximum=100
    )

    def __post_init__(self) -> None:
        """Resolve the program once: what is put into PATH's folders later is not run instead."""
        if self.argv and (found := programs.found(self.argv[0])) is not None:
            object.__setattr__(self, "argv", (found, *self.argv[1:]))

    def hidden(self) -> Iterator[str]:
        """Yield the variables that are secrets by their names: a program may print what it was given."""
        yield from (value for name, value in self.environment.items() if looks_secret(name, value))

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with the program, its arguments, its environment and its statuses."""
        del configuration
        if sentence := programs.untrusted(self.argv[0]):
            yield ("argv", 0), sentence
        yield from self.unfit()

    def unfit(self) -> Iterator[Told]:
        """Yield what no program can be given, and what is no status of one."""
        for index, text in enumerate(self.argv):
            if "\0" in text:
                yield ("argv", index), "holds a NUL character, which no program can be given"
        for name, value in self.environment.items():
            if "=" in name or "\0" in name + value:
                yield ("environment", name), "wanted a name without = and neither name nor value with a NUL character"
        for index, code in enumerate(self.give_up_on):
            if not 1 <= code <= _LAST_STATUS:
                yield ("give_up_on", index), f"{code} is no exit status of a failure: write 1 to {_LAST_STATUS}"


async def carried_out(options: CommandOptions, argv: Sequence[str], item: Item, timeout: float) -> Outcome:
    """Run an argument list with the environment of the options, once, and return what its end means.

    At the deadline, or when this call is cancelled, it is killed with all that it started; and it dies with us.
    """
    try:
        finished = await processes.run(
            argv,
            stdin=handover.encoded(handover.document(item)) + b"\n",
            timeout=timeout,
            dies_with_us=True,
            environment=processes.clean_environment() | dict(options.environment),
            output_limit=_READ,
        )
    except ProcessNotStartedError as error:
        return Retry(str(error))
    output = finished.output.decode(errors="replace")
    if finished.timed_out:
        return Retry(f"did not end within {timeout:g} s and was killed", output)
    said = programs.ended(finished.code) + programs.quoted(finished.output)
    if finished.code == 0:
        return Done(said, output)
    return GiveUp(said, output) if finished.code in options.give_up_on else Retry(said, output)
