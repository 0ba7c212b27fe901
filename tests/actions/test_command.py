"""A command is run as it is configured, learns of the item in JSON, and never outlives its deadline."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from actions.settings import DOCUMENT, ITEM, mistakes, options, parts

from exporter import processes
from exporter.actions import command
from exporter.handover import MARGIN, OUTPUT
from exporter.model import Done, GiveUp, Item, Outcome, Retry
from exporter.placeholders import PlaceholderError

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = [sys.executable, "-I", "-c"]
SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), json.load(sys.stdin)]))"


async def run(script: str, *arguments: str, item: Item = ITEM, timeout: float = 20.0, **others: Any) -> Outcome:
    """Run a Python script as the command."""
    made = options({"kind": "command", "argv": [*PYTHON, script, *arguments], **others})
    return await command.act(made, item, parts(), timeout)


async def shown(*arguments: str, item: Item = ITEM, **others: Any) -> tuple[list[str], dict[str, str], str, Any]:
    """Return what a program is given: arguments, environment, folder, and the JSON of its standard input."""
    outcome = await run(SHOW, *arguments, item=item, **others)
    assert isinstance(outcome, Done), outcome
    argv, environment, folder, document = json.loads(outcome.output)
    return argv, environment, folder, document


ENDS = [
    pytest.param("pass", Done, "exit status 0", id="0"),
    pytest.param("print('all\\nwell')", Done, "exit status 0: all", id="0 with words"),
    pytest.param("raise SystemExit(1)", Retry, "exit status 1", id="1"),
    pytest.param("raise SystemExit('disk full')", Retry, "exit status 1: disk full", id="errors are output too"),
    pytest.param("raise SystemExit(65)", GiveUp, "exit status 65", id="one to give up on"),
    pytest.param("raise SystemExit(255)", Retry, "exit status 255", id="255"),
    pytest.param("import os; os.kill(os.getpid(), 15)", Retry, "ended by the signal SIGTERM", id="a signal"),
]


@pytest.mark.parametrize(("script", "kind", "detail"), ENDS)
async def test_the_exit_status_is_the_outcome(script: str, kind: type, detail: str) -> None:
    outcome = await run(script, give_up_on=[64, 65])
    assert (type(outcome), outcome.detail) == (kind, detail)


async def test_the_output_is_kept() -> None:
    """Of both streams, whatever the bytes."""
    script = "import sys; sys.stdout.buffer.write(b'a\\xff\\n'); sys.stdout.flush(); print('b', file=sys.stderr)"
    assert await run(script) == Done("exit status 0: a\ufffd", "a\ufffd\nb\n")


async def test_a_flood_of_output_is_cut() -> None:
    """With what a redaction needs beyond the bound."""
    outcome = await run("print('y' * 30_000_000)")
    assert len(outcome.output) == OUTPUT + MARGIN


async def test_the_item_is_on_the_standard_input_and_nothing_of_it_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is clean but for what is configured, the folder is none of ours."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:canary@host/name")
    argv, environment, folder, document = await shown("--", "{key}", environment={"LIMIT": "7"})
    assert (argv, folder, document) == (["--", "4711"], "/", DOCUMENT)
    assert environment.keys() - {"LC_CTYPE"} == processes.clean_environment().keys() | {"LIMIT"}
    assert environment["LIMIT"] == "7"


async def test_input_that_nobody_reads_does_no_harm() -> None:
    """Neither a program that ends at once nor one that closes it."""
    big = replace(ITEM, annotations={str(n): "x" * 4000 for n in range(64)})
    assert isinstance(await run("import os; os.close(0)", item=big), Done)


HOSTILE = [
    "a;reboot",
    "$(id)",
    "`id`",
    "*",
    "../../x",
    "reboot.target",
    "a.service b.service",
    "{key}",
    "%s %(x)s",
    "a\nb",
    "'\"\\",
    "💥",
]


@pytest.mark.parametrize("value", HOSTILE, ids=[f"B08 {value!r}" for value in HOSTILE])
async def test_a_hostile_label_is_one_argument(value: str) -> None:
    """As it is, with nothing in it understood by anybody."""
    item = replace(ITEM, labels={"user": value})
    argv, *_ = await shown("{user}", "fixed", item=item)
    assert argv == [value, "fixed"]


@pytest.mark.parametrize("value", ["--now", "-Hevil", "-", "--", "-1"], ids=lambda value: f"B08 {value}")
async def test_a_label_never_becomes_an_option(value: str, tmp_path: Path) -> None:
    """Nothing is run; behind -- it is an argument like any other."""
    item, marker = replace(ITEM, key=value), tmp_path / "ran"
    outcome = await run(f"open({str(marker)!r}, 'w')", "{key}", item=item)
    assert isinstance(outcome, GiveUp)
    assert "'{key}' stands for begins with a hyphen, which a program could take for an option: put --" in outcome.detail
    assert not marker.exists()
    assert (await shown("--", "{key}", item=item))[0] == ["--", value]


NAMES = ["a=b", "", "x" * 10_000, "__proto__", "BASH_FUNC_x%%", "LD_PRELOAD", "PYTHONSTARTUP", "PATH", "HOME"]


@pytest.mark.parametrize("name", NAMES, ids=[f"B09 {name[:20]}" for name in NAMES])
async def test_the_name_of_a_label_never_becomes_a_variable(name: str) -> None:
    """It stands in the JSON alone."""
    argv, environment, _, document = await shown(item=replace(ITEM, labels={name: "evil"}, annotations={name: "evil"}))
    assert argv == []
    assert environment.keys() - {"LC_CTYPE"} == processes.clean_environment().keys()
    assert "evil" not in environment.values()
    assert document["labels"] == document["annotations"] == {name: "evil"}


async def test_a_lone_surrogate_reaches_nobody() -> None:
    """Not every reader of JSON takes one."""
    document = (await shown(item=replace(ITEM, labels={"a\ud800": "\udfff"}, reason="\ud800")))[3]
    assert (document["labels"], document["reason"]) == ({"a\ufffd": "\ufffd"}, "\ufffd")


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        pytest.param(replace(ITEM, labels={}), "there is no 'user' to put into '{user}'", id="absent"),
        pytest.param(replace(ITEM, labels={"user": ""}), "there is no 'user' to put into '{user}'", id="empty"),
        pytest.param(replace(ITEM, labels={"user": "a\0b"}), "a character that no program can be given", id="NUL"),
        pytest.param(replace(ITEM, labels={"user": "\ud800"}), "a character that no program can be given", id="text"),
    ],
)
async def test_what_cannot_be_filled_in_runs_nothing(item: Item, sentence: str, tmp_path: Path) -> None:
    """The plan says so too."""
    marker = tmp_path / "ran"
    made = options({"kind": "command", "argv": [*PYTHON, f"open({str(marker)!r}, 'w')", "{user}"]})
    outcome = await command.act(made, item, parts(), 5.0)
    assert isinstance(outcome, GiveUp)
    assert sentence in outcome.detail
    assert not marker.exists()
    with pytest.raises(PlaceholderError, match="user"):
        command.plan(made, item)


def _below() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


async def _started(task: asyncio.Task[Outcome], before: set[psutil.Process], count: int) -> list[psutil.Process]:
    """Return the new processes below this one, where servers of other tests may run, once there are as many."""
    async with asyncio.timeout(30):
        while len(found := _below() - before) < count and not task.done():  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.02)
    return list(found)


async def _all_end(found: list[psutil.Process]) -> None:
    async with asyncio.timeout(30):
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in found):  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.02)  # another process's end gives no event


GRANDCHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
PARENT = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-I', '-c', {GRANDCHILD!r}]); time.sleep(60)"


async def test_at_the_deadline_it_ends_with_all_that_it_started() -> None:
    """The grandchild ignores SIGTERM and holds the output; what was said until then is kept."""
    before = _below()
    task = asyncio.create_task(run(f"print('begun', flush=True); {PARENT}", timeout=5))
    found = await _started(task, before, 2)
    outcome = await task
    assert outcome == Retry("did not end within 5 s and was killed", "begun\n")
    assert len(found) == 2
    await _all_end(found)


async def test_cancelling_ends_it_with_all_that_it_started() -> None:
    before = _below()
    task = asyncio.create_task(run(PARENT, timeout=60))
    found = await _started(task, before, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _all_end(found)


async def test_a_program_that_went_away_may_come_back(tmp_path: Path) -> None:
    """It was there when the configuration was loaded."""
    program = tmp_path / "sync"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    made = options({"kind": "command", "argv": [str(program)]})
    program.unlink()
    outcome = await command.act(made, ITEM, parts(), 5.0)
    assert isinstance(outcome, Retry)
    assert f"'{program}' could not be started" in outcome.detail


def test_the_plan_is_the_argument_list() -> None:
    """In words as a shell would need them, though none reads them."""
    made = options({"kind": "command", "argv": ["sh", "-c", "echo ${HOME}", "--", "{key}", "{severity}"]})
    item = replace(ITEM, key="a; reboot")
    argv = [made.argv[0], "-c", "echo ${HOME}", "--", "a; reboot", "page"]
    assert argv[0] in {"/usr/bin/sh", "/bin/sh"}
    found = command.plan(made, item)
    assert found.sentence == f"{argv[0]} -c 'echo ${{HOME}}' -- 'a; reboot' page"
    assert found.details == {"argv": argv}


def test_secrets_of_the_environment_are_hidden() -> None:
    """By their names: a program may print what it was given."""
    made = options({"kind": "command", "argv": ["true"], "environment": {"API_TOKEN": "canary-5ecret", "LIMIT": "7"}})
    assert list(made.hidden()) == ["canary-5ecret"]
    assert "canary" not in repr(made)


WRONG = [
    pytest.param(
        {"argv": ["no-such-program"]}, "argv[0]: there is no program 'no-such-program' in /usr/local/sbin", id="unknown"
    ),
    pytest.param({"argv": ["./sync"]}, "argv[0]: './sync' is a relative path: write the whole path", id="relative"),
    pytest.param(
        {"argv": ["{program}"]}, "argv[0]: no alert chooses the program: '{program}' would not be", id="no program"
    ),
    pytest.param(
        {"argv": ["/opt/{service}"]}, "argv[0]: no alert chooses the program: '{service}' would", id="part of a program"
    ),
    pytest.param({"argv": ["true", "a\0b"]}, "argv[1]: holds a NUL character", id="NUL"),
    pytest.param(
        {"argv": ["true", "--user={key}"]}, "argv[1]: '{key}' stands within other text: a placeholder is", id="part"
    ),
    pytest.param({"argv": ["true", "{ {a} {key}"]}, "argv[1]: '{a}' stands within other text", id="several"),
    pytest.param({"argv": ["true"], "environment": {"A=B": "1"}}, "environment.'A=B': wanted a name without =", id="="),
    pytest.param(
        {"argv": ["true"], "environment": {"A": "\0"}}, "environment.A: wanted a name without =", id="NUL too"
    ),
    pytest.param(
        {"argv": ["true"], "environment": {"USER_ID": "{key}"}},
        "environment.USER_ID: what an alert says never becomes a variable: '{key}' would not be filled in here",
        id="variable",
    ),
    pytest.param(
        {"argv": ["true"], "give_up_on": [1, 0]}, "give_up_on[1]: 0 is no exit status of a failure: write 1 to", id="0"
    ),
    pytest.param({"argv": ["true"], "give_up_on": [256]}, "give_up_on[0]: 256 is no exit status", id="256"),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG)
def test_a_mistake_in_the_configuration_has_its_sentence(keys: dict[str, Any], sentence: str) -> None:
    [told] = mistakes({"kind": "command", **keys})
    assert told.startswith(sentence)


RIGHT = [
    pytest.param(["awk", "{print $1}"], id="braces of another language"),
    pytest.param(["true", "{}"], id="find's"),
    pytest.param(["true", "{{.Names}}"], id="docker's"),
    pytest.param(["true", '{"a": 1}'], id="JSON"),
    pytest.param(["true", "{x-y}"], id="no name"),
]


@pytest.mark.parametrize("argv", RIGHT)
def test_braces_that_are_no_placeholder_stay(argv: list[str]) -> None:
    made = options({"kind": "command", "argv": argv})
    assert command.plan(made, ITEM).details["argv"][1:] == argv[1:]


def test_a_batch_file_is_given_no_placeholder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Windows would have its shell read what an alert says."""
    program = tmp_path / "sync.cmd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert mistakes({"kind": "command", "argv": [str(program), "{key}"]}) == []
    monkeypatch.setattr(command.sys, "platform", "win32")
    assert mistakes({"kind": "command", "argv": [str(program), "fixed"]}) == []
    [told] = mistakes({"kind": "command", "argv": [str(program), "{key}"]})
    assert told.startswith("argv[0]: Windows gives the arguments of a batch file to a shell")
