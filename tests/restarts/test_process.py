"""A process is ended and started again, nothing else is ever signalled, and what was started outlives us."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from restarts.configured import ITEM, PARTS, mistakes, options, warnings
from servers import systemd as server

from exporter.config.options import Duration
from exporter.model import Done, GiveUp, Outcome, Plan, Reading, Retry
from exporter.restarts import process
from exporter.restarts.process import Options, ending, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can start what another user runs: run it as root")
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: open(sys.argv[1], "a").write("TERM\\n"))
open(sys.argv[1], "a").write("ready\\n")
while True:
    time.sleep(60)
"""


class Place:
    """A folder with a program of its own name, and what was started of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.worker = folder / "worker"
        self.worker.symlink_to(shutil.which("sleep") or "/bin/sleep")
        self.argv = (str(self.worker), "600")
        self.pid_file = folder / "worker.pid"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *argv: str, alone: bool = True, **others: Any) -> subprocess.Popen[bytes]:
        """Start what is to be ended; in a session of its own, or in our group."""
        one = subprocess.Popen(argv or self.argv, start_new_session=alone, **others)
        self.started.append(one)
        until_shown(one.pid)
        return one

    def stubborn(self, **others: Any) -> tuple[subprocess.Popen[bytes], tuple[str, ...], Path]:
        """Start what takes no notice of SIGTERM but for a note."""
        note = self.folder / "note"
        argv = (sys.executable, "-I", "-c", STUBBORN, str(note))
        one = self.start(*argv, **others)
        until(lambda: note.exists() and note.read_text() == "ready\n")
        return one, argv, note

    def running(self) -> list[psutil.Process]:
        """Return what runs of this place, whoever started it."""
        found = []
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.folder) in " ".join(one.cmdline()) and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found


def until(true: Any) -> None:
    """Wait for something that gives no event."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_shown(pid: int) -> None:
    """Wait until the kernel shows what a process was started with, which it does a moment after the start."""
    with contextlib.suppress(psutil.NoSuchProcess):
        until(psutil.Process(pid).cmdline)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a place; what still runs of it at the end is killed."""
    one = Place(tmp_path)
    yield one
    for running in one.running():
        with contextlib.suppress(psutil.NoSuchProcess):
            running.kill()
    for begun in one.started:
        with begun:
            begun.kill()


@pytest.fixture(params=["pidfd", "identity"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold on to processes by their descriptor, and as where there are none."""
    if request.param == "identity":

        def missing(pid: int, flags: int = 0) -> int:
            raise OSError(errno.ENOSYS, "there is no such call")

        monkeypatch.setattr(os, "pidfd_open", missing, raising=False)


async def restart(timeout: float = 20.0, **given: Any) -> Outcome:
    outcome = await process.restart(Options(**given), ITEM, PARTS, timeout)
    if isinstance(outcome, Done):
        until_shown(_number(outcome))
    return outcome


def _number(outcome: Outcome) -> int:
    number = re.search(r"; started as the process (\d+)$", outcome.detail)
    assert number is not None, outcome
    return int(number[1])


async def look(**given: Any) -> Reading:
    return await process.verify(Options(**given), PARTS, 20.0)


def started(outcome: Outcome) -> psutil.Process:
    """Return the process that a restart says that it started."""
    assert isinstance(outcome, Done), outcome
    return psutil.Process(_number(outcome))


async def test_where_nothing_ran_it_is_started(place: Place) -> None:
    before = await look(argv=place.argv)
    assert (before.state, before.cause) == ("down", "absent")
    assert before.reason == f"there is no process with the command line: {shlex.join(place.argv)}"
    outcome = await restart(argv=place.argv)
    assert outcome.detail.startswith(before.reason)
    pid = started(outcome).pid
    reading = await look(argv=place.argv)
    assert (reading.state, reading.reason) == ("up", f"the process {pid} runs")


async def test_what_runs_is_ended_first(place: Place, way: None) -> None:
    old = place.start()
    outcome = await restart(argv=place.argv)
    new = started(outcome)
    assert outcome.detail == f"ended the process {old.pid} by SIGTERM; started as the process {new.pid}"
    assert old.wait(10) == -signal.SIGTERM
    assert [one.pid for one in place.running()] == [new.pid]


async def test_what_we_started_is_restarted(place: Place, way: None) -> None:
    first = started(await restart(argv=place.argv))
    second = started(await restart(argv=place.argv))
    until(lambda: not first.is_running())  # its status is taken a moment later
    assert [one.pid for one in place.running()] == [second.pid]


async def test_what_ignores_sigterm_is_killed(place: Place, way: None) -> None:
    """After it was asked once, and no more than once."""
    old, argv, note = place.stubborn()
    outcome = await restart(argv=argv, stop_timeout=Duration(0.2))
    assert outcome.detail.startswith(f"ended the process {old.pid} by SIGKILL; ")
    assert old.wait(10) == -signal.SIGKILL
    assert note.read_text().startswith("ready\nTERM\n")
    assert note.read_text().count("TERM") == 1


async def test_the_whole_time_is_never_spent_on_asking(place: Place) -> None:
    """A `stop_timeout` as long as the restart may take leaves time to kill and to start."""
    old, argv, _ = place.stubborn()
    started(await restart(timeout=3.0, argv=argv, stop_timeout=Duration(60)))
    assert old.wait(10) == -signal.SIGKILL


CHILDREN = "import subprocess, sys; subprocess.Popen({argv!r}, start_new_session={alone}); print(flush=True); {end}"
SLEEP = "import time; time.sleep(600)"


def _with_a_child(place: Place, *, alone: bool) -> tuple[tuple[str, ...], psutil.Process]:
    """Start a program that starts the worker, in a session of its own or not; return its line and the worker."""
    argv = (sys.executable, "-I", "-c", CHILDREN.format(argv=[str(place.worker), "601"], alone=alone, end=SLEEP))
    one = place.start(*argv, stdout=subprocess.PIPE)
    assert one.stdout is not None
    one.stdout.readline()
    (child,) = psutil.Process(one.pid).children()
    return argv, child


async def test_with_the_leader_of_a_group_its_group_ends(place: Place, way: None) -> None:
    """What it had started without a session of its own must not stand beside the new one."""
    argv, child = _with_a_child(place, alone=False)
    new = started(await restart(argv=argv))
    assert child not in place.running()
    assert {one.pid for one in place.running()} - {child.pid for child in new.children()} == {new.pid}


async def test_a_child_that_ignores_sigterm_is_killed_with_its_group(place: Place, way: None) -> None:
    """Also after the leader has ended."""
    note = place.folder / "note"
    child = [sys.executable, "-I", "-c", STUBBORN, str(note)]
    script = CHILDREN.format(argv=child, alone=False, end=SLEEP) + f"  # {place.folder}"
    old = place.start(sys.executable, "-I", "-c", script, stdout=subprocess.PIPE)
    until(lambda: note.exists() and note.read_text() == "ready\n")
    (stubborn,) = psutil.Process(old.pid).children()
    match = (sys.executable, "-I", "-c", script)
    started(await restart(argv=place.argv, match=match, stop_timeout=Duration(0.2)))
    old.communicate()
    assert not stubborn.is_running() or stubborn.status() == psutil.STATUS_ZOMBIE
    assert old.returncode == -signal.SIGTERM


async def test_what_has_a_session_of_its_own_is_not_touched(place: Place) -> None:
    argv, child = _with_a_child(place, alone=True)
    started(await restart(argv=argv))
    assert child.is_running()


async def test_one_that_leads_no_group_ends_alone(place: Place, way: None) -> None:
    """As one that a supervisor or a shell has started among others."""
    script = (
        f"import subprocess; a = subprocess.Popen({place.argv!r}); subprocess.Popen({[str(place.worker), '601']!r})"
    )
    shell = place.start(sys.executable, "-I", "-c", f"{script}; print(flush=True); a.wait()", stdout=subprocess.PIPE)
    assert shell.stdout is not None
    shell.stdout.readline()
    children = psutil.Process(shell.pid).children()
    for child in children:
        until_shown(child.pid)
    by_argument = {one.cmdline()[1]: one for one in children}
    new = started(await restart(argv=place.argv))
    assert not by_argument["600"].is_running() or by_argument["600"].status() == psutil.STATUS_ZOMBIE
    assert by_argument["601"].is_running()
    assert new.pid not in {one.pid for one in by_argument.values()}


async def test_all_that_fit_are_ended(place: Place) -> None:
    old = [place.start(), place.start()]
    outcome = await restart(argv=place.argv)
    numbers = ", ".join(str(number) for number in sorted(one.pid for one in old))
    assert outcome.detail.startswith(f"ended the process {numbers} by SIGTERM; ")
    pid = started(outcome).pid
    assert [one.pid for one in place.running()] == [pid]


async def test_however_many_fit_few_descriptors_are_used(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And few of them are told."""
    monkeypatch.setattr(ending, "DESCRIPTORS", 1)
    monkeypatch.setattr(process, "TOLD", 1)
    old = [place.start(), place.start()]
    first = min(one.pid for one in old)
    assert (await look(argv=place.argv)).reason == f"the process {first} and 1 more runs"
    found = finding.found(Options(argv=place.argv)).processes
    assert [one.descriptor is None for one in found] == [False, True]
    ending.released(found)
    outcome = await restart(argv=place.argv)
    assert outcome.detail.startswith(f"ended the process {first} and 1 more by SIGTERM; ")
    assert [one.wait(10) for one in old] == [-signal.SIGTERM, -signal.SIGTERM]


async def test_more_than_a_service_has_are_left_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is rather a `match` that is too short."""
    monkeypatch.setattr(process, "MOST", 1)
    old = [place.start(), place.start()]
    assert isinstance(await restart(argv=place.argv), GiveUp)
    assert [one.poll() for one in old] == [None, None]


NOT_MEANT = [
    pytest.param(("{worker}", "60"), id="a shorter argument"),
    pytest.param(("{worker}", "600", "1"), id="one more argument"),
    pytest.param(("{worker}", "600 1"), id="a space in an argument"),
    pytest.param(("{worker}x", "600"), id="another program"),
    pytest.param(("{python}", "-I", "-c", SLEEP, "{worker}", "600"), id="behind another program"),
]


@pytest.mark.parametrize("words", NOT_MEANT)
async def test_only_the_very_command_line_is_meant(place: Place, words: tuple[str, ...]) -> None:
    """Word for word, from the first to the last one."""
    place.worker.with_name("workerx").symlink_to(place.worker)
    if words[-1] == "600 1":
        words = ("{python}", "-I", "-c", SLEEP, "600 1")
        argv = (sys.executable, "-I", "-c", SLEEP, "600", "1")
    else:
        argv = place.argv
    other = place.start(*(word.format(worker=place.worker, python=sys.executable) for word in words))
    assert (await look(argv=argv)).state == "down"
    new = started(await restart(argv=argv))
    new.kill()
    assert other.poll() is None


async def test_match_is_the_beginning_of_the_command_line(place: Place) -> None:
    old = place.start(str(place.worker), "600", "1")
    for match in ((str(place.worker), "600"), (str(place.worker),)):
        assert (await look(argv=place.argv, match=match)).reason == f"the process {old.pid} runs"
    for match in ((str(place.worker), "60"), (str(place.worker)[:-1],), (str(place.worker), "600", "1", "2")):
        assert (await look(argv=place.argv, match=match)).state == "down"
    for empty in ((), ("",)):
        assert (await look(argv=place.argv, match=empty)).state == "down"


SCRIPTS = [
    pytest.param("#!/bin/sh\n", id="sh"),
    pytest.param("#! /bin/sh -e \n", id="with an argument"),
    pytest.param("#!/usr/bin/env sh\n", id="env"),
    pytest.param("#!/usr/bin/env -S sh -e\n", id="env -S"),
]


@pytest.mark.parametrize("line", SCRIPTS)
async def test_a_script_is_known_by_its_interpreter(place: Place, line: str) -> None:
    script = place.folder / "service.sh"
    never = place.folder / "never"
    os.mkfifo(never)
    script.write_text(f"{line}read _ < {never}\n")  # waits for a writer, without a process of its own
    script.chmod(0o755)
    argv = (str(script), "a b", "")
    first = started(await restart(argv=argv))
    until(lambda: os.path.realpath(f"/proc/{first.pid}/exe") == os.path.realpath("/bin/sh"))  # as env becomes
    second = started(await restart(argv=argv))
    until(lambda: not first.is_running())  # its status is taken a moment later
    assert (await look(argv=argv)).reason == f"the process {second.pid} runs"


def test_a_script_that_is_its_own_interpreter_has_an_end(tmp_path: Path) -> None:
    script = tmp_path / "loop"
    script.write_text(f"#!{script} '\n")
    assert len(finding.command_lines([str(script)])) == 1 + finding.DEEPEST


async def test_we_and_those_that_started_us_are_never_meant(place: Place) -> None:
    """Whatever the words; and nothing but looking is done here with words that fit so much."""
    ours = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
    for one in (psutil.Process(), *psutil.Process().parents()):
        found = finding.found(Options(argv=place.argv, match=tuple(one.cmdline()[:1])))
        numbers = {held.pid for held in found.processes}
        ending.released(found.processes)
        assert not numbers & ours
    place.pid_file.write_text(str(os.getpid()))
    outcome = await restart(argv=place.argv, match=tuple(psutil.Process().cmdline()), pid_file=place.pid_file)
    assert isinstance(outcome, Retry)
    assert "names Watchbridge itself" in outcome.detail


async def test_a_zombie_does_not_run(place: Place) -> None:
    one = place.start()
    one.kill()
    until(lambda: psutil.Process(one.pid).status() == psutil.STATUS_ZOMBIE)
    place.pid_file.write_text(str(one.pid))
    assert (await look(argv=place.argv)).state == "down"
    reading = await look(argv=place.argv, pid_file=place.pid_file)
    assert (reading.state, reading.reason) == ("down", f"the process {one.pid} of '{place.pid_file}' does not run")


# Pid files.


async def test_a_pid_file_says_which_of_several_is_meant(place: Place, way: None) -> None:
    meant, other = place.start(), place.start()
    place.pid_file.write_text(f"{meant.pid}\n")
    assert (await look(argv=place.argv, pid_file=place.pid_file)).reason == f"the process {meant.pid} runs"
    started(await restart(argv=place.argv, pid_file=place.pid_file))
    assert meant.wait(10) == -signal.SIGTERM
    assert other.poll() is None


async def test_a_program_that_does_not_write_its_pid_file_is_not_started_beside_itself(place: Place, way: None) -> None:
    """What we started last for that file is ended, as long as we live; what another one names is not."""
    first = started(await restart(argv=place.argv, pid_file=place.pid_file))
    other = started(await restart(argv=place.argv, pid_file=place.folder / "other.pid"))
    outcome = await restart(argv=place.argv, pid_file=place.pid_file)
    second = started(outcome)
    assert outcome.detail == f"ended the process {first.pid} by SIGTERM; started as the process {second.pid}"
    assert {one.pid for one in place.running()} == {other.pid, second.pid}
    second.kill()
    until(lambda: not second.is_running())  # its status is taken a moment later
    third = await restart(argv=place.argv, pid_file=place.pid_file)
    assert third.detail.startswith(f"there is no process of '{place.pid_file}', or nothing in it; ")


async def test_what_its_pid_file_names_is_ended_once(place: Place) -> None:
    """Also where we started it ourselves."""
    first = started(await restart(argv=place.argv, pid_file=place.pid_file))
    place.pid_file.write_text(str(first.pid))
    outcome = await restart(argv=place.argv, pid_file=place.pid_file)
    assert outcome.detail.startswith(f"ended the process {first.pid} by SIGTERM; ")
    assert [one.pid for one in place.running()] == [started(outcome).pid]


async def test_another_that_has_the_number_of_what_we_started_is_left_alone(
    place: Place, way: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began later."""
    stranger = place.start()
    started_last = {(str(place.pid_file), *place.argv): (stranger.pid, psutil.Process(stranger.pid).create_time() - 1)}
    monkeypatch.setattr(process, "_started", started_last)
    started(await restart(argv=place.argv, pid_file=place.pid_file))
    assert stranger.poll() is None


async def test_a_stale_pid_file_is_nothing_that_runs(place: Place) -> None:
    one = place.start()
    one.kill()
    one.wait()
    place.pid_file.write_text(str(one.pid))
    outcome = await restart(argv=place.argv, pid_file=place.pid_file)
    assert started(outcome).is_running()
    assert outcome.detail.startswith(f"the process {one.pid} of '{place.pid_file}' does not run; ")


@pytest.mark.parametrize("content", [None, "", " \n"])
async def test_without_a_number_nothing_runs(place: Place, content: str | None) -> None:
    """What crashed while it wrote it leaves an empty file."""
    if content is not None:
        place.pid_file.write_text(content)
    assert (await look(argv=place.argv, pid_file=place.pid_file)).state == "down"
    assert started(await restart(argv=place.argv, pid_file=place.pid_file)).is_running()


async def test_a_pid_file_that_names_a_stranger_harms_nobody(place: Place) -> None:
    """One that was written before the stranger began is stale; another one is a mistake, and nothing is started."""
    stranger = place.start(str(place.worker), "601")
    place.pid_file.write_text(str(stranger.pid))
    outcome = await restart(argv=place.argv, pid_file=place.pid_file)
    assert isinstance(outcome, Retry)
    shown = f"write `match` as it begins: {shlex.join((str(place.worker), '601'))!r}"
    assert outcome.detail.endswith(shown)
    reading = await look(argv=place.argv, pid_file=place.pid_file)
    assert (reading.state, reading.cause) == ("unknown", "system")
    assert [one.pid for one in place.running()] == [stranger.pid]
    os.utime(place.pid_file, (1, 1))
    outcome = await restart(argv=place.argv, pid_file=place.pid_file)
    assert "is another one, which began later; started as" in outcome.detail
    assert stranger.poll() is None


def _fifo(path: Path) -> None:
    os.mkfifo(path)


SPOILT = [
    pytest.param(lambda path: path.write_text("worker"), "does not hold the number", id="garbage"),
    pytest.param(lambda path: path.write_bytes(b"\xff\0" * 20), "does not hold the number", id="binary"),
    pytest.param(lambda path: path.write_text("0"), "does not hold the number", id="0, our own group"),
    pytest.param(lambda path: path.write_text("-1"), "does not hold the number", id="-1, everybody"),
    pytest.param(lambda path: path.write_text("1 2"), "does not hold the number", id="two"),
    pytest.param(lambda path: path.write_text("99999999999999999999"), "does not hold", id="a number of no process"),
    pytest.param(lambda path: path.write_text("\u0661"), "does not hold the number", id="another script"),
    pytest.param(lambda path: path.write_text("1" * 5_000_000), "does not hold the number", id="huge"),
    pytest.param(lambda path: path.write_text(" " * 5_000_000), "does not hold the number", id="huge and empty"),
    pytest.param(lambda path: path.write_text("1"), "names Watchbridge itself, or what started it", id="the first one"),
    pytest.param(_fifo, "is no regular file", id="pipe"),
    pytest.param(lambda path: path.mkdir(), "is no regular file", id="folder"),
    pytest.param(lambda path: path.symlink_to("/dev/zero"), "is no regular file", id="link to a device"),
    pytest.param(lambda path: path.symlink_to(path), "cannot be read", id="link to itself"),
    pytest.param(lambda path: path.symlink_to("/etc/passwd"), "does not hold the number", id="link to another file"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
async def test_a_spoilt_pid_file_is_a_sentence(place: Place, spoil: Any, words: str) -> None:
    """At once; nothing is ended, nothing is started beside what may run, and nothing of the content is told."""
    spoil(place.pid_file)
    old = place.start()
    outcome = await restart(argv=place.argv, pid_file=place.pid_file)
    assert isinstance(outcome, Retry)
    assert outcome.detail.startswith(f"the pid file '{place.pid_file}' ")
    assert words in outcome.detail
    assert "root" not in outcome.detail.replace(str(place.pid_file), "")
    assert (await look(argv=place.argv, pid_file=place.pid_file)).state == "unknown"
    assert [one.pid for one in place.running()] == [old.pid]


async def test_a_link_to_the_pid_file_is_followed(place: Place) -> None:
    old = place.start()
    place.pid_file.write_text(str(old.pid))
    link = place.folder / "link.pid"
    link.symlink_to(place.pid_file)
    started(await restart(argv=place.argv, pid_file=link))
    assert old.wait(10) == -signal.SIGTERM


RECYCLED = """
import asyncio, os, pathlib, signal, subprocess, sys, time
from exporter.acting import Parts
from exporter.clock import SystemClock
from exporter.model import Done, Item, Retry
from exporter.restarts import process
from exporter.restarts.process import Options, ending

folder = pathlib.Path(sys.argv[1])
WORKER, NOTE = (str(folder / "worker"), "600"), folder / "note"
STRANGER = '''
import signal, sys, time
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, lambda number, _: open(sys.argv[1], "a").write(f"signal {number}"))
open(sys.argv[1], "w").write("ready")
while True: time.sleep(600)
'''

def stranger_as(number):
    for _ in range(1000):
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
        one = subprocess.Popen([sys.executable, "-I", "-c", STRANGER, str(NOTE)], start_new_session=True)
        if one.pid == number:
            while not (NOTE.exists() and NOTE.read_text() == "ready"):
                time.sleep(0.01)
            return one
        one.kill()
        one.wait()
    raise SystemExit("no number was used again")

def recycled(during=lambda number: None):
    NOTE.unlink(missing_ok=True)
    old = subprocess.Popen(WORKER, start_new_session=True)
    kept = during(old.pid)
    ticks = time.monotonic() + 0.05  # a start is known to a hundredth of a second
    while time.monotonic() < ticks: pass
    old.kill()
    old.wait()
    return stranger_as(old.pid), kept

def unharmed(one):
    assert one.poll() is None and NOTE.read_text() == "ready", NOTE.read_text()
    one.kill()
    one.wait()

async def restart(pid_file):
    options = Options(argv=WORKER, pid_file=pid_file)
    return await process.restart(options, Item(1, "restarts", "w"), Parts(SystemClock()), 20.0)

async def main():
    pid_file = folder / "worker.pid"
    one, _ = recycled(lambda number: pid_file.write_text(str(number)))
    outcome = await restart(pid_file)
    assert isinstance(outcome, Retry), outcome
    os.utime(pid_file, (1, 1))
    outcome = await restart(pid_file)
    assert isinstance(outcome, Done) and "which began later" in outcome.detail, outcome
    unharmed(one)
    for by_descriptor in (True, False):
        one, held = recycled(lambda number: ending.held(number, by_descriptor=by_descriptor))
        assert held.has_ended()
        for number in (signal.SIGTERM, signal.SIGKILL):
            held.send(number)
        assert await ending.ended([held], 0.2, 0.2) == "SIGTERM"
        unharmed(one)
        held.release()
    print("unharmed")

asyncio.run(main())
"""


def test_s18_a_number_that_is_used_again_harms_nobody(place: Place) -> None:
    """S18: neither one of a pid file, nor one that was looked at before its process ended."""
    if not server.has_namespaces():
        pytest.skip("this user can have no namespace of processes: run the test as root")
    argv = server.namespaced(sys.executable, "-c", RECYCLED, str(place.folder))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("unharmed\n", 0), done.stderr


# What is started.


def _open(folder: Path) -> dict[str, str]:
    """Return the descriptors of a process, and what they lead to."""
    found = {}
    for descriptor in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[descriptor.name] = str(descriptor.readlink())
    return found


async def test_it_is_started_with_nothing_of_ours(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No open file, no variable, no session; its folder and its umask are what a service expects."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:canary@host/name")
    leak = os.open(place.folder, os.O_RDONLY)
    os.set_inheritable(leak, True)  # noqa: FBT003 - the call's own
    try:
        one = started(await restart(argv=place.argv, environment={"LIMIT": "7"}))
    finally:
        os.close(leak)
    proc = Path(f"/proc/{one.pid}")
    assert one.environ().keys() <= {"PATH", "LANG", "HOME", "LIMIT"}
    assert one.environ()["LIMIT"] == "7"
    assert b"canary" not in (proc / "environ").read_bytes()
    # The loader of the program has opened its libraries for a moment.
    until(lambda: _open(proc / "fd") == dict.fromkeys("012", "/dev/null"))
    assert (one.cwd(), os.getsid(one.pid), os.getpgid(one.pid)) == ("/", one.pid, one.pid)
    assert "Umask:\t0022" in (proc / "status").read_text()


async def test_it_is_started_in_its_folder_and_its_output_is_appended(place: Place) -> None:
    log = place.folder / "worker.log"
    log.write_text("before\n")
    script = "import os, sys; print(os.getcwd()); print('error', file=sys.stderr)"
    argv = (sys.executable, "-I", "-u", "-c", script)
    started(await restart(argv=argv, log=log, directory=place.folder))
    until(lambda: log.read_text() == f"before\n{place.folder}\nerror\n")


async def test_a_new_log_is_not_for_everybody(place: Place) -> None:
    log = place.folder / "worker.log"
    started(await restart(argv=place.argv, log=log))
    assert log.stat().st_mode & 0o7777 & ~0o640 == 0


async def test_what_ends_leaves_no_zombie(place: Place) -> None:
    before = {one.pid for one in psutil.Process().children()}
    argv = (sys.executable, "-I", "-c", "pass", str(place.folder))
    number = _number(await restart(argv=argv))
    until(lambda: not psutil.pid_exists(number))
    assert {one.pid for one in psutil.Process().children()} <= before


SERVER = """
import asyncio, os, signal, sys
from exporter.acting import Parts
from exporter.clock import SystemClock
from exporter.model import Item
from exporter.restarts import process
options = process.Options(argv=tuple(sys.argv[1:]))
outcome = asyncio.run(process.restart(options, Item(1, "q", "k"), Parts(SystemClock()), 20.0))
print(outcome.detail, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_started_outlives_us(place: Place) -> None:
    """Also a SIGKILL; and the end of our whole session with a hang-up."""
    done = subprocess.run(
        [sys.executable, "-c", SERVER, *place.argv], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    one = psutil.Process(int(done.stdout.rsplit(maxsplit=1)[1]))
    assert one.is_running()
    assert one.status() != psutil.STATUS_ZOMBIE
    assert one.ppid() != os.getpid()


def _hard_link(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("")
    path.hardlink_to(other)


LOGS = [
    pytest.param(lambda path: path.symlink_to(path.with_name("other")), id="link"),
    pytest.param(_hard_link, id="hard link"),
    pytest.param(_fifo, id="pipe"),
    pytest.param(lambda path: path.mkdir(), id="folder"),
    pytest.param(lambda path: path.symlink_to("/dev/null"), id="link to a device"),
]


@pytest.mark.parametrize("spoil", LOGS)
async def test_a_log_that_is_no_file_of_that_name_ends_nothing(place: Place, spoil: Any) -> None:
    """What could not be started must not be ended either."""
    log = place.folder / "worker.log"
    spoil(log)
    old = place.start()
    outcome = await restart(argv=place.argv, log=log)
    assert isinstance(outcome, Retry)
    assert outcome.detail.startswith(f"the log '{log}' ")
    assert not place.folder.joinpath("other").exists() or place.folder.joinpath("other").read_text() == ""
    assert [one.pid for one in place.running()] == [old.pid]


async def test_a_program_that_is_gone_ends_nothing(place: Place) -> None:
    old = place.start()
    given = Options(argv=place.argv)
    place.worker.unlink()
    outcome = await process.restart(given, ITEM, PARTS, 20.0)
    assert isinstance(outcome, Retry)
    assert "cannot be started" in outcome.detail
    assert old.poll() is None


async def test_a_folder_that_is_missing_ends_nothing(place: Place) -> None:
    old = place.start()
    outcome = await restart(argv=place.argv, directory=place.folder / "nowhere")
    assert outcome == Retry(f"there is no folder '{place.folder / 'nowhere'}' to start the program in")
    assert old.poll() is None


async def test_what_cannot_be_carried_out_is_a_sentence(place: Place) -> None:
    """A file that may be run and is no program."""
    program = place.folder / "program"
    program.write_bytes(b"\x7fELF garbage")
    program.chmod(0o755)
    outcome = await restart(argv=(str(program),))
    assert isinstance(outcome, Retry)
    assert (
        outcome.detail
        == f"The program '{program}' could not be started: Exec format error; check its path and its rights."
    )


# Users.


def _groups(pid: int) -> list[int]:
    found = re.search(r"^Groups:(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return [int(number) for number in found[1].split()]


def _pass_through(folder: Path) -> None:
    """Let other users reach a folder of a test: also those above it are for their owner alone."""
    for one in (folder, *folder.parents):
        if "pytest-of-" in one.as_posix():
            one.chmod(0o755)


@needs_root
async def test_root_starts_it_as_its_user(place: Place) -> None:
    """With that one's groups and home; only that one's processes are ended."""
    _pass_through(place.folder)
    of_root = place.start()
    one = started(await restart(argv=place.argv, user="nobody"))
    nobody = psutil.Process(one.pid)
    assert nobody.username() == "nobody"
    assert set(nobody.uids()) == {nobody.uids().real}
    assert os.getgrouplist("nobody", nobody.gids().real) == [nobody.gids().real]
    assert _groups(one.pid) == [nobody.gids().real]
    two = started(await restart(argv=place.argv, user="nobody"))
    until(lambda: not one.is_running())  # its status is taken a moment later
    assert (await look(argv=place.argv, user="nobody")).reason == f"the process {two.pid} runs"
    assert of_root.poll() is None


@needs_root
async def test_what_another_user_runs_is_not_started_as_root(place: Place) -> None:
    """Unless that is what is written."""
    _pass_through(place.folder)
    old = place.start(user="nobody", group="nogroup", extra_groups=[])
    outcome = await restart(argv=place.argv)
    assert isinstance(outcome, GiveUp)
    assert outcome.detail.endswith("write `user: nobody`, or `user: root` where root is meant")
    assert old.poll() is None
    assert started(await restart(argv=place.argv, user="root")).username() == "root"
    assert old.wait(10) == -signal.SIGTERM


async def test_a_user_that_there_is_not_is_given_up(place: Place) -> None:
    old = place.start()
    outcome = await restart(argv=place.argv, user="nobody-of-this-name")
    assert outcome == GiveUp("there is no user 'nobody-of-this-name' on this host: correct `user`")
    assert (await look(argv=place.argv, user="nobody-of-this-name")).state in {"unknown", "up"}
    assert old.poll() is None


# Time.


def _held() -> list[str]:
    """Return the descriptors of processes that are open here; asyncio has none while no child of its own runs."""
    return [link for link in _open(Path("/proc/self/fd")).values() if "pidfd" in link]


async def test_cancelling_starts_nothing(place: Place) -> None:
    """And nothing goes on with ending."""
    old, argv, note = place.stubborn()
    given = Options(argv=argv, stop_timeout=Duration(60))
    task = asyncio.create_task(process.restart(given, ITEM, PARTS, 120.0))
    async with asyncio.timeout(20):
        while note.read_text() != "ready\nTERM\n":  # noqa: ASYNC110 - a file gives no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.pid for one in place.running()] == [old.pid]
    assert _held() == []


async def test_what_cannot_be_killed_has_nothing_started_beside_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one in uninterruptible sleep; here its signals get lost."""
    old = place.start()
    monkeypatch.setattr(ending.Held, "send", lambda self, number: None)
    monkeypatch.setattr(process, "KILLED_WITHIN", 0.1)
    outcome = await restart(argv=place.argv, stop_timeout=Duration(0.1))
    assert isinstance(outcome, Retry)
    assert outcome.detail == f"the process {old.pid} does not end, not even by SIGKILL: nothing was started beside it"
    assert [one.pid for one in place.running()] == [old.pid]


# What the configuration says.


def test_the_plan_says_what_is_ended_and_what_is_started(place: Place) -> None:
    given = Options(argv=(*place.argv, "a b"), pid_file=Path("/run/w.pid"), environment={"TOKEN": "canary-5ecret"})
    sentence = f"end the process of '/run/w.pid', then start: {place.worker} 600 'a b'"
    details = {
        "ends": "process of '/run/w.pid'",
        "stop_timeout": 10.0,
        "argv": [str(place.worker), "600", "a b"],
        "directory": "/",
        "log": None,
        "user": None,
    }
    assert process.plan(given) == Plan(sentence, details)
    assert "canary" not in json.dumps(details) + repr(given)
    assert list(given.hidden()) == ["canary-5ecret"]


def test_the_defaults_and_the_keys(place: Place) -> None:
    """Paths are those of the configuration's folder; the program is resolved once."""
    given = options({"kind": "process", "argv": ["sleep", "600"], "pid_file": "w.pid"}, place.folder)
    assert given.argv == (shutil.which("sleep", path="/usr/bin:/bin"), "600")
    assert given.pid_file == place.folder / "w.pid"
    assert (given.stop_timeout, given.directory, given.log, given.user) == (10.0, Path("/"), None, None)


MISTAKES = [
    pytest.param({"argv": []}, "argv: ", id="no program"),
    pytest.param({"argv": ["./worker"]}, "argv[0]: './worker' is a relative path", id="relative"),
    pytest.param({"argv": ["sleep", "a\0"]}, "argv[1]: holds a NUL", id="NUL"),
    pytest.param({"argv": ["sleep"], "match": []}, "match: ", id="nothing matched"),
    pytest.param({"argv": ["sleep"], "match": [""]}, "match: would fit any process", id="anything matched"),
    pytest.param({"argv": ["sleep"], "match": ["a\0"]}, "match[0]: holds a NUL", id="NUL matched"),
    pytest.param({"argv": ["sleep"], "environment": {"A=": "b"}}, "environment.'A=': wanted a name", id="variable"),
    pytest.param({"argv": ["sleep"], "stop_timeout": "2h"}, "stop_timeout: ", id="too long"),
    pytest.param({}, ": ", id="nothing"),
]


@pytest.mark.parametrize(("given", "words"), MISTAKES)
def test_a_mistake_is_told_at_its_place(given: dict[str, Any], words: str) -> None:
    found = mistakes({"kind": "process", **given})
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/nowhere/at/all", "'/nowhere/at/all' is no program that this user may run: check its path and its mode"),
        ("no-such-program", "there is no program 'no-such-program' in /usr/"),
    ],
)
def test_a_program_that_is_not_here_is_a_warning(program: str, words: str) -> None:
    """It may be on the service's own node alone."""
    assert mistakes({"kind": "process", "argv": [program]}) == []
    [told] = warnings({"kind": "process", "argv": [program]})
    assert told.startswith(f"argv[0]: {words}")
    assert told.endswith("; until then it fails on this host")


def test_a_program_that_anybody_may_write_to_is_a_mistake(place: Place) -> None:
    program = place.folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o757)
    [told] = mistakes({"kind": "process", "argv": [str(program)]})
    assert told.startswith(f"argv[0]: anybody may write to {str(program.resolve())!r}")
