"""Where the store is when nobody says so, and URLs that cannot be one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.store.options import StoreOptions, state_directory


@pytest.mark.parametrize(
    ("environ", "windows", "expected"),
    [
        pytest.param({"STATE_DIRECTORY": "/var/lib/w"}, False, Path("/var/lib/w"), id="systemd"),
        pytest.param({"STATE_DIRECTORY": "/var/lib/w:/var/lib/x"}, False, Path("/var/lib/w"), id="first-of-several"),
        pytest.param({"XDG_STATE_HOME": "/home/u/state"}, False, Path("/home/u/state/watchbridge"), id="xdg"),
        pytest.param({"STATE_DIRECTORY": "/a", "XDG_STATE_HOME": "/b"}, False, Path("/a"), id="systemd-before-xdg"),
        pytest.param({"XDG_STATE_HOME": "here"}, False, Path.home() / ".local/state/watchbridge", id="relative-xdg"),
        pytest.param({}, False, Path.home() / ".local/state/watchbridge", id="nothing-set"),
        pytest.param({"LOCALAPPDATA": "/c/Local"}, True, Path("/c/Local/watchbridge"), id="windows"),
    ],
)
def test_state_directory(environ: dict[str, str], windows: bool, expected: Path) -> None:  # noqa: FBT001
    """The state directory is the first one the environment names, else the user's own."""
    assert state_directory(environ, windows=windows) == expected


def test_default_is_a_file_in_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `store` the embedded store lies in the state directory, under its fixed name."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/watchbridge")
    assert StoreOptions().url.reveal() == "sqlite:////var/lib/watchbridge/watchbridge.db"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("sqlite:////var/lib/w/w.db", "", id="sqlite-absolute"),
        pytest.param("sqlite:///w.db", "", id="sqlite-relative"),
        pytest.param("postgresql://u:p@h/w", "", id="postgresql"),
        pytest.param("postgresql+psycopg2://u:p@h/w", "", id="driver-word"),
        pytest.param("mariadb://u:p@h/w", "", id="mariadb"),
        pytest.param("sqlite://", "in memory", id="memory"),
        pytest.param("sqlite:///:memory:", "in memory", id="memory-by-name"),
        pytest.param("/var/lib/w.db", "sqlite:////path", id="bare-path"),
        pytest.param("oracle://u:hunter2@h/w", "sqlite:////path", id="unknown-scheme"),
        pytest.param("postgresql://u:hunter2@h:99999/w", "port", id="port"),
        pytest.param("mysql://u:hunter2@h", "names no database", id="no-database"),
        pytest.param("sqlite+aiosqlite://", "in memory", id="memory-with-driver-word"),
    ],
)
def test_problems_of_a_url(url: str, expected: str) -> None:
    """A URL that cannot be a store is a mistake in the configuration, told without the URL itself."""
    found = list(StoreOptions.from_scalar(url).problems(None))
    assert bool(found) == bool(expected)
    assert all(path == ("url",) and expected in sentence and "hunter2" not in sentence for path, sentence in found)


def test_options_import_no_database_code() -> None:
    """Reading the configuration stays fast: the options alone import neither SQLAlchemy nor Alembic."""
    code = "import exporter.store.options, sys; sys.exit(bool({'sqlalchemy', 'alembic', 'sqlite3'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
