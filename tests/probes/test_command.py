"""A command says by its exit status and its output how a service is, and never outlives its deadline."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from exporter.clock import SystemClock
from exporter.model import Reading
from exporter.probes import command
from exporter.probes.command import Options
from exporter.probing import Parts

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = sys.executable


def parts(steps: list[str] | None = None) -> Parts:
    told = [] if steps is None else steps
    return Parts(wire=None, databases={}, clock=SystemClock(), permits=lambda _: False, tell=told.append)


async def run(script: str, *, timeout: float = 20.0, **options: object) -> Reading:
    """Run a Python script as the command."""
    return await command.probe(Options(argv=(PYTHON, "-I", "-c", script), **options), parts(), timeout)


def problems(options: Options) -> list[tuple[tuple[str | int, ...], str]]:
    return list(options.problems(SimpleNamespace()))


EXITS = [
    pytest.param("pass", False, "up", "", "exit status 0", id="0"),
    pytest.param("print('all\\nwell')", False, "up", "", "exit status 0: all", id="0 with words"),
    pytest.param("import sys; sys.exit(1)", False, "down", "exit", "exit status 1", id="1"),
    pytest.param("import sys; sys.exit('disk full')", False, "down", "exit", "exit status 1: disk full", id="errors"),
    pytest.param(
        "import sys; print(); print('\\n a \\n'); sys.exit(9)", False, "down", "exit", "exit status 9: a", id="9"
    ),
    pytest.param(
        "import os; os.kill(os.getpid(), 15)", False, "down", "exit", "ended by the signal SIGTERM", id="a signal"
    ),
    pytest.param("print('OK - fine | load=1;2')", True, "up", "", "exit status 0: OK - fine", id="nagios 0"),
    pytest.param("print('slow'); raise SystemExit(1)", True, "degraded", "exit", "exit status 1: slow", id="nagios 1"),
    pytest.param("print('bad'); raise SystemExit(2)", True, "down", "exit", "exit status 2: bad", id="nagios 2"),
    pytest.param("raise SystemExit(3)", True, "unknown", "exit", "exit status 3", id="nagios 3"),
    pytest.param("raise SystemExit(4)", True, "down", "exit", "exit status 4", id="nagios 4 is none"),
]


@pytest.mark.parametrize(("script", "nagios", "state", "cause", "reason"), EXITS)
async def test_the_exit_status_is_the_state(script: str, *, nagios: bool, state: str, cause: str, reason: str) -> None:
    reading = await run(script, nagios=nagios)
    assert (reading.state, reading.cause, reading.reason) == (state, cause, reason)


async def test_the_exit_status_is_shown() -> None:
    """Also that of a signal, as a negative number; nothing where there is none."""
    assert command.samples(await run("raise SystemExit(7)")) == {command.EXIT: {(): 7.0}}
    assert command.samples(await run("import os; os.kill(os.getpid(), 9)")) == {command.EXIT: {(): -9.0}}
    assert command.samples(Reading("down", "", 1.0, "timeout")) == {}


PATTERNS = [
    pytest.param({"expect": (r"\bactive\b",)}, "up", "", id="found"),
    pytest.param({"expect": ("active", "^never$")}, "down", "does not match '^never$'", id="one is missing"),
    pytest.param({"expect": ("in the errors",)}, "up", "", id="standard error is output too"),
    pytest.param({"expect_not": ("error|fail",)}, "down", "matches 'error|fail', which it must not", id="forbidden"),
    pytest.param({"expect_not": ("absent",)}, "up", "", id="forbidden and absent"),
]


@pytest.mark.parametrize(("options", "state", "words"), PATTERNS)
async def test_patterns_are_looked_for_in_the_output(options: dict[str, object], state: str, words: str) -> None:
    """A program that exits with 0 is down all the same where its output is not as wanted."""
    reading = await run("import sys; print('active'); print('in the errors', file=sys.stderr)", **options)
    assert reading.state == state
    assert words in reading.reason
    assert reading.cause == ("" if state == "up" else "answer")


BODIES = [
    pytest.param('{"status": "healthy"}', 0, "up", id="healthy"),
    pytest.param('{"status": "degraded"}', 0, "degraded", id="the body is worse"),
    pytest.param('{"status": "healthy"}', 1, "down", id="the exit status is worse"),
    pytest.param('{"status": "unhealthy"}', 0, "down", id="unhealthy"),
    pytest.param("all is well", 0, "down", id="no JSON"),
    pytest.param('{"tatus": 1}', 0, "down", id="no status"),
    pytest.param("", 0, "down", id="nothing"),
]


@pytest.mark.parametrize(("body", "code", "state"), BODIES)
async def test_the_worse_of_body_and_exit_status_wins(body: str, code: int, state: str) -> None:
    """Standard error may hold what it likes: only standard output is read as JSON."""
    script = f"import sys; print('a warning', file=sys.stderr); print({body!r}); sys.exit({code})"
    assert (await run(script, json=True)).state == state


async def test_components_of_the_body_are_those_of_the_reading() -> None:
    body = '{"status": "healthy", "components": {"queue": "up", "disk": "down"}}'
    reading = await run(f"print({body!r})", json=True)
    assert reading.state == "down"
    assert {part.name: part.state for part in reading.components} == {"queue": "up", "disk": "down"}


async def test_a_flood_of_output_is_cut_and_quoted_shortly() -> None:
    """Nor does a terminal's control character come through."""
    reading = await run("print('\\x1b[31m' + 'y' * 30_000_000)")
    assert reading.state == "up"
    assert len(reading.reason) <= len("exit status 0: ") + command.QUOTED
    assert reading.reason.isprintable()
    assert reading.reason.endswith("y…")


async def test_input_is_empty_and_the_environment_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the configuration adds is there, what this process holds is not."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:canary@host/name")
    shown = "sys.stdin.read() == '', os.environ.get('DATABASE_URL'), os.environ['LIMIT'], os.getcwd()"
    script = f"import os, sys; print({shown})"
    reading = await run(script, environment={"LIMIT": "7"})
    assert reading.reason == "exit status 0: True None 7 /"


async def test_at_the_deadline_it_ends_with_all_that_it_started() -> None:
    """The grandchild ignores SIGTERM and holds the output."""
    grandchild = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    script = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-I', '-c', {grandchild!r}]); time.sleep(60)\n"
    )
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    task = asyncio.create_task(run(script, timeout=1.5))
    started: list[psutil.Process] = []
    async with asyncio.timeout(10):
        while len(started) < 2 and not task.done():
            started = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
            await asyncio.sleep(0.02)
    reading = await task
    assert len(started) == 2
    assert (reading.state, reading.cause) == ("down", "timeout")
    assert reading.reason == "did not end within 1.5 s and was killed"
    async with asyncio.timeout(10):
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started):  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.02)  # another process's end gives no event


async def test_an_end_that_cannot_be_forced_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in uninterruptible sleep outlives SIGKILL: the reading comes, and the rest is awaited behind it."""
    pids: list[int] = []
    monkeypatch.setattr("exporter.processes._kill_group", pids.append)
    monkeypatch.setattr(command, "GRACE", 0.05)
    reading = await run("import time; time.sleep(60)", timeout=0.3)
    assert (reading.state, reading.cause) == ("down", "timeout")
    assert len(command._ENDING) == 1
    async with asyncio.timeout(10):
        while not pids:  # noqa: ASYNC110 - the kill is awaited behind the reading
            await asyncio.sleep(0.02)
        os.kill(pids[0], 9)
        while command._ENDING:  # noqa: ASYNC110 - the end of a process gives no event
            await asyncio.sleep(0.02)


async def test_cancelling_ends_the_program() -> None:
    task = asyncio.create_task(run("import time; time.sleep(60)", timeout=60))
    before = {child.pid for child in psutil.Process().children()}
    started: list[psutil.Process] = []
    async with asyncio.timeout(10):
        while not started:
            await asyncio.sleep(0.02)
            started = [one for one in psutil.Process().children() if one.pid not in before]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


async def test_a_program_that_went_away_says_nothing_of_the_service(tmp_path: Path) -> None:
    """It was there when the configuration was loaded."""
    program = tmp_path / "check"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    options = Options(argv=(str(program),))
    program.unlink()
    reading = await command.probe(options, parts(), 5.0)
    assert (reading.state, reading.cause) == ("unknown", "system")
    assert "could not be started" in reading.reason


def test_a_named_program_is_resolved_once_through_a_fixed_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH of this process does not choose what is run."""
    impostor = tmp_path / "true"
    impostor.write_text("#!/bin/sh\n")
    impostor.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    options = Options(argv=("true", "x"))
    assert options.argv[0] in {"/usr/bin/true", "/bin/true"}
    assert options.argv[1:] == ("x",)
    assert problems(options) == []
    assert command.target(options) == options.argv[0]


def _script(folder: Path, mode: int) -> str:
    program = folder / "check"
    program.write_text("#!/bin/sh\n")
    program.chmod(mode)
    return str(program)


PROGRAMS = [
    pytest.param(
        lambda _: "no-such-program-here", "there is no program 'no-such-program-here' in /usr/local/sbin", id="unknown"
    ),
    pytest.param(lambda _: "./check", "is a relative path: write the whole path", id="relative to here"),
    pytest.param(lambda _: "bin/check", "is a relative path: write the whole path", id="relative"),
    pytest.param(lambda _: "../check", "is a relative path: write the whole path", id="relative to above"),
    pytest.param(lambda folder: str(folder / "missing"), "is no program that this user may run", id="missing"),
    pytest.param(str, "is no program that this user may run", id="folder"),
    pytest.param(lambda folder: _script(folder, 0o644), "is no program that this user may run", id="not executable"),
    pytest.param(lambda folder: _script(folder, 0o777), "anybody may write to", id="world-writable"),
]


@pytest.mark.parametrize(("program", "sentence"), PROGRAMS)
def test_a_program_that_cannot_or_must_not_run_is_a_problem(program, sentence: str, tmp_path: Path) -> None:
    """It is told when the configuration is loaded, at the program's place."""
    [(path, told)] = problems(Options(argv=(program(tmp_path),)))
    assert path == ("argv", 0)
    assert sentence in told


@pytest.mark.parametrize("by_link", [False, True], ids=["itself", "by a link"])
def test_a_program_in_a_folder_of_everybody_is_refused(*, by_link: bool, tmp_path: Path) -> None:
    """Whoever may write there may put another program in its place; a link to it does not hide that."""
    shared = tmp_path / "shared"
    shared.mkdir()
    program = _script(shared, 0o755)
    shared.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(program)
    [(path, told)] = problems(Options(argv=(str(link) if by_link else program,)))
    assert path == ("argv", 0)
    assert f"anybody may put a program into {str(shared)!r}" in told


def test_a_program_below_a_folder_of_everybody_is_refused(tmp_path: Path) -> None:
    """The folder could be replaced as a whole, but where the sticky bit is set, as on /tmp."""
    shared = tmp_path / "shared"
    (shared / "own").mkdir(parents=True)
    program = _script(shared / "own", 0o755)
    shared.chmod(0o777)
    [(_, told)] = problems(Options(argv=(program,)))
    assert f"anybody may replace what is in {str(shared)!r}" in told
    shared.chmod(0o1777)
    assert problems(Options(argv=(program,))) == []


OTHERS = [
    pytest.param({"argv": ("true", "a\0b")}, ("argv", 1), "NUL", id="NUL in an argument"),
    pytest.param({"environment": {"A=B": "1"}}, ("environment", "A=B"), "without =", id="a variable's name"),
    pytest.param({"environment": {"A": "a\0"}}, ("environment", "A"), "NUL", id="a variable's value"),
    pytest.param({"expect": ("fine", "(")}, ("expect", 1), "'('", id="a pattern"),
    pytest.param({"expect_not": (r"(?=a)",)}, ("expect_not", 0), "look-around", id="a pattern of another kind"),
]


@pytest.mark.parametrize(("changes", "path", "words"), OTHERS)
def test_what_else_cannot_work_is_a_problem(
    changes: dict[str, object], path: tuple[str | int, ...], words: str
) -> None:
    [(found, told)] = problems(Options(**{"argv": ("true",)} | changes))
    assert found == path
    assert words in told


async def test_no_argument_and_no_variable_is_shown() -> None:
    """They may hold a secret: neither the target nor a step nor the options' own text tells them."""
    steps: list[str] = []
    options = Options(argv=(PYTHON, "-c", "pass #canary1"), environment={"TOKEN": "canary2"})
    reading = await command.probe(options, parts(steps), 20.0)
    assert reading.state == "up"
    assert "canary" not in command.target(options) + reading.reason + "".join(steps)
    assert "canary2" not in repr(options)
    assert steps


def test_no_target_comes_from_outside() -> None:
    with pytest.raises(ValueError, match="takes no target"):
        command.aimed(Options(argv=("true",)), "/bin/sh")


async def test_the_duration_is_that_of_the_program() -> None:
    began = time.monotonic()
    reading = await run("import time; time.sleep(0.2)")
    assert 0.2 <= reading.duration <= time.monotonic() - began


async def test_an_expression_that_takes_too_long_holds_nobody_up() -> None:
    """A program's output may be long, and a pattern may have many states."""
    reading = await run("print('x' * 59_999)", expect=("(x?){1000}y",), timeout=1.0)
    assert (reading.state, reading.cause) == ("unknown", "config")
    assert "could not be looked for in 60000 bytes of output" in reading.reason
