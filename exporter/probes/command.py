"""A program's exit status, and what it prints: for checks that no other kind makes, Nagios plugins among them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from exporter import patterns, processes, programs, searching, verdict
from exporter.config.options import option
from exporter.config.secrets import looks_secret
from exporter.errors import ProcessNotStartedError
from exporter.model import Family, Reading, Samples
from exporter.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import ProbeParts
    from exporter.processes import Finished

QUOTED: Final = programs.QUOTED
"""Characters of the output that a reason quotes."""
GRACE: Final = 0.5
"""Seconds past the deadline for which the end of a killed program, and of its output, is awaited here."""
SLOW_AFTER: Final = None

NAGIOS: Final = {0: "up", 1: "degraded", 2: "down", 3: "unknown"}
"""The exit statuses of the Monitoring Plugins guidelines: OK, WARNING, CRITICAL, UNKNOWN."""

EXIT: Final = Family(
    "probe_command_exit_status", "gauge", "Exit status of the command; negative: the signal that ended it"
)
FAMILIES: Final = (EXIT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A program that is run: up when it exits with 0, else down."""

    argv: tuple[str, ...] = option(
        help="The program and its arguments; no shell. A program without a path is looked for in the system's folders.",
        example=["/opt/check.sh", "worker"],
        minimum=1,
        maximum=1000,
    )
    # Not shown: what a program is given may be a secret.
    environment: Mapping[str, str] = field(
        default_factory=dict, repr=False, metadata={"help": "Variables beside PATH, LANG and HOME; it gets no others."}
    )
    nagios: bool = option(
        default=False, help="Exit statuses as Nagios reads them: 0 up, 1 degraded, 2 down, 3 unknown."
    )
    json: bool = option(
        default=False,
        help="Standard output is a JSON object with a status; the worse of it and the exit status counts.",
    )
    expect: tuple[str, ...] = option((), help="Regular expressions (RE2) that must all be found in the output.")
    expect_not: tuple[str, ...] = option((), help="Regular expressions (RE2) of which none may be found in the output.")

    def __post_init__(self) -> None:
        """Resolve the program once: what is put into PATH's folders later is not run instead."""
        if self.argv and (found := programs.found(self.argv[0])) is not None:
            object.__setattr__(self, "argv", (found, *self.argv[1:]))

    def hidden(self) -> Iterator[str]:
        """Yield the variables that are secrets by their names: a program may print what it was given."""
        yield from (value for name, value in self.environment.items() if looks_secret(name, value))

    def problems(self, configuration: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what is wrong with the program, its environment and the patterns."""
        del configuration
        if sentence := programs.problem(self.argv[0]):
            yield ("argv", 0), sentence
        for index, text in enumerate(self.argv):
            if "\0" in text:
                yield ("argv", index), "holds a NUL character, which no program can be given"
        yield from self._input_problems()

    def _input_problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for name, value in self.environment.items():
            if "=" in name or "\0" in name + value:
                yield ("environment", name), "wanted a name without = and neither name nor value with a NUL character"
        for key, texts in (("expect", self.expect), ("expect_not", self.expect_not)):
            for index, text in enumerate(texts):
                if sentence := patterns.problem(text):
                    yield (key, index), sentence


def target(options: Options) -> str:
    """Return the program's path: its arguments may hold a secret."""
    return options.argv[0]


def aimed(options: Options, target: str) -> NoReturn:
    """Refuse: nothing from outside ever chooses what is run."""
    del options, target
    raise ValueError("a command takes no target: name a service that is configured with it instead")


def samples(reading: Reading) -> Samples:
    """Return the exit status, where there was one."""
    return {} if reading.facts is None else {EXIT: {(): float(reading.facts)}}


async def probe(options: Options, parts: ProbeParts, timeout: float) -> Reading:
    """Run the program once; at the deadline it is killed with all that it started."""
    began = parts.clock.monotonic()
    parts.explain(f"run {options.argv[0]} with {len(options.argv) - 1} arguments")
    try:
        finished = await _finished(options, timeout)
    except ProcessNotStartedError as error:
        return Reading("unknown", str(error), parts.clock.monotonic() - began, "system")
    duration = parts.clock.monotonic() - began
    if finished is None or finished.timed_out:
        return Reading("down", f"did not end within {timeout:g} s and was killed", duration, "timeout")
    parts.explain(f"ended with the exit status {finished.code} and {len(finished.output)} bytes of output")
    said = len(finished.output) + len(finished.errors)
    try:
        steps = searching.effort((*options.expect, *options.expect_not)) * said
        found = await searching.apart(lambda: _judged(options, finished), steps, max(GRACE, timeout - duration))
    except TimeoutError:
        reason = f"the patterns could not be looked for in {said} bytes of output in time: write simpler ones"
        return Reading("unknown", reason, duration, "config")
    return Reading(found.state, found.reason, duration, found.cause, components=found.components, facts=finished.code)


async def _finished(options: Options, timeout: float) -> Finished | None:
    """Return how the program ended; None where its end cannot even be forced in time (uninterruptible sleep)."""
    environment = processes.clean_environment() | dict(options.environment)
    running = asyncio.create_task(
        processes.run(options.argv, timeout=timeout, environment=environment, errors_apart=True)
    )
    try:
        done, _ = await asyncio.wait({running}, timeout=timeout + GRACE)
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait({running}, timeout=GRACE)
        raise
    if not done:
        _ENDING.add(running)
        running.add_done_callback(_ended)
        return None
    return running.result()


_ENDING: Final[set[asyncio.Task[Finished]]] = set()
"""Killed programs whose end is still awaited; `processes.run` waits some seconds at most."""


def _ended(task: asyncio.Task[Finished]) -> None:
    _ENDING.discard(task)
    if not task.cancelled():
        task.exception()


def _judged(options: Options, finished: Finished) -> Verdict:
    found = _of_exit(options, finished)
    if found.state == "unknown":
        return found
    said = [found, *_of_patterns(options, finished.output + finished.errors)]
    if options.json:
        body = verdict.of_body(finished.output, "application/json")
        wanted = "standard output is no JSON object with a status that is known"
        said.append(body or Verdict("down", f"{wanted}{programs.quoted(finished.output, finished.errors)}", "body", ()))
    return verdict.worse(*said)


def _of_exit(options: Options, finished: Finished) -> Verdict:
    words = programs.ended(finished.code)
    state: Any = "up" if finished.code == 0 else "down"
    quoted = programs.quoted(finished.output, finished.errors)
    if options.nagios:
        state = NAGIOS.get(finished.code, "down")
        quoted = quoted.partition("|")[0].rstrip()  # what follows is performance data
    return Verdict(state, words + quoted, "" if state == "up" else "exit", ())


def _of_patterns(options: Options, output: bytes) -> Iterator[Verdict]:
    for text in options.expect:
        if patterns.compiled(text).search(output) is None:
            yield Verdict("down", f"the output does not match {text!r}", "answer", ())
    for text in options.expect_not:
        if patterns.compiled(text).search(output) is not None:
            yield Verdict("down", f"the output matches {text!r}, which it must not", "answer", ())
