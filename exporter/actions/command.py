"""A program that is run for each item: done when it exits with 0. It gets the item as JSON on its standard input."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from exporter import placeholders, programs
from exporter.commands import CommandOptions, carried_out
from exporter.config.options import option
from exporter.model import GiveUp, Outcome, Plan
from exporter.placeholders import PlaceholderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import ActionParts, Item

    Told = tuple[tuple[str | int, ...], str]

END_OF_OPTIONS: Final = "--"
_INTERPRETER: Final = re.compile(r"(|ba|da|z|k|a|fi|c|tc)sh|(python|perl|ruby|php|lua|node)[0-9.]*|su|pwsh")
_CODE_FOLLOWS: Final = re.compile(r"-[A-Za-z]*[cer]|--(command|eval|print)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(CommandOptions):
    """A program and its arguments, each of which may be one whole {placeholder}."""

    argv: tuple[str, ...] = option(
        help="The program and its arguments; no shell. A program without a path is looked for in the system's folders. "
        "An argument may be {key}, {id}, {queue}, {reason}, {service}, {incident}, {attempt} or the {name} of a label "
        "of the alert: always the whole argument. Put -- before those that could begin with a hyphen.",
        example=["/opt/sync-user", "{key}"],
        minimum=1,
        maximum=1000,
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with the program, its arguments and its environment."""
        del configuration
        if sentence := placeholders.misplaced(self.argv[0]):
            yield ("argv", 0), f"no alert chooses the program: {sentence}"
        elif sentence := programs.problem(self.argv[0]) or self._batch_problem():
            yield ("argv", 0), sentence
        yield from self.unfit()
        for index, text in enumerate(self.argv):
            if index and "\0" not in text and (sentence := placeholders.problem(text) or self._code_problem(index)):
                yield ("argv", index), sentence
        for name, value in self.environment.items():
            if sentence := placeholders.misplaced(value):
                yield ("environment", name), f"what an alert says never becomes a variable: {sentence}"

    def _code_problem(self, index: int) -> str | None:
        """Refuse what an interpreter would run: there an alert is no argument but the program."""
        known = any(_INTERPRETER.fullmatch(PurePath(text).name) for text in self.argv[: index - 1])
        if known and _CODE_FOLLOWS.fullmatch(self.argv[index - 1]) and placeholders.name(self.argv[index]):
            return "an alert would be run as a program: write the program here, and the placeholder behind it"
        return None

    def _batch_problem(self) -> str | None:
        """Refuse what Windows hands to its shell: that reads an argument again, and runs what follows an &."""
        is_batch = PurePath(self.argv[0]).suffix.lower() in {".bat", ".cmd"}
        if sys.platform == "win32" and is_batch and any(map(placeholders.name, self.argv)):
            return "Windows gives the arguments of a batch file to a shell: use a program, or no placeholders"
        return None


def plan(options: Options, item: Item) -> Plan:
    """Return the argument list; PlaceholderError says which argument cannot be filled in."""
    argv = _filled(options, item)
    return Plan(shlex.join(argv), {"argv": argv})


def _filled(options: Options, item: Item) -> list[str]:
    facts = placeholders.facts(item)
    argv: list[str] = []
    for text in options.argv:
        value = placeholders.filled(text, facts)
        if placeholders.name(text) is not None:
            _check(text, value, is_behind_options=END_OF_OPTIONS in argv[1:])
        argv.append(value)
    return argv


def _check(text: str, value: str, *, is_behind_options: bool) -> None:
    """Refuse a value that the program could take for more than a value."""
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise PlaceholderError(f"what {text!r} stands for holds a character that no program can be given")
    if value.startswith("-") and not is_behind_options:
        raise PlaceholderError(
            f"what {text!r} stands for begins with a hyphen, which a program could take for an option: put -- before "
            "it in argv"
        )


async def act(options: Options, item: Item, parts: ActionParts, timeout: float) -> Outcome:
    """Run the program once; at the deadline it is killed with all that it started."""
    del parts
    try:
        argv = _filled(options, item)
    except PlaceholderError as error:
        return GiveUp(str(error))
    return await carried_out(options, argv, item, timeout)
