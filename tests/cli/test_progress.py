"""A progress line is for people who wait at a terminal, and for nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import select
import sys
import time
from typing import TYPE_CHECKING

from exporter.cli import progress, store
from exporter.cli.progress import AFTER, EVERY, ProgressLine
from exporter.store.collector_runs import remember
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest


class Terminal(io.StringIO):
    """Keeps what a terminal was sent."""

    def isatty(self) -> bool:
        return True


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def told(monkeypatch: pytest.MonkeyPatch, *moments: tuple[float, int, int | None], error: bool = False) -> str:
    """Tell of progress at moments after the start, then perhaps fail; return what the terminal was sent."""
    # Here and not in a fixture: pytest puts its own standard error in place between the two.
    terminal, time = Terminal(), Time()
    monkeypatch.setattr(sys, "stderr", terminal)
    with contextlib.suppress(KeyError), ProgressLine(time) as line:
        hook = line.hook()
        assert hook is not None
        for after, done, total in moments:
            time.now = 100.0 + after
            hook("Writing", done, total)
        if error:
            raise KeyError
    return terminal.getvalue()


def test_what_is_done_in_two_seconds_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, (0.0, 1, 10), (AFTER - 0.1, 9, 10)) == ""


def test_what_takes_longer_is_one_line_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is rewritten a few times a second, and never leaves a longer one's end."""
    shown = told(monkeypatch, (AFTER, 500, 1000), (AFTER + EVERY / 2, 600, 1000), (AFTER + EVERY, 7, None))
    first = "Writing: 500 of 1000 rows (50%)"
    second = "Writing: 7 rows"
    assert shown == f"\r{first}\r{second.ljust(len(first))}\r{' ' * len(second)}\r"


def test_the_line_is_gone_before_an_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, (AFTER, 1, None), error=True) == "\rWriting: 1 rows\r               \r"


async def test_work_of_unknown_length_shows_its_seconds_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between stands on a line of its own; the result comes through, and nothing is left over."""
    written = asyncio.Event()

    class Watched(Terminal):
        def write(self, text: str, /) -> int:
            written.set()
            return super().write(text)

    terminal, clock = Watched(), Time()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "EVERY", 0.001)

    async def work(line: ProgressLine) -> int:
        clock.now += AFTER + 1
        await asyncio.wait_for(written.wait(), 10)
        line.clear()
        terminal.write("a step\n")
        return 7

    with ProgressLine(clock) as line:
        assert await line.during("Probing web", work(line)) == 7
    shown = "Probing web: 3 s"
    assert terminal.getvalue() == f"\r{shown}\r{' ' * len(shown)}\ra step\n"


async def test_work_that_fails_ends_the_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())

    async def work() -> None:
        raise KeyError

    before = asyncio.all_tasks()
    with ProgressLine() as line:
        with contextlib.suppress(KeyError):
            await line.during("Probing web", work())
        assert asyncio.all_tasks() == before


async def test_without_a_terminal_work_is_only_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    async def work() -> set[asyncio.Task[None]]:
        return asyncio.all_tasks()

    with ProgressLine() as line:
        assert await line.during("Probing web", work()) == asyncio.all_tasks()


def test_no_terminal_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log or a mail of cron is not written over."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with ProgressLine() as line:
        assert line.hook() is None


@contextlib.contextmanager
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Make standard error a terminal on which every line is due; give what reads it up to a sentence's end."""
    leader, follower = os.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(progress, "AFTER", 0.0)
        monkeypatch.setattr(progress, "EVERY", 0.0)

        def shown() -> str:
            found = b""
            while not found.endswith(b"\n") and select.select([leader], [], [], 10)[0]:
                found += os.read(leader, 65536)
            return found.decode()

        yield shown
    os.close(leader)


def filled(url: str, rows: int) -> None:
    """Make a store with rows."""

    async def fill() -> None:
        opened = await Store.open(StoreOptions.from_scalar(url), time, exclusive=False)
        await remember(opened, {("packages", f"{n}"): 1.0 for n in range(rows)})
        await opened.close()

    asyncio.run(fill())


def test_a_backup_and_a_restore_say_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, in rows; at the end stands the sentence alone."""
    first, second = (f"sqlite:///{tmp_path}/{name}/store.db" for name in ("one", "two"))
    file = str(tmp_path / "backup.gz")
    filled(first, 1200)
    with screen(monkeypatch) as shown:
        store.command.main(["backup", file, "--store", first], standalone_mode=False)
        wrote = shown()
        store.command.main(["restore", file, "--store", second], standalone_mode=False)
        restored = shown()
    assert re.search(r"\rWriting: 500 of 1200 rows \(42%\) *\rWriting: 1000 of 1200 rows \(83%\) *\r +\rWrote", wrote)
    assert re.search(r"\rChecking: 500 rows *\rChecking: 1000 rows *\rRestoring: 500 of 1200 rows", restored)
    assert re.search(r"\r +\rRestored 1200 rows", restored)
