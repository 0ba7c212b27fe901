"""`watchbridge check-config` and `watchbridge schema` as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parent
SERVICE = "services: {a: {probe: {kind: http, url: 'http://h/'}}}"


def _run(*arguments: str, **keywords):
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **keywords,
    )


def test_a_good_file_is_fine():
    """A good file is one line on standard output, and exit status 0."""
    file = FOLDER / "good" / "words.yml"
    result = _run("check-config", str(file))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{file} is fine: 2 sources (2 of packages), 2 databases, 1 listener\n"


def test_a_bad_file_is_told_on_standard_error(tmp_path):
    """Each mistake is a line on standard error; the exit status is 1."""
    file = tmp_path / "bad.yml"
    file.write_text("log: {level: inf}\npakages: {}\n")
    result = _run("check-config", str(file))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"{file}:1:14: log.level: found 'inf', wanted one of 'debug', 'info', 'warning', 'error'; did you mean 'info'?",
        f"{file}:2:1: unknown key 'pakages'; did you mean 'packages'?",
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("none.yml", "does not exist: check the path"), (".", "is a folder, not a regular file: name a file")],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path, name, sentence):
    """No file, no traceback: one sentence and exit status 1."""
    result = _run("check-config", name, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"{name}: {sentence}\n")


def test_a_pipe_on_standard_input_is_refused_at_once():
    """/dev/stdin that is a pipe is not waited for."""
    result = _run("check-config", "/dev/stdin", stdin=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (1, "/dev/stdin: is a pipe, not a regular file: name a file\n")


def test_warnings_stand_on_standard_error_and_the_file_is_fine(tmp_path):
    """A secret in the file is a warning, not a mistake."""
    file = tmp_path / "c.yml"
    file.write_text("store: postgresql://u:pw-one@h/d\n")
    result = _run("check-config", str(file))
    assert result.returncode == 0
    assert result.stderr.startswith(f"warning: {file}:1:8: store: a secret stands in the file")
    assert "pw-one" not in result.stderr + result.stdout


def test_the_schema_command_prints_a_schema():
    """The schema is JSON on standard output, and it takes a good file."""
    result = _run("schema")
    schema = json.loads(result.stdout)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads((FOLDER / "good" / "json.yml").read_text()))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("from exporter import config; config.load(None)", {"yaml", "jsonschema", "aiohttp", "sqlalchemy"}),
        (
            "from exporter import config; config.json_schema()",
            {"yaml", "jsonschema", "aiohttp", "sqlalchemy", "alembic"},
        ),
        ("from exporter import config; config.parse('', name='f')", {"jsonschema", "aiohttp", "sqlalchemy", "alembic"}),
        (
            f"from exporter import config; config.parse({SERVICE!r}, name='f')",
            {"jsonschema", "aiohttp", "sqlalchemy", "cryptography", "exporter.probes.dns", "exporter.probes.sql"},
        ),
        (
            "from exporter import config; config.parse('databases: {d: {url: postgresql://h/d}}', name='f')",
            {"aiohttp", "sqlalchemy", "alembic", "asyncpg"},
        ),
        ("import exporter.config.options, exporter.config.words", {"yaml", "jsonschema"}),
    ],
    ids=["defaults", "schema", "a file", "a service", "a URL", "options"],
)
def test_nothing_is_imported_that_is_not_used(program, unwanted):
    """Reading options opens no door to the web framework or the database driver."""
    program += f"; import sys; print(sorted({unwanted!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (result.stdout, result.stderr) == ("[]\n", "")
