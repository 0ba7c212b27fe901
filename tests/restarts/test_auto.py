"""Systemd restarts what it has a unit of, and the process is for everything else: never both of them."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from restarts.configured import ITEM, PARTS, mistakes, options, systemctl_in, warnings

from exporter import programs
from exporter.model import Done, GiveUp, Outcome, Reading, Retry
from exporter.restarts import auto
from exporter.restarts.auto import Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import systemd as server

UNITS = {
    "good.service": "[Service]\nExecStart=/bin/sleep infinity\n",
    "broken.service": "[Service]\nType=simple\n",
    "masked.service": "",
}


@pytest.fixture
def systemctl(tmp_path: Path) -> Iterator[Path]:
    """Give the path of a systemctl that a test may write; there is none else."""
    with systemctl_in(tmp_path, alone=True):
        yield tmp_path / "systemctl"


@pytest.fixture
def argv(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Give a program of its own; what runs of it at the end is killed."""
    worker = tmp_path / "worker"
    worker.symlink_to(shutil.which("sleep") or "/bin/sleep")
    yield (str(worker), "600")
    for one in running(worker):
        one.kill()


def running(worker: Path | str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [])[:1] == [str(worker)]]


async def restart(**given: Any) -> Outcome:
    return await auto.restart(Options(**given), ITEM, PARTS, 20.0)


async def until(state: str, **given: Any) -> Reading:
    """Look until it is in a state: what was just started is shown a moment later."""
    async with asyncio.timeout(20):
        while (reading := await auto.verify(Options(**given), PARTS, 20.0)).state != state:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
    return reading


async def test_a_unit_that_systemd_has_is_restarted_by_it(there: server.Systemd, argv: tuple[str, ...]) -> None:
    assert await restart(unit="good.service", argv=argv) == Done("systemd restarted good.service")
    assert running(argv[0]) == []
    reading = await auto.verify(Options(unit="good.service", argv=argv), PARTS, 20.0)
    assert (reading.state, reading.reason) == ("up", "good.service is active (running)")


async def test_what_systemd_has_no_unit_of_is_the_process(there: server.Systemd, argv: tuple[str, ...]) -> None:
    assert (await until("down", unit="missing.service", argv=argv)).cause == "absent"
    outcome = await restart(unit="missing.service", argv=argv)
    assert isinstance(outcome, Done)
    assert "; started as the process " in outcome.detail
    assert (await until("up", unit="missing.service", argv=argv)).reason.startswith("the process ")


@pytest.mark.parametrize(
    ("unit", "kind"),
    [pytest.param("masked.service", GiveUp, id="masked"), pytest.param("broken.service", Retry, id="broken")],
)
async def test_a_unit_that_cannot_be_started_is_not_gone_round(
    there: server.Systemd, argv: tuple[str, ...], unit: str, kind: type
) -> None:
    """Somebody masked it, or has to mend it: the process is not started in spite of that."""
    assert isinstance(await restart(unit=unit, argv=argv), kind)
    assert (await until("down", unit=unit, argv=argv)).reason.startswith(unit)
    assert running(argv[0]) == []


def says(systemctl: Path, words: str) -> None:
    """Let systemctl fail with these words."""
    systemctl.write_text(f"#!/bin/sh\necho {words!r} >&2\nexit 1\n")
    systemctl.chmod(0o755)


@pytest.mark.parametrize("words", ["", "System has not been booted with systemd as init system (PID 1)."])
async def test_without_systemd_it_is_the_process(
    systemctl: Path, argv: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """There may be no systemctl and, in a container, one that has nobody to ask."""
    monkeypatch.setattr(auto, "BOOTED", tmp_path / "nothing")
    if words:
        says(systemctl, words)
    assert isinstance(await restart(unit="good.service", argv=argv), Done)
    assert (await until("up", unit="good.service", argv=argv)).reason.startswith("the process ")


async def test_where_systemd_does_not_answer_nothing_is_started_beside_it(
    systemctl: Path, argv: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "BOOTED", tmp_path)
    says(systemctl, "Failed to connect to bus: Connection timed out")
    outcome = await restart(unit="good.service", argv=argv)
    assert isinstance(outcome, Retry)
    assert outcome.detail.startswith("nothing was restarted: systemd does not say how good.service is: exit status 1")
    assert (await until("unknown", unit="good.service", argv=argv)).cause == "system"
    assert running(argv[0]) == []


async def test_the_unit_alone_is_systemd_alone(there: server.Systemd) -> None:
    assert isinstance(await restart(unit="good.service"), Done)
    assert isinstance(await restart(unit="missing.service"), GiveUp)
    assert (await until("down", unit="missing.service")).cause == "absent"


async def test_the_program_alone_is_the_process_alone(argv: tuple[str, ...]) -> None:
    assert isinstance(await restart(argv=argv), Done)
    await until("up", argv=argv)


def test_the_plan_says_both_ways(there: server.Systemd, argv: tuple[str, ...]) -> None:
    found = auto.plan(Options(unit="good.service", argv=argv))
    call = [str(there.programs / "systemctl"), "--no-ask-password", "restart", "--", "good.service"]
    line = " ".join(argv)
    assert found.sentence == (
        f"{' '.join(call)}; where systemd has no such unit: end the process with the command line: {line}, "
        f"then start: {line}"
    )
    assert found.details["systemd"]["argv"] == call
    assert found.details["process"]["argv"] == list(argv)
    assert auto.plan(Options(unit="good.service")).sentence == " ".join(call)
    assert auto.plan(Options(argv=argv)).sentence.startswith("end the process ")


MISTAKES = [
    pytest.param({}, "has neither `unit` nor `argv`", id="neither"),
    pytest.param({"unit": "*.service"}, "unit: is no exact name", id="pattern"),
    pytest.param({"unit": "a.service", "argv": ["./b"]}, "argv[0]: './b' is a relative path", id="relative"),
    pytest.param({"argv": ["sleep"], "match": [""]}, "match: would fit any process", id="anything"),
]


@pytest.mark.parametrize(("given", "words"), MISTAKES)
def test_a_mistake_is_told_at_its_place(given: dict[str, Any], words: str) -> None:
    found = mistakes({"kind": "auto", **given})
    assert len(found) == 1
    assert words in found[0]


def test_the_options_are_those_of_both(there: server.Systemd, argv: tuple[str, ...], tmp_path: Path) -> None:
    given = {"kind": "auto", "unit": "a.service", "argv": ["worker"], "pid_file": "w.pid", "stop_timeout": "3s"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "PATH", str(tmp_path))
        made = options(given, tmp_path)
    assert (made.unit, made.argv, made.stop_timeout) == ("a.service", (argv[0],), 3.0)
    assert made.pid_file == tmp_path / "w.pid"
    assert warnings({"kind": "auto", "unit": "a.service", "argv": list(argv)}) == []
    assert warnings({"kind": "auto", "unit": "a.service", "pid_file": "/run/w.pid"}) == [
        ": has no `argv`, so no process is ever looked for: leave `match` and `pid_file` out"
    ]
