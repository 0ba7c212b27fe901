"""Output that cannot be written is a sentence and an exit status, whichever command writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from exporter import example

if TYPE_CHECKING:
    from pathlib import Path

FULL = "The output cannot be written: No space left on device"
CLOSED = "The output cannot be written: Bad file descriptor"
COMMANDS = {
    "packages": "packages",
    "json": "packages --output json",
    "watch": "packages --watch --interval 1",
    "schema": "schema",
    "completion": "completion bash",
    "rules": "rules export rules",
    "dashboards": "dashboards export dashboards",
    "version": "--version",
    "help": "--help",
}

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110 - at import


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a folder with a package database."""
    example.Packages(tmp_path / "p.db").make()
    return tmp_path


def shell(home: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which $W is our command."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("$W", f"{sys.executable} -m exporter")],
        cwd=home,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "DATABASE_URL": f"sqlite:///{home}/p.db"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("where", "said"), [(">/dev/full", FULL), (">&-", CLOSED)], ids=["full", "closed"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_report_that_cannot_be_written_is_one_sentence_and_exit_3(
    home: Path, command: str, where: str, said: str
) -> None:
    """No traceback, neither from us nor from the interpreter at its end."""
    done = shell(home, f"$W {command} {where}")
    sentences = [line for line in done.stderr.splitlines() if not line.startswith("ALERT")]
    assert (done.returncode, done.stdout, len(sentences)) == (3, "", 1), done.stderr
    assert sentences[0].startswith(f"watchbridge: {said}")


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"], ids=["full", "closed"])
@pytest.mark.parametrize(
    ("command", "code"),
    [("serve --config missing.yml", 2), ("zebra", 2), ("packages nobody", 2), ("schema", 0), ("--version", 0)],
)
def test_without_a_standard_error_the_exit_status_is_what_it_would_be(
    home: Path, command: str, code: int, where: str
) -> None:
    """What cannot be said is lost; the status still says it."""
    done = shell(home, f"$W {command} {where}")
    assert (done.returncode, done.stderr) == (code, "")
    assert bool(done.stdout) == (code == 0)


def test_a_warning_that_cannot_be_written_exits_3(home: Path) -> None:
    """The report is whole, but somebody was to be told more."""
    done = shell(home, "$W packages 2>/dev/full")
    assert (done.returncode, done.stderr) == (3, "")
    assert "TOTAL" in done.stdout


def test_with_everything_closed_nothing_takes_the_numbers_of_the_streams(home: Path) -> None:
    """A database opened as number 1 would be written over by the report."""
    before = (home / "p.db").read_bytes()
    assert shell(home, "$W packages <&- >&- 2>&-").returncode == 3
    assert (home / "p.db").read_bytes() == before


@pytest.mark.parametrize("command", ["packages --watch --interval 1", "schema", "schema 2>&1"])
def test_a_reader_that_has_enough_is_no_failure(home: Path, command: str) -> None:
    """As in `watchbridge schema | head -1`: quiet, and 0."""
    done = shell(home, f"$W {command} | head -1")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert all(line.startswith("ALERT") for line in done.stderr.splitlines())


def test_a_refusal_of_the_system_that_is_not_about_output_names_the_file(home: Path) -> None:
    """Whatever nobody foresaw is a sentence too."""
    code = (
        "from exporter import cli\n"
        "import click, sys\n"
        "@click.command()\n"
        "def broken(): open('/nowhere/at/all')\n"
        "cli.command.get_command = lambda ctx, word: broken\n"
        "sys.argv = ['watchbridge', 'serve']\n"
        "cli.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stderr == (
        "watchbridge: The system refused something that is needed (/nowhere/at/all): No such file or directory;"
        " check rights, room and limits.\n"
    )
