"""A log line is one JSON object whatever it is about, holds no secret, and never raises."""

from __future__ import annotations

import json
import logging
import os
import stat
from typing import TYPE_CHECKING

import pytest
import time_machine

from exporter import logs
from exporter.config.options import Size
from exporter.errors import LogFileError
from exporter.logs import LogOptions

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = 'two\nlines \x1b[31mred \x00 "quoted" \ud800 \u202e żółw'


def written(path: Path) -> list[str]:
    return path.read_bytes().decode("ascii").splitlines()


def test_each_line_is_one_json_object_in_ascii(tmp_path: Path) -> None:
    """Line breaks, escapes, lone surrogates and bidirectional controls stay inside their string."""
    path = tmp_path / "w.log"
    logs.set_up(LogOptions(file=path))
    logging.getLogger("here").warning("said %s", HOSTILE, extra={"fields": {"source": HOSTILE}})
    (line,) = written(path)
    record = json.loads(line)
    assert record["msg"] == f"said {HOSTILE}"
    assert (record["level"], record["logger"], record["source"]) == ("warning", "here", HOSTILE)
    assert record["ts"].endswith("Z")


def test_text_is_one_line_too(tmp_path: Path) -> None:
    """For people, with what a terminal must not see escaped."""
    path = tmp_path / "w.log"
    logs.set_up(LogOptions(file=path, format="text"))
    logging.getLogger("here").warning("said %s", HOSTILE, extra={"fields": {"a": 1}})
    (line,) = written(path)
    assert "\\n" in line
    assert "\\x1b" in line
    assert line.endswith(" a=1")


@pytest.mark.parametrize("form", ["json", "text"])
def test_known_secrets_are_redacted_everywhere(tmp_path: Path, form: str) -> None:
    """In the message, in fields, in tracebacks, and where JSON escaped them."""
    path = tmp_path / "w.log"
    logs.set_up(LogOptions(file=path, format=form))
    logs.REDACTION.learn({'canary"quote', "canary", "ab"})
    try:
        int('canary"quote')
    except ValueError:
        logging.getLogger("here").exception("with canary about", extra={"fields": {"x": 'canary"quote'}})
    text = path.read_text()
    assert "canary" not in text
    assert text.count("<secret>") >= 3
    assert "about" in text, "a secret too short to look for is not looked for"


def test_the_file_is_rotated_by_size_and_old_ones_end(tmp_path: Path) -> None:
    """`max_size` and `keep` bound what the log may take."""
    path = tmp_path / "w.log"
    logs.set_up(LogOptions(file=path, max_size=Size(2048), keep=2))
    for n in range(200):
        logging.getLogger("here").warning(f"line {n}")  # noqa: G004 - each a kind of its own
    files = sorted(entry.name for entry in tmp_path.iterdir())
    assert files == ["w.log", "w.log.1", "w.log.2"]
    assert all(entry.stat().st_size <= 2048 for entry in tmp_path.iterdir())
    assert "line 199" in path.read_text()


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    """Others on the machine cannot read it."""
    path = tmp_path / "w.log"
    logs.set_up(LogOptions(file=path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """A link in a shared folder must not make us write elsewhere."""
    (tmp_path / "target").touch()
    (tmp_path / "w.log").symlink_to(tmp_path / "target")
    with pytest.raises(LogFileError):
        logs.set_up(LogOptions(file=tmp_path / "w.log"))


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Opening one would wait for its reader, and the whole program with it."""
    os.mkfifo(tmp_path / "w.log")
    with pytest.raises(LogFileError, match=r"no regular file|No such device"):
        logs.set_up(LogOptions(file=tmp_path / "w.log"))


def test_a_flood_of_one_kind_is_held_back_and_counted(tmp_path: Path) -> None:
    """Ten thousand lines of one kind do not fill a disk; other kinds still pass, and the next one says how many."""
    path = tmp_path / "w.log"
    with time_machine.travel(0, tick=False) as clock:
        logs.set_up(LogOptions(file=path))
        for n in range(10_000):
            logging.getLogger("here").error("broken %d", n)
        logging.getLogger("here").error("another")
        assert len(written(path)) == logs.FLOOD_LINES + 1
        clock.shift(logs.FLOOD_SECONDS + 1)
        logging.getLogger("here").error("broken %d", 0)
    assert json.loads(written(path)[-1])["held_back"] == 10_000 - logs.FLOOD_LINES


def test_a_file_that_cannot_be_written_keeps_the_log_as_it_was(tmp_path: Path) -> None:
    """A mistake at reload costs no line."""
    path = tmp_path / "w.log"
    logs.set_up(LogOptions(file=path))
    with pytest.raises(LogFileError, match="choose another"):
        logs.set_up(LogOptions(file=tmp_path / "missing" / "w.log"))
    logging.getLogger("here").warning("still here")
    assert "still here" in path.read_text()


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_least_that_is_logged(tmp_path: Path, level: str, count: int) -> None:
    """Four severities."""
    path = tmp_path / "w.log"
    logs.set_up(LogOptions(file=path, level=level))
    for severity in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("here").log(severity, "x")
    assert len(written(path)) == count


def test_a_message_that_does_not_fit_its_arguments_does_no_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in our own call to the logger is not the user's crash."""
    logs.set_up(LogOptions(file=tmp_path / "w.log"))
    logging.getLogger("here").warning("%d and %d", 1)  # noqa: PLE1206 - the mistake is the point
    assert capsys.readouterr().err == ""
