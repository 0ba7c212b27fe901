"""Units of a real systemd are restarted, and one that does not stay is never taken for one that runs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from restarts.configured import ITEM, PARTS, mistakes, options, systemctl_in, warnings

from exporter import programs
from exporter.model import Done, GiveUp, Outcome, Plan, Reading, Retry
from exporter.restarts import systemd
from exporter.restarts.systemd import Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import systemd as server

UNITS = {
    "good.service": "[Service]\nExecStart=/bin/sleep infinity\n",
    "worker@.service": "[Service]\nExecStart=/bin/sleep infinity\n",
    "dies.service": "[Service]\nExecStart=/bin/false\n",
    "anew.service": "[Service]\nExecStart=/bin/sleep infinity\nRestart=always\nRestartSec=0\n",
    "limited.service": "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=2\n"
    "[Service]\nExecStart=/bin/true\nRestart=always\nRestartSec=0\n",
    "failing.service": "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=1\n[Service]\nExecStart=/bin/false\n",
    "once.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "stays.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    "hangs.service": "[Service]\nType=notify\nExecStart=/bin/sleep infinity\n",
    "broken.service": "[Service]\nType=simple\n",
    "masked.service": "",
}


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[None]:
    """Let there be no systemctl."""
    with systemctl_in(tmp_path, alone=True):
        yield


async def restart(unit: str, timeout: float = 20.0) -> Outcome:
    return await systemd.restart(Options(unit=unit), ITEM, PARTS, timeout)


async def look(unit: str) -> Reading:
    return await systemd.verify(Options(unit=unit), PARTS, 20.0)


def die(host: server.Systemd, unit: str, lives: int) -> None:
    """Kill the unit's process and wait until systemd has started another one."""
    host.systemctl("kill", "--signal=KILL", "--", unit)
    host.until(unit, "NRestarts", str(lives))
    host.until(unit, "SubState", "running")


@pytest.mark.parametrize("unit", ["good.service", "worker@1.service", "worker@a\\x2db.service"])
async def test_a_unit_is_restarted(there: server.Systemd, unit: str) -> None:
    """It has another process afterwards, and is up."""
    assert await restart(unit) == Done(f"systemd restarted {unit}")
    before = there.shown(unit, "MainPID")
    assert await restart(unit) == Done(f"systemd restarted {unit}")
    assert there.shown(unit, "MainPID") not in {"0", before}
    reading = await look(unit)
    assert (reading.state, reading.reason) == ("up", f"{unit} is active (running)")


async def test_a_unit_that_was_stopped_is_started(there: server.Systemd) -> None:
    assert isinstance(await restart("good.service"), Done)
    there.systemctl("stop", "--", "good.service")
    assert (await look("good.service")).state == "down"
    assert isinstance(await restart("good.service"), Done)
    assert (await look("good.service")).state == "up"


async def test_a_program_that_ends_as_it_should_and_remains_is_up(there: server.Systemd) -> None:
    assert isinstance(await restart("stays.service"), Done)
    assert (await look("stays.service")).reason == "stays.service is active (exited)"


async def test_a_simple_unit_that_dies_at_once_is_down(there: server.Systemd) -> None:
    """The call itself exits with 0: it has been started."""
    assert isinstance(await restart("dies.service"), Done)
    there.until("dies.service", "ActiveState", "failed")
    reading = await look("dies.service")
    assert (reading.state, reading.cause) == ("down", "value")
    assert reading.reason == "dies.service is failed (failed), its result exit-code"


async def test_a_unit_that_systemd_had_to_start_anew_since_is_down(there: server.Systemd) -> None:
    """Also while it is active: it does not stay. What was before our restart is not held against it."""
    assert isinstance(await restart("anew.service"), Done)
    assert (await look("anew.service")).state == "up"
    die(there, "anew.service", 1)
    reading = await look("anew.service")
    assert (reading.state, reading.cause) == ("down", "value")
    assert reading.reason == (
        "anew.service is active (running), but systemd had to start it anew since (1 times): it does not stay"
    )
    assert isinstance(await restart("anew.service"), Done)
    assert there.shown("anew.service", "NRestarts") == "0"
    assert (await look("anew.service")).state == "up"


async def test_a_restart_between_two_lives_does_not_set_the_count_back(there: server.Systemd) -> None:
    """So it is compared with what it was then; and where nobody remembers that, it says nothing."""
    unit = "between.service"
    there.write(unit, UNITS["anew.service"])
    there.systemctl("daemon-reload")
    assert isinstance(await restart(unit), Done)
    die(there, unit, 1)
    there.write(unit, UNITS["anew.service"].replace("RestartSec=0", "RestartSec=1h"))
    there.systemctl("daemon-reload")
    there.systemctl("kill", "--signal=KILL", "--", unit)
    there.until(unit, "SubState", "auto-restart")
    assert (await look(unit)).state == "down"
    assert isinstance(await restart(unit), Done)
    assert there.shown(unit, "NRestarts") == "1"
    assert (await look(unit)).state == "up"
    there.write(unit, UNITS["anew.service"])
    there.systemctl("daemon-reload")
    die(there, unit, 2)
    assert "anew since (1 times)" in (await look(unit)).reason
    systemd._begun.clear()
    assert (await look(unit)).state == "up"


async def test_a_unit_that_was_started_too_often_is_another_attempt(there: server.Systemd) -> None:
    """What systemd refuses is left refused: nothing resets the unit."""
    await restart("limited.service")
    there.until("limited.service", "Result", "start-limit-hit")
    outcome = await restart("limited.service")
    assert isinstance(outcome, Retry)
    assert outcome.detail.endswith("(start-limit-hit), so systemd does not start it for now")
    assert there.shown("limited.service", "Result") == "start-limit-hit"
    reading = await look("limited.service")
    assert (reading.state, reading.cause) == ("down", "value")
    assert "start-limit-hit" in reading.reason


async def test_so_is_one_that_failed_before(there: server.Systemd) -> None:
    """Its result stays that of its last run."""
    assert isinstance(await restart("failing.service"), Done)
    there.until("failing.service", "ActiveState", "failed")
    outcome = await restart("failing.service")
    assert isinstance(outcome, Retry)
    assert outcome.detail.startswith("systemctl: exit status 1: Job for failing.service failed")
    assert (await look("failing.service")).state == "down"


NEVER = [
    pytest.param("missing.service", "systemd knows no unit missing.service", id="missing"),
    pytest.param("masked.service", "masked.service is masked", id="masked"),
]


@pytest.mark.parametrize(("unit", "words"), NEVER)
async def test_a_unit_that_cannot_be_is_given_up(there: server.Systemd, unit: str, words: str) -> None:
    outcome = await restart(unit)
    assert isinstance(outcome, GiveUp)
    assert outcome.detail.startswith(words)
    reading = await look(unit)
    assert (reading.state, reading.cause) == ("down", "absent")
    assert reading.reason == outcome.detail


async def test_a_unit_without_a_program_is_another_attempt(there: server.Systemd) -> None:
    """Somebody can mend its file."""
    outcome = await restart("broken.service")
    assert isinstance(outcome, Retry)
    assert "exit status 1" in outcome.detail
    assert (await look("broken.service")).state == "down"


async def test_a_program_that_has_ended_is_down(there: server.Systemd) -> None:
    """A unit that does something once is no service that runs."""
    assert isinstance(await restart("once.service"), Done)
    assert (await look("once.service")).reason == "once.service is inactive (dead), its result success"


async def test_a_unit_that_does_not_become_ready_is_waited_for_so_long(there: server.Systemd) -> None:
    """It is not called off: until it ends, the unit is down."""
    outcome = await restart("hangs.service", timeout=0.5)
    assert isinstance(outcome, Retry)
    assert outcome.detail == "systemd did not end the restart of hangs.service within 0.5 s, and goes on with it"
    assert (await look("hangs.service")).reason == "hangs.service is activating (start), its result success"
    there.systemctl("stop", "--", "hangs.service")


async def test_cancelling_ends_the_wait(there: server.Systemd) -> None:
    task = asyncio.create_task(restart("hangs.service", timeout=60))
    async with asyncio.timeout(20):
        while there.shown("hangs.service", "SubState") != "start":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    there.systemctl("stop", "--", "hangs.service")


NO_UNITS = [
    "-Hlocalhost",
    "--help",
    "*.service",
    "n?inx.service",
    "[a].service",
    "reboot.target",
    "nginx",
    "a.service b.service",
    "../a.service",
    "a/b.service",
    "a.service\n",
    ".service",
    "ü.service",
    "a" * 250 + ".service",
]


@pytest.mark.parametrize("unit", NO_UNITS)
def test_what_is_no_name_of_a_service_is_a_mistake(unit: str) -> None:
    """Whatever systemctl would make of it."""
    found = mistakes({"kind": "systemd", "unit": unit})
    assert len(found) == 1
    assert found[0].startswith("unit: ")


def test_the_mistake_says_what_to_write() -> None:
    assert mistakes({"kind": "systemd", "unit": "nginx"}) == [
        "unit: is no exact name of a service: write one like nginx.service, without a pattern"
    ]
    assert mistakes({"kind": "systemd", "unit": "worker@.service"}) == [
        "unit: is a template: write which of its instances, like worker@1.service"
    ]


@pytest.mark.parametrize("unit", ["nginx.service", "getty@tty1.service", "a\\x2db.service", "dbus-org.x:1_2.service"])
def test_exact_names_are_taken(there: server.Systemd, unit: str) -> None:
    assert options({"kind": "systemd", "unit": unit}) == Options(unit=unit)
    assert warnings({"kind": "systemd", "unit": unit}) == []


async def test_even_a_name_that_got_past_is_no_option(there: server.Systemd) -> None:
    """Options of a third party's making: what begins with a hyphen stands behind the end of options."""
    outcome = await restart("-Hlocalhost")
    assert isinstance(outcome, GiveUp | Retry)
    assert "-Hlocalhost" in outcome.detail
    assert "ssh" not in outcome.output


async def test_without_systemctl_there_is_a_warning_and_another_attempt(nowhere: None) -> None:
    """It may be installed while we run, and the file may be checked on another host."""
    assert warnings({"kind": "systemd", "unit": "a.service"}) == [
        "unit: there is no systemctl on this host: no restart of it can succeed here"
    ]
    assert isinstance(await restart("a.service"), Retry)
    reading = await look("a.service")
    assert (reading.state, reading.cause) == ("unknown", "system")


async def test_systemctl_that_hangs_is_waited_for_so_long(nowhere: None, tmp_path: Path) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    began = time.monotonic()
    assert isinstance(await restart("a.service", timeout=0.2), Retry)
    reading = await systemd.verify(Options(unit="a.service"), PARTS, 0.2)
    assert (reading.state, reading.cause) == ("unknown", "system")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("echo 'Failed to connect to bus: Host is down' >&2; exit 1", "Host is down", id="no bus"),
        pytest.param("printf 'garbage\\000\\377'; exit 0", "is unknown (unknown)", id="garbage"),
        pytest.param("yes | head -c 3000000; exit 0", "is unknown (unknown)", id="flood"),
    ],
)
async def test_an_answer_that_says_nothing_is_never_up(nowhere: None, tmp_path: Path, script: str, words: str) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    program.chmod(0o755)
    reading = await look("a.service")
    assert reading.state in {"down", "unknown"}
    assert words in reading.reason


async def test_what_this_user_may_not_is_another_attempt_that_says_what_to_allow(nowhere: None, tmp_path: Path) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho 'Failed to restart a.service: Access denied' >&2\nexit 4\n")
    program.chmod(0o755)
    outcome = await restart("a.service")
    assert isinstance(outcome, Retry)
    assert outcome.detail == (
        "systemctl: exit status 4: Failed to restart a.service: Access denied; let polkit allow this user "
        "org.freedesktop.systemd1.manage-units for a.service"
    )


def test_the_plan_is_the_call(there: server.Systemd) -> None:
    argv = [str(there.programs / "systemctl"), "--no-ask-password", "restart", "--", "good.service"]
    found = systemd.plan(Options(unit="good.service"))
    assert found == Plan(" ".join(argv), {"argv": argv, "unit": "good.service"})


def test_a_systemctl_that_appears_later_is_not_run_instead(
    there: server.Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = systemd.program()
    assert first == str(there.programs / "systemctl")
    monkeypatch.setattr(programs, "PATH", str(tmp_path))
    assert systemd.program() == first
