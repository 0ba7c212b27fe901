"""Processes are counted by name, command line or pid file, never taken for others, and absent ones are down."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from exporter.clock import SystemClock
from exporter.probes import process
from exporter.probes.process import Options
from exporter.probing import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.model import Reading

PARTS = Parts(wire=None, databases={}, clock=SystemClock(), permits=lambda _: False)


async def look(**options: object) -> Reading:
    return await process.probe(Options(**options), PARTS, 20.0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give a factory of processes with a name of their own, which end when their input does."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(name: str, *words: str) -> subprocess.Popen[bytes]:
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho\nread _\n")
        program.chmod(0o755)
        one = subprocess.Popen([program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(one)
        assert one.stdout is not None
        one.stdout.readline()  # it is now the program that it was started as
        return one

    yield begin
    for one in started:
        one.kill()
        one.communicate()


@pytest.fixture
def name() -> str:
    """Give a name that no other process has."""
    return f"wb{uuid.uuid4().hex[:10]}"


async def test_processes_of_a_name_are_counted(name: str, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """With their memory together and the start of the oldest."""
    before = time.time()
    first, second = start(name), start(name)
    reading = await look(name=name)
    assert (reading.state, reading.reason) == ("up", f"there are 2 processes named {name!r}")
    shown = process.samples(reading)
    assert shown[process.COUNT] == {(): 2.0}
    oldest = min(psutil.Process(one.pid).create_time() for one in (first, second))
    assert shown[process.START] == {(): oldest}
    assert before - 60 < oldest
    assert shown[process.MEMORY][()] > 100_000


async def test_a_name_longer_than_the_kernel_keeps_is_found(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Another one that begins with the same 15 characters is not taken for it."""
    name = f"watched-{uuid.uuid4().hex}"
    start(name)
    start(name[:-1] + "x")
    assert (await look(name=name)).facts.count == 1
    assert (await look(name=name[:-1])).facts.count == 0


async def test_absent_processes_are_down_with_zero(name: str) -> None:
    """A start in 1970 would make an age of half a century: it is left out."""
    reading = await look(name=name)
    assert (reading.state, reading.cause) == ("down", "absent")
    assert reading.reason == f"there are no processes named {name!r}"
    assert process.samples(reading) == {process.COUNT: {(): 0.0}, process.MEMORY: {(): 0.0}}


COUNTS = [
    pytest.param({}, "up", "", "there is 1 process", id="one is enough"),
    pytest.param({"min_count": 2}, "down", "value", "wanted at least 2", id="too few"),
    pytest.param({"min_count": 0, "max_count": 0}, "down", "value", "wanted at most 0", id="too many"),
    pytest.param({"max_count": 1}, "up", "", "there is 1 process", id="as many as wanted"),
]


@pytest.mark.parametrize(("options", "state", "cause", "words"), COUNTS)
async def test_the_count_is_held_against_bounds(
    name: str,
    start: Callable[..., subprocess.Popen[bytes]],
    options: dict[str, object],
    state: str,
    cause: str,
    words: str,
) -> None:
    start(name)
    reading = await look(name=name, **options)
    assert (reading.state, reading.cause) == (state, cause)
    assert words in reading.reason


async def test_none_may_be_wanted(name: str) -> None:
    assert (await look(name=name, min_count=0, max_count=0)).state == "up"


async def test_a_command_line_is_matched_anywhere(name: str, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Its words stand with spaces between them."""
    start(name, "--queue", "mail")
    start(name, "--queue", "sms")
    assert (await look(match=f"{name} --queue (mail|sms)$")).facts.count == 2
    reading = await look(match=f"{name}.*mail")
    assert reading.facts.count == 1
    assert reading.reason == f"there is 1 process whose command line matches '{name}.*mail'"


async def test_watchbridge_never_finds_itself() -> None:
    """The words that it looks for are in its own command line when they are given to `services check`."""
    own = psutil.Process()
    everything = await look(match=".", min_count=0)
    assert everything.facts.count > 0
    assert everything.facts.count < len(psutil.pids())
    assert [one for one in process._matching(Options(name=own.name())) if one.pid == own.pid] == []


async def test_only_processes_of_a_user_count(name: str, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    user = psutil.Process(start(name).pid).username()
    assert (await look(name=name, user=user)).facts.count == 1
    reading = await look(name=name, user="nobody-of-this-name")
    assert (reading.state, reading.facts.count) == ("down", 0)
    assert reading.reason.endswith("as the user 'nobody-of-this-name'")


async def test_a_zombie_does_not_run(name: str, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """Its parent has not taken its exit status yet; nothing of it works."""
    one = start(name)
    one.kill()
    async with asyncio.timeout(10):
        while psutil.Process(one.pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - it gives no event
            await asyncio.sleep(0.01)
    assert (await look(name=name)).facts.count == 0
    file = tmp_path / "pid"
    file.write_text(f"{one.pid}\n")
    reading = await look(pid_file=file)
    assert (reading.state, reading.reason) == ("down", f"the process {one.pid} of {str(file)!r} does not run")


async def test_a_pid_file_names_the_process(
    name: str, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Also this one's own, and also through a link."""
    one = start(name)
    file, link = tmp_path / "pid", tmp_path / "link"
    file.write_text(f" {one.pid}\n")
    link.symlink_to(file)
    for path in (file, link):
        reading = await look(pid_file=path)
        assert (reading.state, reading.reason) == ("up", f"the process {one.pid} of {str(path)!r} runs")
        assert process.samples(reading)[process.START] == {(): psutil.Process(one.pid).create_time()}
    assert (await look(pid_file=file, user="nobody-of-this-name")).state == "down"
    file.write_text(str(os.getpid()))
    assert (await look(pid_file=file)).state == "up"


async def test_a_number_used_again_is_another_process(
    name: str, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """The file was written before the process began, so it tells of one that is gone."""
    one = start(name)
    file = tmp_path / "pid"
    file.write_text(f"{one.pid}\n")
    began = psutil.Process(one.pid).create_time()
    os.utime(file, (began - 60, began - 60))
    reading = await look(pid_file=file)
    assert (reading.state, reading.cause) == ("down", "absent")
    assert "it is another one" in reading.reason
    os.utime(file, (began - 1, began - 1))  # ticks and clocks differ a little
    assert (await look(pid_file=file)).state == "up"


def gone() -> int:
    """Return the number of a process that has ended."""
    one = subprocess.Popen([sys.executable, "-c", ""])
    one.wait()
    return one.pid


FILES = [
    pytest.param(lambda file: None, "does not exist", id="missing"),
    pytest.param(lambda file: file.write_text(""), "does not hold the number", id="empty"),
    pytest.param(lambda file: file.write_text("12a"), "does not hold the number", id="words"),
    pytest.param(lambda file: file.write_text("-1"), "does not hold the number", id="negative"),
    pytest.param(lambda file: file.write_text("0"), "does not hold the number", id="zero"),
    pytest.param(lambda file: file.write_text("1" * 60), "does not hold the number", id="too large"),
    pytest.param(lambda file: file.write_text("1" + "\n" * 64), "does not hold the number", id="too long"),
    pytest.param(lambda file: file.write_bytes(b"\xff\xfe\x00"), "does not hold the number", id="bytes"),
    pytest.param(lambda file: file.mkdir(), "is no regular file", id="folder"),
    pytest.param(os.mkfifo, "is no regular file", id="pipe that nobody writes to"),
    pytest.param(lambda file: file.symlink_to("/dev/zero"), "is no regular file", id="device"),
    pytest.param(lambda file: file.write_text(str(gone())), "does not run", id="gone"),
]


@pytest.mark.parametrize(("make", "words"), FILES)
async def test_a_pid_file_that_names_none_is_down(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    """And it is never waited for, whatever it is."""
    file = tmp_path / "pid"
    make(file)
    reading = await look(pid_file=file)
    assert (reading.state, reading.cause, reading.facts.count) == ("down", "absent", 0)
    assert words in reading.reason


async def test_a_look_that_hangs_says_nothing_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on, the reading comes in time, and looks that wait for a thread are given up."""
    release = threading.Event()
    looked: list[Options] = []

    def hang(options: Options) -> tuple[process.Found, str]:
        looked.append(options)
        release.wait(30)
        return process.Found(1), ""

    monkeypatch.setattr(process, "_look", hang)
    try:
        readings = await asyncio.gather(*(process.probe(Options(name="x"), PARTS, 0.2) for _ in range(6)))
    finally:
        release.set()
    assert {(reading.state, reading.cause) for reading in readings} == {("unknown", "system")}
    assert {reading.reason for reading in readings} == {"the processes of this host could not be read within 0.2 s"}
    assert len(looked) == process.THREADS


PROBLEMS = [
    pytest.param({}, (), "found 0 of name, match and pid_file: give exactly one", id="none"),
    pytest.param({"name": "a", "match": "b"}, ("match",), "found 2 of name, match and pid_file", id="two"),
    pytest.param({"match": "("}, ("match",), "'('", id="pattern"),
    pytest.param({"name": "a", "min_count": 3, "max_count": 2}, ("max_count",), "less than min_count", id="bounds"),
    pytest.param({"pid_file": Path("/x"), "min_count": 2}, ("min_count",), "names one process", id="two of one"),
]


@pytest.mark.parametrize(("options", "path", "words"), PROBLEMS)
def test_what_can_find_nothing_is_a_problem(options: dict[str, object], path: tuple[str, ...], words: str) -> None:
    [(found, told)] = Options(**options).problems(SimpleNamespace())
    assert found == path
    assert words in told


def test_the_target_is_how_it_is_found() -> None:
    assert process.target(Options(name="nginx")) == "process nginx"
    assert process.target(Options(match="a.*b")) == "processes matching a.*b"
    assert process.target(Options(pid_file=Path("/run/x.pid"))) == "process of /run/x.pid"
    with pytest.raises(ValueError, match="takes no target"):
        process.aimed(Options(name="nginx"), "bash")
