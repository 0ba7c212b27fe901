"""A command that restarts a service is run as it is written, learns of the item in JSON, and never outlives us."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from restarts.configured import ITEM, PARTS, mistakes, options, warnings

from exporter import handover, processes
from exporter.model import Done, GiveUp, Outcome, Retry
from exporter.restarts import command

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = [sys.executable, "-I", "-c"]
SUBJECT = replace(ITEM, reason="the alert fires", labels={"alertname": "Down"})
SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), json.load(sys.stdin)]))"


async def run(script: str, *arguments: str, timeout: float = 20.0, **others: Any) -> Outcome:
    """Run a Python script as the command."""
    made = options({"kind": "command", "argv": [*PYTHON, script, *arguments], **others})
    return await command.restart(made, SUBJECT, PARTS, timeout)


ENDS = [
    pytest.param("print('all\\nwell')", Done, "exit status 0: all", id="0"),
    pytest.param("raise SystemExit('disk full')", Retry, "exit status 1: disk full", id="1"),
    pytest.param("raise SystemExit(65)", GiveUp, "exit status 65", id="one to give up on"),
    pytest.param("import os; os.kill(os.getpid(), 15)", Retry, "ended by the signal SIGTERM", id="a signal"),
]


@pytest.mark.parametrize(("script", "kind", "detail"), ENDS)
async def test_the_exit_status_is_the_outcome(script: str, kind: type, detail: str) -> None:
    outcome = await run(script, give_up_on=[64, 65])
    assert (type(outcome), outcome.detail) == (kind, detail)


async def test_the_item_is_on_the_standard_input_and_nothing_of_it_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Braces are braces; the environment is clean but for what is configured, and the folder is none of ours."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:canary@host/name")
    outcome = await run(SHOW, "{key}", "{service}", "$HOME", environment={"LIMIT": "{key}"})
    assert isinstance(outcome, Done)
    argv, environment, folder, document = json.loads(outcome.output)
    assert (argv, folder, document) == (["{key}", "{service}", "$HOME"], "/", handover.document(SUBJECT))
    assert environment.keys() - {"LC_CTYPE"} == processes.clean_environment().keys() | {"LIMIT"}
    assert environment["LIMIT"] == "{key}"


async def test_at_the_deadline_it_is_killed() -> None:
    """What it said until then is kept."""
    outcome = await run("print('begun', flush=True); import time; time.sleep(60)", timeout=1.5)
    assert outcome == Retry("did not end within 1.5 s and was killed", "begun\n")


async def test_a_program_that_went_away_may_come_back(tmp_path: Path) -> None:
    """It was there when the configuration was loaded."""
    program = tmp_path / "restart"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    made = options({"kind": "command", "argv": [str(program)]})
    program.unlink()
    outcome = await command.restart(made, ITEM, PARTS, 5.0)
    assert isinstance(outcome, Retry)
    assert f"'{program}' could not be started" in outcome.detail


def test_the_plan_is_the_argument_list() -> None:
    """With the program as it was found when the configuration was loaded."""
    made = options({"kind": "command", "argv": ["sh", "-c", "echo {key}"]})
    assert made.argv[0] in {"/usr/bin/sh", "/bin/sh"}
    found = command.plan(made)
    assert found.sentence == f"{made.argv[0]} -c 'echo {{key}}'"
    assert found.details == {"argv": [made.argv[0], "-c", "echo {key}"]}


def test_secrets_of_the_environment_are_hidden() -> None:
    """By their names: a program may print what it was given."""
    made = options({"kind": "command", "argv": ["true"], "environment": {"API_TOKEN": "canary-5ecret", "LIMIT": "7"}})
    assert list(made.hidden()) == ["canary-5ecret"]
    assert "canary" not in repr(made)


async def test_it_does_not_say_how_the_service_is() -> None:
    """The service's own probe does."""
    assert not command.VERIFIES
    seen = await command.verify(options({"kind": "command", "argv": ["true"]}), PARTS, 1.0)
    assert seen.state == "unknown"


WRONG = [
    pytest.param({"argv": []}, "argv: ", id="nothing"),
    pytest.param({"argv": ["./restart"]}, "argv[0]: './restart' is a relative path: write the whole", id="relative"),
    pytest.param({"argv": ["true", "a\0b"]}, "argv[1]: holds a NUL character", id="NUL"),
    pytest.param({"argv": ["true"], "environment": {"A=B": "1"}}, "environment.'A=B': wanted a name without", id="="),
    pytest.param({"argv": ["true"], "environment": {"A": "\0"}}, "environment.A: wanted a name without", id="a NUL"),
    pytest.param({"argv": ["true"], "give_up_on": [0]}, "give_up_on[0]: 0 is no exit status of a failure", id="0"),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG)
def test_a_mistake_in_the_configuration_has_its_sentence(keys: dict[str, Any], sentence: str) -> None:
    [told] = mistakes({"kind": "command", **keys})
    assert told.startswith(sentence)


WARNED = [
    pytest.param(["no-such-program"], ["argv[0]: there is no program 'no-such-program' in /usr/"], id="not here"),
    pytest.param(
        ["true", "{service}"],
        ["argv[1]: nothing is filled in here: the program is given '{service}' as it stands"],
        id="nothing is filled in",
    ),
    pytest.param(
        ["{service}"],
        ["argv[0]: nothing is filled in here", "argv[0]: there is no program '{service}'"],
        id="no alert chooses it",
    ),
    pytest.param(["true", "a {b c} ${d}"], [], id="other braces"),
]


@pytest.mark.parametrize(("argv", "sentences"), WARNED)
def test_what_is_hardly_meant_is_a_warning(argv: list[str], sentences: list[str]) -> None:
    """What is missing here may be on the service's own node."""
    found = warnings({"kind": "command", "argv": argv})
    assert len(found) == len(sentences)
    for told, sentence in zip(found, sentences, strict=True):
        assert told.startswith(sentence)


def test_a_program_that_anybody_may_write_to_is_a_mistake(tmp_path: Path) -> None:
    program = tmp_path / "restart"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o757)
    [told] = mistakes({"kind": "command", "argv": [str(program)]})
    assert told.startswith(f"argv[0]: anybody may write to {str(program.resolve())!r}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a program with who started it")
async def test_it_dies_with_us(tmp_path: Path) -> None:
    """What nobody watches any more must not overlap with the next restart: a server that is killed leaves nothing."""
    marker = tmp_path / "number"
    child = f"import os, time; open({str(marker)!r}, 'w').write(f'{{os.getpid()}}.'); time.sleep(60)"
    server = (
        "import asyncio; from exporter.acting import Parts; from exporter.clock import SystemClock\n"
        "from exporter.model import Item; from exporter.restarts import command\n"
        f"options = command.Options(argv={(*PYTHON, child)!r})\n"
        "asyncio.run(command.restart(options, Item(1, 'restarts', 'web'), Parts(SystemClock()), 60.0))\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", server)
    async with asyncio.timeout(30):
        while not (written := _text(marker)).endswith("."):  # noqa: ASYNC110 - a start gives no event
            await asyncio.sleep(0.02)
        started = psutil.Process(int(written[:-1]))
        process.kill()
        await process.wait()
        while started.is_running() and started.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - nor does the end
            await asyncio.sleep(0.02)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
