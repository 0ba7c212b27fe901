"""`watchbridge demo`: it ends with its terminal, and what it prints can be typed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = (sys.executable, "-m", "exporter")


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **variables}


def run(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def demo(folder: Path, *words: str, nohup: bool = False) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the demo with `folder` for its files; give it and what it says, which ends with a line on Ctrl-C."""
    with subprocess.Popen(
        [*(["nohup"] if nohup else []), *PROGRAM, "demo", *words],
        env=environment(TMPDIR=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            said = ""
            for line in program.stdout:
                said += line
                if line.startswith("Ctrl-C"):
                    break
            yield program, said
        finally:
            program.kill()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_it_ends_with_its_terminal_and_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    """A closed terminal sends SIGHUP: there is no file that it could ask to read again."""
    with demo(tmp_path, "--web.listen-address", "127.0.0.1:0") as (program, _):
        assert list(tmp_path.iterdir())
        program.send_signal(getattr(signal, name))
        assert program.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_nohup_lets_it_outlive_its_terminal(tmp_path: Path) -> None:
    """A signal that was ignored from the start stays so."""
    with demo(tmp_path, "--web.listen-address", "127.0.0.1:0", nohup=True) as (program, _):
        program.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(1.5)
        program.send_signal(signal.SIGTERM)
        assert program.wait(20) == 0


@pytest.mark.parametrize("address", [":0", "0.0.0.0:0", "127.0.0.1:0"])
def test_what_it_prints_can_be_typed(tmp_path: Path, address: str) -> None:
    """The URL can be opened, and the report of a folder with a space and a quote in its name works."""
    folder = tmp_path / "a 'folder' of \"mine\""
    folder.mkdir()
    with demo(folder, "--web.listen-address", address, "--log.level", "warn") as (_, said):
        assert re.search(r"look at http://127\.0\.0\.1:\d+\n", said)
        for title, wanted in (
            ("see the services", "watchbridge_service_state{"),
            ("see the packages", "watchbridge_packages{"),
            ("report them", "TOTAL"),
            ("see the alerts", "UserSyncFailed"),
            ("what they led to", "user-sync"),
            ("see what it mends", "restarted and verified"),
            ("see its circuits", "renderer"),
        ):
            line = re.search(rf"{title}: +(.*)", said)
            assert line is not None
            typed = line[1].replace(f"{shlex.quote(sys.argv[0])} ", "")
            typed = re.sub(
                r"(/\S*__main__\.py|watchbridge) (packages|incidents|backlog|circuits)",
                rf"{sys.executable} -m exporter \2",
                typed,
            )
            ended = time.monotonic() + 20  # the services are there a moment after the URL
            while True:
                done = subprocess.run(["sh", "-c", typed], capture_output=True, text=True, timeout=60, check=False)
                if wanted in done.stdout:
                    break
                assert time.monotonic() < ended, (typed, done.stdout, done.stderr)


@pytest.mark.parametrize("address", ['x"y:1', "here", "127.0.0.1:99999", "127.0.0.1:1\nlog: {}"])
def test_an_address_that_is_none_is_a_mistake_of_the_command_line(tmp_path: Path, address: str) -> None:
    """The flag is named, not a configuration that the user never wrote."""
    done = run("demo", "--web.listen-address", address, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--web.listen-address" in done.stderr
    assert "the demo's configuration" not in done.stderr


def test_the_example_that_it_writes_is_named_with_the_command_that_reads_it(tmp_path: Path) -> None:
    """On standard error; the setting is one that a shell takes."""
    folder = tmp_path / "two words"
    folder.mkdir()
    done = run("demo", "--write", "p.db", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("Wrote an example package database to p.db. ")
    setting = shlex.split(done.stderr)[-4]
    assert setting == f"DATABASE_URL=sqlite:///{folder}/p.db"
    assert "TOTAL" in run("packages", cwd=tmp_path, DATABASE_URL=setting.partition("=")[2]).stdout


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none/p.db", "there is no folder none"),
        ("there.db", "is there already"),
        ("", "it is empty"),
        (".", "directory"),
    ],
    ids=["missing folder", "existing file", "empty", "folder"],
)
def test_where_no_example_can_be_written_is_said(tmp_path: Path, path: str, said: str) -> None:
    """Exit 2 and the option's name; what is there stays as it is."""
    (tmp_path / "there.db").write_text("mine")
    done = run("demo", "--write", path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "--write" in done.stderr
    assert os.listdir(tmp_path) == ["there.db"]  # noqa: PTH208 - the names are enough
    assert (tmp_path / "there.db").read_text() == "mine"
