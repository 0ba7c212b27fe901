"""The recipes of docs/migrating.md work where they are pasted, and say what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.labels import LIMIT, normalised

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
BLOCKS = {
    title: re.search(r"```\w+\n(.*?)```", TEXT.partition(f"### {title}\n")[2], re.DOTALL)
    for title in ("Cron", "systemd", "Windows Task Scheduler")
}


@pytest.mark.parametrize("title", ["Cron", "systemd"])
def test_unattended_commands_need_no_path(title: str) -> None:
    """Cron and systemd look in few folders, and a virtual environment is in none of them."""
    if title == "Cron":
        found = re.findall(r"packages\.env; (\S+) packages", TEXT)
        assert len(found) == 2
    else:
        found = re.findall(r"(?m)^ExecStart=(\S+) packages", TEXT)
        assert len(found) == 1
    assert all(command.startswith("/") for command in found)


def test_the_folder_of_the_log_on_windows_is_made() -> None:
    """The command makes the file, not its folder."""
    block = BLOCKS["Windows Task Scheduler"]
    assert block is not None
    log = re.search(r'--log-file "(.*?)\\packages\.log"', block[1])
    assert log is not None
    made = block[1].find(f'New-Item -ItemType Directory -Force -Path "{log[1]}"')
    assert 0 <= made < log.start()


@pytest.mark.parametrize(
    ("text", "shown"), [(None, "__null__"), ("", "__empty__"), ("two\nlines", "two\ufffdlines"), ("=1+1", "=1+1")]
)
def test_what_becomes_of_a_status_is_what_is_said(text: str | None, shown: str) -> None:
    """The stand-ins are named in the section on the formats."""
    section = TEXT.partition("### The formats\n")[2].partition("\n### ")[0]
    assert normalised(text) == shown
    for word in ("`__null__`", "`__empty__`", "`U+FFFD`", f"over {LIMIT} characters", "begins with `=`"):
        assert word in section
