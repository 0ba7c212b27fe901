"""Whom the data directory lets in, and to which process it belongs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from exporter.errors import DataDirectoryError, StoreBusyError
from exporter.store.directory import LOCK_NAME, DirectoryLock, prepare

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_made_for_us_alone(tmp_path: Path, umask: int) -> None:
    """A folder that is missing is made with 0700, its database with 0600, whatever the umask."""
    database = tmp_path / "data" / "watchbridge.db"
    before = os.umask(umask)
    try:
        assert prepare(database) is None
    finally:
        os.umask(before)
    assert (mode(database.parent), mode(database)) == (0o700, 0o600)


@posix
@pytest.mark.parametrize(
    ("before", "others_file", "after", "outcome"),
    [
        pytest.param(0o700, "notes", 0o700, "fine", id="ours-alone"),
        pytest.param(0o755, None, 0o700, "fine", id="readable-and-empty"),
        pytest.param(0o777, None, 0o700, "fine", id="writable-and-empty"),
        pytest.param(0o755, "notes", 0o755, "warning", id="readable-with-a-stranger"),
        pytest.param(0o770, "notes", 0o770, "refused", id="group-writes"),
        pytest.param(0o777, "notes", 0o777, "refused", id="all-write"),
        pytest.param(0o1777, None, 0o1777, "refused", id="sticky-as-tmp"),
    ],
)
def test_existing_folder(tmp_path: Path, before: int, others_file: str | None, after: int, outcome: str) -> None:
    """A folder of ours is tightened, one that others can read is a warning, one they can write is refused."""
    folder = tmp_path / "data"
    folder.mkdir()
    if others_file:
        (folder / others_file).touch()
    folder.chmod(before)
    if outcome == "refused":
        with pytest.raises(DataDirectoryError, match=rf"mode {before:04o}.*folder of its own"):
            prepare(folder / "watchbridge.db")
    else:
        warning = prepare(folder / "watchbridge.db")
        assert (warning or "").count(f"mode {before:04o}") == (outcome == "warning")
    assert mode(folder) == after


@posix
def test_open_database_file_is_tightened(tmp_path: Path) -> None:
    """A database file that others could read is closed to them."""
    database = tmp_path / "data" / "watchbridge.db"
    prepare(database)
    database.chmod(0o644)
    prepare(database)
    assert mode(database) == 0o600


@posix
@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "directory"])
@pytest.mark.parametrize("name", ["watchbridge.db", LOCK_NAME])
def test_planted_file_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    """A link, a pipe or a folder in the place of our files is refused at once, and its target keeps its content."""
    folder, target = tmp_path / "data", tmp_path / "precious"
    folder.mkdir(mode=0o700)
    target.write_text("precious")
    planted = folder / name
    {
        "symlink": lambda: planted.symlink_to(target),
        "hardlink": lambda: planted.hardlink_to(target),
        "fifo": lambda: os.mkfifo(planted),
        "directory": planted.mkdir,
    }[kind]()
    with pytest.raises(DataDirectoryError, match="remove it"):
        _ = prepare(planted) if name.endswith(".db") else DirectoryLock.take(folder)
    assert target.read_text() == "precious"


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the place of the folder is told as such."""
    (tmp_path / "data").touch()
    with pytest.raises(DataDirectoryError, match="cannot hold the store: file exists"):
        prepare(tmp_path / "data" / "watchbridge.db")


def test_lock_names_its_holder(tmp_path: Path) -> None:
    """A second process that asks for the directory hears which process has it, and gets it when that one is killed."""
    code = (
        "import sys, pathlib; from exporter.store.directory import DirectoryLock as L\n"
        "lock = L.take(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusyError, match=rf"\(process {other.pid}\)"):
            DirectoryLock.take(tmp_path, seconds=0.1)
        other.kill()
        other.wait(timeout=10)
    lock = DirectoryLock.take(tmp_path)
    assert lock.held
    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()
    assert not lock.held
    DirectoryLock.take(tmp_path).release()
