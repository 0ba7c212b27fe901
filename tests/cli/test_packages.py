"""`watchbridge packages` as its users start it: a real process on real databases."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psutil
import pytest
from servers.programs import until
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from exporter.databases.urls import async_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = (sys.executable, "-m", "exporter", "packages")
SAMPLE = {
    "Checking Licence": 45,
    "Downloaded": 23,
    "Security Scanning": 8,
    "Security Scanned": 156,
    "Pending Approval": 12,
    "Approved": 89,
    "Rejected": 3,
}
SAID = "ALERT: 333 packages"
OURS = ("DATABASE_URL", "ALERT_THRESHOLD", "ALERT_EMAIL", "LOG_FILE", "WATCHBRIDGE_CONFIG", "SMTP_HOST")


def make(path: Path, counts: dict[str, int], *, age: float = 0.0) -> str:
    """Fill a SQLite file with packages last updated `age` seconds ago; return its URL."""
    when = datetime.fromtimestamp(time.time() - age, UTC).strftime("%Y-%m-%d %H:%M:%S")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE packages (id INTEGER PRIMARY KEY, status TEXT, updated_at TEXT)")
        rows = [(status, when) for status, count in counts.items() for _ in range(count)]
        connection.executemany("INSERT INTO packages (status, updated_at) VALUES (?, ?)", rows)
    connection.close()
    return f"sqlite:///{path}"


def environment(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS} | {"TZ": "UTC"} | variables


def run(*arguments: str, cwd: Path | str = "/", **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*PROGRAM, *arguments], env=environment(**variables), cwd=cwd, capture_output=True, timeout=60, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Give the numbers of the sample report, all updated just now."""
    return make(tmp_path / "packages.db", SAMPLE)


@pytest.fixture
def old(tmp_path: Path) -> str:
    """Give the same numbers, all updated two hours ago: 333 are stuck, since 3 are Rejected."""
    return make(tmp_path / "old.db", SAMPLE, age=7200)


def test_the_table_is_the_known_report_when_icons_are_asked_for(url: str):
    """Every field of the sample report is there, in workflow order, and a status without packages at 0."""
    done = run("--icons", "always", DATABASE_URL=url)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"📊 Package Status Report - \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", lines[0])
    assert lines[1:] == [
        "=" * 50,
        "🔍 Checking Licence 45",
        "⬇️ Downloaded 23",
        "🔒 Security Scanning 8",
        "✅ Security Scanned 156",
        "⏳ Pending Approval 12",
        "👍 Approved 89",
        "❌ Rejected 3",
        "🚀 Published 0",
        "📦 TOTAL 336",
        "=" * 50,
    ]


def test_a_piped_table_has_no_icons(url: str):
    done = run(DATABASE_URL=url)
    assert done.stdout.isascii()
    assert done.stdout.startswith("Package Status Report - ")
    assert done.stderr == ""


def test_json_is_one_document_of_the_known_shape(url: str):
    """Descending by count, equal counts in workflow order, TOTAL last, and nothing else on standard output."""
    found = json.loads(run("--output", "json", DATABASE_URL=url).stdout)
    assert list(found) == ["timestamp", "package_counts"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", found["timestamp"])
    assert list(found["package_counts"].items()) == [
        ("Security Scanned", 156),
        ("Approved", 89),
        ("Checking Licence", 45),
        ("Downloaded", 23),
        ("Pending Approval", 12),
        ("Security Scanning", 8),
        ("Rejected", 3),
        ("Published", 0),
        ("TOTAL", 336),
    ]


def test_csv_has_a_header_and_rfc_4180_line_ends(url: str):
    found = run("--output", "csv", DATABASE_URL=url).stdout
    assert found.startswith("status,count\r\nChecking Licence,45\r\n")
    assert found.endswith("Published,0\r\n")
    assert found.count("\n") == found.count("\r\n") == 9


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_detailed_adds_stuck_and_times_to_every_format(old: str, output: str):
    done = run("--detailed", "--output", output, DATABASE_URL=old)
    time_pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    if output == "table":
        assert re.search(rf"(?m)^Checking Licence +45 +45 +{time_pattern} +{time_pattern}$", done.stdout)
        assert re.search(r"(?m)^TOTAL +336 +333$", done.stdout)
    elif output == "csv":
        rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
        assert list(rows[0]) == ["status", "count", "stuck", "oldest_update", "newest_update"]
        assert rows[6]["stuck"] == "0"
        assert rows[7] == {"status": "Published", "count": "0", "stuck": "0", "oldest_update": "", "newest_update": ""}
    else:
        found = json.loads(done.stdout)
        assert found["stuck_total"] == 333
        assert re.fullmatch(time_pattern, found["details"]["Approved"]["newest_update"])
        assert found["details"]["Published"] == {"count": 0, "stuck": 0, "oldest_update": None, "newest_update": None}


def test_a_status_with_control_characters_cannot_steer_the_terminal(tmp_path: Path):
    done = run(DATABASE_URL=make(tmp_path / "evil.db", {"\x1b[31mred\x07": 1, "two\nlines": 2}))
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert len(done.stdout.splitlines()) == 14


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        pytest.param("", 2, "set DATABASE_URL, for example to postgresql://", id="unset"),
        pytest.param("not a url with s3cret", 2, "no scheme", id="no scheme"),
        pytest.param("oracle://me:s3cret@host/name", 2, "'oracle'", id="unknown scheme"),
        pytest.param("postgresql://me:s3cret@127.0.0.1:1/name", 3, "127.0.0.1:1", id="refused"),
        pytest.param("sqlite:////nowhere/at/all.db", 3, "/nowhere/at/all.db", id="no file"),
    ],
)
def test_a_database_that_cannot_be_read_is_one_sentence(url: str, code: int, said: str):
    """Standard output stays empty, the password is not shown, and there is no traceback."""
    done = run("--output", "json", DATABASE_URL=url)
    assert done.returncode == code
    assert done.stdout == ""
    assert said in done.stderr
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--table", "pakages"), "no table 'pakages'", id="table"),
        pytest.param(("--status-column", "state"), "no column 'state'", id="status column"),
        pytest.param(("--updated-column", "updatedat"), "did you mean 'updated_at'", id="updated column"),
    ],
)
def test_a_missing_table_or_column_is_named(url: str, arguments: tuple[str, ...], said: str):
    done = run(*arguments, DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--stuck-after", "5"), "--stuck-after", id="bare number"),
        pytest.param(("--timezone", "Mars/Base"), "--timezone", id="zone"),
        pytest.param(("--status-column", ""), "--status-column", id="empty column"),
        pytest.param(("registry",), "'registry' is named, but no configuration", id="source without configuration"),
        pytest.param(("--interval", "0.5"), "--interval", id="interval"),
        pytest.param(("--interval", "nan"), "--interval", id="interval that is no number"),
        pytest.param(("--interval", "inf"), "--interval", id="endless interval"),
        pytest.param(("--log-file", ""), "'--log-file'", id="empty log file"),
        pytest.param(("--config", ""), "'--config'", id="empty configuration"),
        pytest.param(("--alert-email", "-oQ/tmp@x"), "--alert-email", id="address like an option"),
        pytest.param(("--alert-email", "a@b.example\nBcc: c@d.example"), "--alert-email", id="line break"),
    ],
)
def test_a_mistake_on_the_command_line_exits_2(url: str, arguments: tuple[str, ...], said: str):
    done = run(*arguments, DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_other_columns_and_a_shorter_patience_can_be_named(tmp_path: Path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE jobs (state TEXT, touched INTEGER)")
        connection.execute("INSERT INTO jobs VALUES ('Approved', ?)", (int(time.time()) - 600,))
    connection.close()
    words = ("--table", "jobs", "--status-column", "state", "--updated-column", "touched")
    for patience, stuck in (("5m", 1), ("1h30m", 0)):
        done = run(*words, "--stuck-after", patience, "--detailed", "--output=json", DATABASE_URL=f"sqlite:///{path}")
        assert json.loads(done.stdout)["stuck_total"] == stuck, done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        pytest.param((), {}, 0, SAID, id="default threshold only tells"),
        pytest.param(("--alert-threshold", "332"), {}, 1, SAID, id="one more than the threshold"),
        pytest.param(("--alert-threshold", "333"), {}, 0, "", id="as many as the threshold"),
        pytest.param((), {"ALERT_THRESHOLD": "20"}, 1, SAID, id="environment"),
        pytest.param(("--alert-threshold", "400"), {"ALERT_THRESHOLD": "20"}, 0, "", id="option before environment"),
    ],
)
def test_more_stuck_than_the_threshold_alerts(
    old: str, arguments: tuple[str, ...], variables: dict[str, str], code: int, said: str
):
    """Strictly more; the exit status says so only where a threshold was given."""
    done = run(*arguments, DATABASE_URL=old, **variables)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(said)
    assert bool(done.stderr) == bool(said)
    assert "TOTAL" in done.stdout


def test_an_alert_without_a_way_to_mail_is_a_warning(old: str, tmp_path: Path):
    done = run("--alert-threshold", "1", DATABASE_URL=old, ALERT_EMAIL="admin@company.com", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "warning: The mail to admin@company.com could not be sent" in done.stderr
    assert "SMTP_HOST" in done.stderr
    assert "TOTAL" in done.stdout


def test_an_alert_is_mailed_by_the_mail_command(old: str, tmp_path: Path):
    """The program gets subject and address as arguments, the detailed report on its input, and no DATABASE_URL."""
    program = tmp_path / "mail"
    program.write_text(f'#!/bin/sh\n{{ printf "%s\\n" "$@"; /bin/cat; /usr/bin/env; }} > {tmp_path}/sent\n')
    program.chmod(0o755)
    done = run("--alert-threshold", "1", DATABASE_URL=old, ALERT_EMAIL="admin@company.com", PATH=str(tmp_path))
    assert (done.returncode, "warning" in done.stderr) == (1, False), done.stderr
    sent = (tmp_path / "sent").read_text()
    subject = "[watchbridge] 333 packages of DATABASE_URL are stuck"
    assert sent.splitlines()[:3] == ["-s", subject, "admin@company.com"]
    assert re.search(r"(?m)^TOTAL +336 +333$", sent)
    assert "--detailed" not in sent, "the mail holds the details"
    assert old not in sent


def test_a_column_without_times_is_warned_of(old: str):
    """Nothing would ever count as stuck: silence would look like health."""
    done = run("--updated-column", "status", "--output", "json", DATABASE_URL=old)
    assert done.returncode == 0
    assert json.loads(done.stdout)["package_counts"]["TOTAL"] == 336
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: DATABASE_URL: no package of the table 'packages' has a time that can be read")
    assert "'status'" in line
    assert "--updated-column" in line


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        pytest.param((), "more than 10: add --detailed to see where\n", id="plain"),
        pytest.param(("--detailed",), "more than 10\n", id="detailed"),
    ],
)
def test_the_alert_does_not_point_at_what_is_shown_already(old: str, arguments: tuple[str, ...], ending: str):
    assert run(*arguments, DATABASE_URL=old).stderr.endswith(ending)


HANGS = "#!/bin/sh\n/bin/sleep 60 &\necho $$ $! > {note}.part; /bin/mv {note}.part {note}; wait\n"


@pytest.mark.parametrize("watch", [(), ("--watch",)], ids=["once", "watch"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_what_ends_it_ends_the_mail_command_too(old: str, tmp_path: Path, name: str, watch: tuple[str, ...]):
    """The program that hangs, and what that has started, are gone when we are."""
    note, program = tmp_path / "note", tmp_path / "mail"
    program.write_text(HANGS.format(note=note))
    program.chmod(0o755)
    variables = environment(DATABASE_URL=old, ALERT_EMAIL="admin@company.com", PATH=str(tmp_path))
    with subprocess.Popen([*PROGRAM, *watch], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        until(note.exists, 30, "the mail command")
        started.send_signal(getattr(signal, name))
        code = started.wait(timeout=30)
        assert started.stderr is not None
        assert b"Traceback" not in started.stderr.read()
    assert code == (0 if watch else 130 if name == "SIGINT" else 128 + getattr(signal, name))
    for pid in note.read_text().split():
        until(lambda pid=int(pid): gone(pid), 10, "the end of the mail command")


def gone(pid: int) -> bool:
    """Return whether the process is dead, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_each_run_appends_a_line_to_the_log_file(old: str, tmp_path: Path):
    log = tmp_path / "package-monitor.log"
    run(DATABASE_URL=old, LOG_FILE=str(log))
    run("--log-file", str(log), DATABASE_URL="sqlite:////nowhere.db")
    first, second = log.read_text().splitlines()
    assert re.match(
        r'\d{4}-\d\d-\d\dT\S+\+00:00 level=warning source="DATABASE_URL" total=336 stuck=333 counts="', first
    )
    assert 'alert="ALERT: 333 packages' in first
    assert 'level=error source="DATABASE_URL" error="' in second
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "hard link", "pipe", "folder", "missing folder"])
def test_a_log_file_that_is_no_plain_file_is_refused_with_a_warning(url: str, tmp_path: Path, kind: str):
    """What it points to is not touched, nothing waits, and the report is still printed."""
    victim, log = tmp_path / "victim", tmp_path / "log"
    if kind != "dangling symlink":
        victim.write_text("untouched")
    match kind:
        case "symlink" | "dangling symlink":
            log.symlink_to(victim)
        case "hard link":
            log.hardlink_to(victim)
        case "pipe":
            os.mkfifo(log)
        case "folder":
            log.mkdir()
        case _:
            log = tmp_path / "nowhere" / "log"
    done = run("--log-file", str(log), DATABASE_URL=url)
    assert done.returncode == 0
    assert f"warning: The log file {log} cannot be written" in done.stderr
    assert done.stderr.endswith("choose another with --log-file or LOG_FILE.\n")
    assert "TOTAL" in done.stdout
    assert kind == "dangling symlink" or victim.read_text() == "untouched"
    assert kind != "dangling symlink" or not victim.exists()


def test_it_works_from_any_directory(url: str, tmp_path: Path):
    elsewhere = tmp_path / "a folder with spaces"
    elsewhere.mkdir()
    assert "TOTAL" in run(DATABASE_URL=url, cwd=elsewhere).stdout


def test_a_reader_that_leaves_early_sees_no_traceback(url: str):
    """As in `watchbridge packages --watch | head -1`."""
    with subprocess.Popen(
        [*PROGRAM, "--watch", "--interval", "1"],
        env=environment(DATABASE_URL=url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline()
        program.stdout.close()
        assert program.wait(timeout=30) == 0
        assert program.stderr is not None
        assert program.stderr.read() == b""


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Give a running --watch on a database file that is not there yet."""
    path = tmp_path / "later.db"
    with subprocess.Popen(
        [*PROGRAM, "--continuous", "--interval", "1", "--output", "json"],
        env=environment(DATABASE_URL=f"sqlite:///{path}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        yield program, path
        program.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_watch_outlives_a_database_that_is_down_and_ends_cleanly(
    watching: tuple[subprocess.Popen[bytes], Path], number: signal.Signals
):
    """The sentence on standard error, then one compact JSON document a line when the database is there; exit 0."""
    program, path = watching
    assert program.stdout is not None
    assert program.stderr is not None
    assert select.select([program.stderr], [], [], 30)[0]
    assert b"DATABASE_URL" in program.stderr.readline()
    make(path, SAMPLE)
    for _ in range(2):
        assert select.select([program.stdout], [], [], 30)[0]
        assert json.loads(program.stdout.readline())["package_counts"]["TOTAL"] == 336
    program.send_signal(number)
    assert program.wait(timeout=30) == 0
    assert b"Traceback" not in program.stderr.read()


def test_only_what_is_used_is_imported(url: str):
    """Cron starts this command every five minutes: no server, migrations, schema checks or YAML."""
    code = (
        "import sys, exporter.__main__ as m\n"
        "sys.argv = ['watchbridge', 'packages', '--output', 'json']\n"
        "try: m.main()\n"
        "finally: print(*sys.modules, sep='\\n', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(DATABASE_URL=url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    imported = set(done.stderr.split())
    assert json.loads(done.stdout)["package_counts"]["TOTAL"] == 336
    assert "sqlalchemy" in imported
    assert not imported & {
        "aiohttp",
        "alembic",
        "jsonschema",
        "yaml",
        "prometheus_client",
        "asyncpg",
        "aiomysql",
        "smtplib",
    }


def test_a_terminal_gets_icons_and_a_clean_screen(url: str):
    """With --watch each report replaces the one before it."""
    leader, follower = os.openpty()
    with subprocess.Popen(
        [*PROGRAM, "--watch", "--interval", "1"],
        env=environment(DATABASE_URL=url, PYTHONIOENCODING="utf-8", TERM="xterm"),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    ) as program:
        os.close(follower)
        seen = b""
        deadline = time.monotonic() + 30
        while seen.count("📦 TOTAL".encode()) < 2 and time.monotonic() < deadline:
            assert select.select([leader], [], [], 30)[0]
            seen += os.read(leader, 65536)
        program.send_signal(signal.SIGINT)
        assert program.wait(timeout=30) == 0
    os.close(leader)
    assert seen.count("📊 Package Status Report".encode()) >= 2
    assert seen.count(b"\x1b[2J") >= 2


@pytest.mark.servers
@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
async def test_the_same_report_comes_from_every_engine(engine: str, request: pytest.FixtureRequest):
    """The plain URL of the old scripts is enough; a wrong password and a missing database are sentences."""
    server_url: str = request.getfixturevalue(engine).create_database()
    now = datetime.now(UTC)
    rows = [{"s": "Approved", "u": now - timedelta(hours=2)}] * 12 + [{"s": "On Hold", "u": now}]
    writer = create_async_engine(async_url(engine, server_url))
    async with writer.begin() as connection:
        kind = "TIMESTAMPTZ" if engine == "postgres" else "TIMESTAMP NULL"
        if engine == "mariadb":
            await connection.execute(text("SET time_zone = '+00:00'"))
        await connection.execute(text(f"CREATE TABLE packages (status VARCHAR(40), updated_at {kind})"))
        await connection.execute(text("INSERT INTO packages VALUES (:s, :u)"), rows)
    await writer.dispose()
    done = run("--output", "json", "--detailed", DATABASE_URL=server_url)
    found = json.loads(done.stdout)
    assert found["stuck_total"] == 12
    assert found["package_counts"]["TOTAL"] == 13
    assert found["package_counts"]["On Hold"] == 1
    assert "12 packages" in done.stderr
    head, _, name = server_url.rpartition("/")
    for wrong, said in (
        (re.sub(r":[^:@/]+@", ":wr0ng@", server_url), "refused the user or the password"),
        (f"{head}/{name}_not", "does not exist|does not let this user"),
    ):
        refused = run(DATABASE_URL=wrong)
        assert (refused.returncode, refused.stdout) == (3, "")
        assert re.search(said, refused.stderr)
        assert "wr0ng" not in refused.stderr


CONFIGURATION = """
databases:
  one: {{url: "{one}"}}
  two: {{url: "{two}"}}
packages:
  registry: {{database: one}}
  archive: {{database: two, alert_threshold: 5}}
"""


@pytest.fixture
def configuration(url: str, old: str, tmp_path: Path) -> Path:
    """Give a configuration of two sources: `registry` is fresh, `archive` is stuck."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(CONFIGURATION.format(one=url, two=old))
    return path


def test_a_configuration_gives_all_its_sources(configuration: Path):
    done = run("--config", str(configuration), "--output", "json")
    found = json.loads(done.stdout)
    assert {name: each["package_counts"]["TOTAL"] for name, each in found["sources"].items()} == {
        "registry": 336,
        "archive": 336,
    }
    assert done.returncode == 0
    assert "333 packages of archive are stuck, more than 5" in done.stderr
    assert "registry" not in done.stderr


def test_one_source_of_a_configuration_keeps_the_plain_shape(configuration: Path):
    done = run("registry", "--config.file", str(configuration), "--output", "json", DATABASE_URL="ignored")
    assert list(json.loads(done.stdout)) == ["timestamp", "package_counts"]


def test_one_broken_source_does_not_hide_the_other(configuration: Path, tmp_path: Path):
    (tmp_path / "old.db").unlink()
    done = run("--config", str(configuration), "--output", "csv")
    assert done.returncode == 3
    assert done.stdout.startswith("source,status,count\r\nregistry,Checking Licence,45\r\n")
    assert "'two'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("registri",), "did you mean 'registry'", id="unknown source"),
        pytest.param(("--table", "jobs"), "--table", id="table beside the configuration"),
    ],
)
def test_what_contradicts_the_configuration_exits_2(configuration: Path, arguments: tuple[str, ...], said: str):
    done = run(*arguments, "--config", str(configuration))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize("words", [(), ("npm",)], ids=["all", "one"])
def test_a_configuration_without_sources_says_so(tmp_path: Path, words: tuple[str, ...]):
    """The file is named, and what to add to it; no source without a name is spoken of."""
    path = tmp_path / "empty.yml"
    path.write_text("log: {level: info}\n")
    done = run(*words, "--config", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"The configuration {path} has no package sources: add one below `packages`" in done.stderr
    assert "''" not in done.stderr
