"""Processes end when they should, whatever they start, write or ignore."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from exporter import processes
from exporter.errors import ProcessNotStartedError
from exporter.processes import Finished, run

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = sys.executable


async def script(text: str, *, timeout: float = 20.0, **others) -> Finished:
    return await run([PYTHON, "-I", "-c", text], timeout=timeout, **others)


def gone(pid: int) -> bool:
    """Return whether the process is dead, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while not gone(pid):  # noqa: ASYNC110 - another process's end gives no event
            await asyncio.sleep(0.02)


async def test_status_and_both_outputs_are_returned():
    finished = await script("import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)")
    assert finished == Finished(code=7, output=b"out\nerr\n", timed_out=False)


async def test_standard_error_can_be_kept_apart():
    text = "import sys; print('out'); sys.stderr.write('e' * 300_000); sys.stdout.write('o' * 300_000); sys.exit(3)"
    finished = await script(text, errors_apart=True, output_limit=1000)
    assert (finished.code, finished.errors) == (3, b"e" * 1000)
    assert finished.output == b"out\n" + b"o" * 996


async def test_input_reaches_the_program_and_ends():
    data = b"x" * 1_000_000
    finished = await script("import sys; print(len(sys.stdin.buffer.read()))", stdin=data)
    assert finished.output == b"1000000\n"


async def test_a_program_that_reads_no_input_is_no_error():
    assert (await script("pass", stdin=b"x" * 1_000_000)).code == 0


async def test_arguments_are_no_shell_text(tmp_path: Path):
    finished = await run([PYTHON, "-I", "-c", "import sys; print(sys.argv[1:])", "$(id); `id` | *"], timeout=20)
    assert finished.output.decode() == "['$(id); `id` | *']\n"


async def test_the_environment_holds_no_secret(monkeypatch: pytest.MonkeyPatch):
    """Only PATH, LANG and HOME are handed on; what the caller names replaces them all."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:canary@host/name")
    # Python itself adds LC_CTYPE in the C locale.
    names = "import os; print(*sorted(set(os.environ) - {'LC_CTYPE'}))"
    assert set((await script(names)).output.decode().split()) <= {"PATH", "LANG", "HOME"}
    assert (await script(names, environment={"ONLY": "1"})).output == b"ONLY\n"


async def test_it_starts_in_the_root_with_a_tight_umask_and_its_own_session():
    finished = await script("import os; print(os.getcwd(), os.umask(0), os.getsid(0) == os.getpid())")
    assert finished.output == b"/ 63 True\n"


async def test_a_flood_of_output_is_cut_and_does_not_block():
    finished = await script("import sys; sys.stdout.write('y' * 50_000_000)", output_limit=1000)
    assert (finished.code, finished.output) == (0, b"y" * 1000)


async def test_at_the_deadline_the_grandchildren_end_too():
    """The grandchild holds the pipe and ignores SIGTERM: killing the leader alone would wait for it forever."""
    grandchild = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    text = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-c', {grandchild!r}])\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    began = time.monotonic()
    finished = await script(text, timeout=1.5)
    assert (finished.timed_out, finished.code) == (True, -9)
    assert time.monotonic() - began < 5
    await until_gone(int(finished.output))


async def test_an_end_that_is_not_seen_is_told_as_the_signal_that_was_sent(monkeypatch: pytest.MonkeyPatch):
    """A process in uninterruptible sleep does not end by SIGKILL: nobody waits for it, and no other signal is named."""
    pids = []
    monkeypatch.setattr(processes, "_kill_group", pids.append)
    monkeypatch.setattr(processes, "REAP_SECONDS", 0.05)
    monkeypatch.setattr(processes, "DRAIN_SECONDS", 0.05)
    finished = await script("import time; time.sleep(60)", timeout=0.2)
    assert finished == Finished(code=-9, output=b"", timed_out=True)
    await until_gone(pids[0])


async def test_what_is_left_behind_in_the_background_lives_on_and_holds_nobody():
    """As `mail` leaves its delivery behind: the end of the program is the end of the wait."""
    text = (
        "import subprocess, sys\n"
        "print(subprocess.Popen([sys.executable, '-I', '-c', 'import time; time.sleep(60)']).pid, flush=True)\n"
    )
    began = time.monotonic()
    finished = await script(text)
    left = psutil.Process(int(finished.output))
    try:
        assert (finished.code, finished.timed_out) == (0, False)
        assert time.monotonic() - began < 10
        assert left.is_running()
    finally:
        left.kill()


async def test_cancelling_while_it_starts_ends_all_of_it(tmp_path: Path):
    """The child that it has started by then holds the output: nobody waits for that, and it is gone as well."""
    note = tmp_path / "note"
    script = f"/bin/sleep 60 & echo $$ $! > {note}.part; /bin/mv {note}.part {note}; wait"
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    start = loop.subprocess_exec

    async def at_once(*words, **settings):
        started = await start(*words, **settings)
        begun.set()
        while not note.exists():  # noqa: ASYNC110 - a file gives no event
            await asyncio.sleep(0.01)
        return started

    loop.subprocess_exec = at_once
    try:
        task = asyncio.create_task(run(["/bin/sh", "-c", script], timeout=60))
        async with asyncio.timeout(30):
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    finally:
        del loop.subprocess_exec
    for pid in note.read_text().split():
        await until_gone(int(pid))


async def test_cancelling_ends_the_process(tmp_path: Path):
    note = tmp_path / "pid"
    text = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(60)"
    task = asyncio.create_task(script(text, timeout=60))
    async with asyncio.timeout(20):
        while not (note.exists() and note.read_text().endswith(".")):  # noqa: ASYNC110 - a file gives no event
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_gone(int(note.read_text().rstrip(".")))


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["/nowhere/at/all"], id="missing"),
        pytest.param([os.sep], id="folder"),
        pytest.param([PYTHON, "a\0b"], id="NUL"),
        pytest.param([PYTHON, "x" * 10_000_000], id="too long"),
    ],
)
async def test_a_program_that_cannot_start_is_a_sentence(argv: list[str]):
    with pytest.raises(ProcessNotStartedError, match="could not be started"):
        await run(argv, timeout=5)


@pytest.mark.skipif(sys.platform != "linux", reason="the alarm of a process that survives exec is Linux's here")
@pytest.mark.parametrize(("how", "seconds"), [({"dies_with_us": True}, range(10, 13)), ({}, range(1))])
async def test_a_program_that_is_to_die_with_us_has_an_alarm_of_its_own(how: dict[str, bool], seconds: range) -> None:
    """Where we are only stopped, it ends soon after its deadline: the alarm is set before it is started."""
    argv = [sys.executable, "-c", "import signal; print(signal.alarm(0))"]
    finished = await run(argv, timeout=7.0, **how)
    assert int(finished.output) in seconds
