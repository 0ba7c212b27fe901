"""A service is restarted on a host by one process at a time, and by nobody whose lease was taken over."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exporter import fences
from exporter.fences import STORES, FenceBusyError, FenceError, StaleFenceError, folder_of, held

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no fence on Windows")
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be another user")

HOLDS = (
    "import asyncio, sys, pathlib\n"
    "from exporter.fences import held\n"
    "async def hold():\n"
    "    async with held('db', 1, store='s', seconds=5, folder=pathlib.Path(sys.argv[1])):\n"
    "        print('held', flush=True)\n"
    "        {then}\n"
    "asyncio.run(hold())"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give where fences are kept; neither it nor the folder around it is there."""
    return tmp_path / "watchbridge" / "fences"


async def once(folder: Path, fence: int = 1, *, service: str = "db", store: str = "s", seconds: float = 0) -> bool:
    """Hold a fence for a moment."""
    async with held(service, fence, store=store, seconds=seconds, folder=folder) as fenced:
        return fenced


def use(folder: Path, fence: int = 1, **keys: Any) -> bool:
    """Hold a fence for a moment, where no loop runs."""
    return asyncio.run(once(folder, fence, **keys))


def file_of(folder: Path) -> Path:
    """Return the file of the service `db`."""
    return folder / fences._name("db")


def holder(folder: Path, then: str = "sys.stdin.read()") -> subprocess.Popen[str]:
    """Start a process that holds the fence."""
    argv = [sys.executable, "-c", HOLDS.format(then=then), str(folder)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def other(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Give another process that holds the fence."""
    with holder(folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def test_another_process_is_waited_for(folder: Path, other: subprocess.Popen[str]) -> None:
    """Up to the seconds that were given: then it is named. One that is killed gives the fence back."""
    with pytest.raises(FenceBusyError, match=rf"'db' is being restarted .* another process \(process {other.pid}\)"):
        await once(folder)
    assert await once(folder, service="web")
    waiting = asyncio.create_task(once(folder, seconds=30))
    await asyncio.sleep(0)
    assert not waiting.done()
    other.send_signal(signal.SIGKILL)
    assert await waiting


async def test_tasks_of_one_process_exclude_each_other(folder: Path) -> None:
    """Also with stores of their own, and whoever is cancelled holds nothing."""
    async with held("db", 1, store="s", seconds=0, folder=folder):
        for store in ("s", "t"):
            with pytest.raises(FenceBusyError):
                await once(folder, 2, store=store)
        waiting = asyncio.create_task(once(folder, 3, seconds=30))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await once(folder, 2)


async def test_no_descriptor_is_left(folder: Path) -> None:
    """Neither after a turn nor after a refusal."""
    await once(folder, 7)
    before = os.listdir("/dev/fd")  # noqa: PTH208 - no pathlib between two looks
    for fence in (8, 7, 9):
        try:
            await once(folder, fence)
        except StaleFenceError:
            assert fence == 7
    file_of(folder).unlink()
    file_of(folder).mkdir()
    with pytest.raises(FenceError):
        await once(folder)
    assert os.listdir("/dev/fd") == before  # noqa: PTH208 - as above


async def test_an_older_number_is_refused(folder: Path) -> None:
    """Of the same store and service: the same again is not older. What failed counts too."""
    for fence in (3, 3, 5):
        assert await once(folder, fence)
    with pytest.raises(ZeroDivisionError):
        async with held("db", 7, store="s", seconds=0, folder=folder):
            _ = 1 / 0
    with pytest.raises(StaleFenceError, match=r"'db' over \(7 came after 5\); if .* is new, remove /.*\.fence"):
        await once(folder, 5)
    assert await once(folder, 1, store="another")
    assert await once(folder, 1, service="web")
    assert await once(folder, 7)


def test_numbers_of_many_stores_are_kept(folder: Path) -> None:
    """Those of the latest; one that is used again stays. The name of a store is written nowhere."""
    use(folder, 9, store="s")
    for number in range(STORES - 1):
        use(folder, 9, store=f"postgresql://canary@{number}")
    with pytest.raises(StaleFenceError):
        use(folder, 8, store="s")
    use(folder, 9, store="s")
    use(folder, 9, store="one more")
    with pytest.raises(StaleFenceError):
        use(folder, 8, store="s")
    assert use(folder, 1, store="postgresql://canary@0")
    assert b"canary" not in file_of(folder).read_bytes()


def test_files_are_ours_alone_and_say_what_for(folder: Path) -> None:
    """A name may be of any length and hold anything."""
    strange = "../\ud800\n" + "x" * 5000
    before = os.umask(0)
    try:
        use(folder, service=strange)
    finally:
        os.umask(before)
    [file] = folder.iterdir()
    assert b'"service": "../\\ud800\\nxxx' in file.read_bytes()
    assert [stat.S_IMODE(one.stat().st_mode) for one in (folder.parent, folder, file)] == [0o700, 0o700, 0o600]


CONTENTS = [
    pytest.param(b"", None, id="empty"),
    pytest.param(bytes(4096), None, id="zeros after a power cut"),
    pytest.param(b'{"numbers": {}}\ntail of a longer line', None, id="a line that was written over a longer one"),
    pytest.param(b"42\n", "holds something else", id="no object"),
    pytest.param(b"\xff" * 50_000, "holds something else", id="garbage"),
    pytest.param(b"[" * 20_000, "holds something else", id="deep"),
    pytest.param(b'{"numbers": {"x": "1"}}\n', "holds something else", id="no number"),
    pytest.param(b'{"numbers": [1]}\n', "holds something else", id="a list"),
]


@pytest.mark.parametrize(("content", "refused"), CONTENTS)
def test_a_file_that_holds_something_else(folder: Path, content: bytes, refused: str | None) -> None:
    """It is not guessed what the highest number was: a person is told which file to remove."""
    use(folder)
    file_of(folder).write_bytes(content)
    if refused is None:
        assert use(folder)
        assert file_of(folder).read_bytes().endswith(b"}}\n")
        return
    with pytest.raises(FenceError, match=rf"'db' .* cannot be used: its file /.*\.fence {refused}.*remove it"):
        use(folder)
    assert file_of(folder).read_bytes() == content


PLANTED = ["symlink", "dangling symlink", "hardlink", "fifo", "directory"]


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_in_the_place_of_the_file_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    """At once; nothing is followed, and the target keeps its content."""
    folder.parent.mkdir(mode=0o700)
    folder.mkdir(mode=0o700)
    precious = '{"numbers": {}}\n'  # which could be taken for ours
    target = tmp_path / "precious"
    target.write_text(precious)
    _plant(kind, file_of(folder), target)
    with pytest.raises(FenceError, match=r"cannot be used: its file /.*remove it"):
        use(folder, seconds=30)
    assert target.read_text() == precious
    assert sorted(tmp_path.iterdir()) == sorted([target, folder.parent])


@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "hardlink", "fifo", "a file"])
@pytest.mark.parametrize("which", ["folder", "parent"])
def test_what_is_planted_in_the_place_of_a_folder_is_refused(
    folder: Path, tmp_path: Path, which: str, kind: str
) -> None:
    """A link to a folder as well."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    target = elsewhere if kind == "symlink" else tmp_path / "precious"
    if kind != "symlink":
        target.write_text("precious")
    place = folder if which == "folder" else folder.parent
    place.parent.mkdir(mode=0o700, exist_ok=True)
    _plant(kind, place, target)
    with pytest.raises(FenceError, match=r"its folder /.*RUNTIME_DIRECTORY"):
        use(folder)
    assert not [*elsewhere.iterdir()]


def _plant(kind: str, place: Path, target: Path) -> None:
    made: dict[str, Any] = {
        "symlink": lambda: place.symlink_to(target),
        "dangling symlink": lambda: place.symlink_to(target.with_name("missing")),
        "hardlink": lambda: place.hardlink_to(target),
        "fifo": lambda: os.mkfifo(place),
        "directory": place.mkdir,
        "a file": place.touch,
    }
    made[kind]()


@pytest.mark.parametrize(
    ("which", "mode", "refused"),
    [
        ("folder", 0o750, True),
        ("folder", 0o701, True),
        ("parent", 0o755, False),
        ("parent", 0o770, True),
        ("parent", 0o1777, True),
    ],
)
def test_a_folder_that_is_open_to_others_is_refused(folder: Path, which: str, mode: int, *, refused: bool) -> None:
    """Of the one around it nobody else may write there."""
    use(folder)
    (folder if which == "folder" else folder.parent).chmod(mode)
    if not refused:
        assert use(folder)
        return
    with pytest.raises(FenceError, match=rf"is open to others \(mode {mode:04o} of .*\): run chmod 0700 on it"):
        use(folder)


@root
@pytest.mark.parametrize("which", ["file", "folder", "parent"])
def test_what_belongs_to_another_user_is_refused(folder: Path, which: str) -> None:
    """Whoever owns it may change it."""
    use(folder)
    os.chown({"file": file_of(folder), "folder": folder, "parent": folder.parent}[which], 12345, 12345)
    with pytest.raises(FenceError, match="uid 12345" if which != "file" else "another user's"):
        use(folder)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(FenceError, match=r"no such file or directory\): .*, or let RUNTIME_DIRECTORY name a"):
        use(tmp_path / "missing" / "watchbridge" / "fences")


async def test_a_file_that_is_removed_while_somebody_waits(folder: Path) -> None:
    """Whoever waited for the old one takes the new one: two never hold one service."""
    async with held("db", 1, store="s", seconds=0, folder=folder):
        waiting = asyncio.create_task(once(folder, 2, seconds=30))
        await asyncio.sleep(0)
        file_of(folder).unlink()
        async with held("db", 3, store="t", seconds=0, folder=folder):
            pass
    assert await waiting
    with pytest.raises(StaleFenceError):
        await once(folder, 1)


@pytest.mark.parametrize(
    "then",
    [
        "import subprocess; child = subprocess.Popen(['sleep', '60'], close_fds=False)",
        "import os; child = os.fork() or (os.close(1), os.execvp('sleep', ['sleep', '60']))",
    ],
    ids=["a program", "a fork"],
)
async def test_a_program_that_was_started_keeps_nothing(folder: Path, then: str) -> None:
    """It may outlive who started it: the fence is free when that one is killed."""
    with holder(folder, then + "; print(getattr(child, 'pid', child), flush=True); sys.stdin.read()") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        child = int(process.stdout.readline())
        try:
            with pytest.raises(FenceBusyError):
                await once(folder)
            process.kill()
            await asyncio.to_thread(process.wait, 10)
            assert await once(folder, seconds=10)
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


async def test_a_fork_that_becomes_no_program_keeps_nothing_that_was_given_back(folder: Path) -> None:
    """Its copy of the descriptor does not hold the lock any longer than who gave it back."""
    then = "import os, time; child = os.fork() or time.sleep(60); print(child, flush=True)"
    with holder(folder, then) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        child = int(process.stdout.readline())
        try:
            assert await once(folder, seconds=10)
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


FOLDERS = [
    pytest.param({"RUNTIME_DIRECTORY": "{tmp}/unit:{tmp}/second"}, 1000, "{tmp}/unit/fences", id="a unit of systemd"),
    pytest.param({"RUNTIME_DIRECTORY": "{tmp}/link"}, 1000, "{tmp}/unit/fences", id="a link that systemd made"),
    pytest.param({"RUNTIME_DIRECTORY": "unit"}, 0, "/run/watchbridge/fences", id="no absolute path"),
    pytest.param({"XDG_RUNTIME_DIR": "{tmp}/unit"}, 0, "/run/watchbridge/fences", id="root"),
    pytest.param({"XDG_RUNTIME_DIR": "{tmp}/unit"}, None, "{tmp}/unit/watchbridge/fences", id="a session"),
    pytest.param({"XDG_RUNTIME_DIR": "{tmp}/unit"}, 12345, "{temp}/watchbridge-12345/fences", id="another's session"),
    pytest.param({"XDG_RUNTIME_DIR": "/missing"}, 12345, "{temp}/watchbridge-12345/fences", id="a session that ended"),
    pytest.param({}, 12345, "{temp}/watchbridge-12345/fences", id="nothing"),
]


@pytest.mark.parametrize(("environ", "user", "expected"), FOLDERS)
def test_where_the_fences_are(tmp_path: Path, environ: dict[str, str], user: int | None, expected: str) -> None:
    """Processes that act for the same services find the same folder."""
    unit = tmp_path / "unit"
    unit.mkdir()
    (tmp_path / "link").symlink_to(unit)
    if user is None:
        user = 12345
        if os.geteuid() == 0:
            os.chown(unit, user, user)
        else:
            user = os.geteuid()
    places = {"tmp": str(tmp_path.resolve()), "temp": tempfile.gettempdir()}
    given = {name: value.format(**places) for name, value in environ.items()}
    assert folder_of(given, user) == Path(expected.format(**places))
