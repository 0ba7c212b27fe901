"""The command line as a whole: quick, helpful, and never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from exporter import __version__
from exporter.cli import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"aiohttp", "sqlalchemy", "alembic", "jsonschema", "yaml", "prometheus_client", "asyncio", "click"}
MODULES = """
import json, runpy, sys
sys.argv = json.loads(sys.argv[1])
try:
    runpy.run_module("exporter", run_name="__main__")
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def run(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd or "/nonexistent"), "LANG": "C.UTF-8", **environment},
    )


def imported(*words: str) -> set[str]:
    """Return the top-level modules that a command line imports."""
    argv = json.dumps(["watchbridge", *words])
    done = subprocess.run([sys.executable, "-c", MODULES, argv], capture_output=True, text=True, timeout=60, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def test_the_version_is_said_without_importing_anything_heavy() -> None:
    """A script that asks for the version does not wait for a web framework."""
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"watchbridge {__version__}\n")
    assert not HEAVY & imported("--version")


def test_the_help_names_every_command_without_importing_one() -> None:
    """The short helps stand in one place."""
    done = run("--help")
    assert done.returncode == 0
    for word in COMMANDS:
        assert f"  {word} " in done.stdout
    assert not (HEAVY - {"click"}) & imported("--help") - {"asyncio"}


@pytest.mark.parametrize("word", COMMANDS)
def test_every_command_explains_itself(word: str) -> None:
    """`--help` of each works, and says more than its name."""
    done = run(word, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["serv"], "Did you mean 'serve'?", id="a typing error"),
        pytest.param(["zebra"], "No such command 'zebra'", id="an unknown word"),
        pytest.param(["serve", "--zebra"], "No such option", id="an unknown option"),
        pytest.param(["serve", "--config", "missing.yml"], "missing.yml", id="a missing file"),
        pytest.param(["serve", "--web.listen-address", "here"], "wanted host:port", id="an address that is none"),
        pytest.param(["serve", "--web.telemetry-path", "metrics"], "wanted a path", id="a path that is none"),
        pytest.param(["serve", "--web.telemetry-path", "/health"], "is taken", id="a path that is taken"),
        pytest.param(["serve", "--web.telemetry-path", "/a b{c}"], "wanted a path", id="a path that is a pattern"),
        pytest.param(["serve", "--web.config.file", "none.yml"], "does not exist", id="no web configuration"),
        pytest.param(
            ["serve", "--web.listen-address", ":1", "--web.listen-address", "127.0.0.1:1"],
            "listened on already",
            id="an address twice",
        ),
        pytest.param(["serve", "--log.level", "loud"], "'loud' is not one of", id="a level that is none"),
        pytest.param(["check-config"], "Missing argument", id="no file"),
        pytest.param(["store"], "Usage", id="no subcommand"),
    ],
)
def test_usage_errors_are_sentences_and_exit_2(tmp_path: Path, words: list[str], said: str) -> None:
    """On standard error, with nothing on standard output."""
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_serve_refuses_a_bad_configuration_before_it_starts_anything(tmp_path: Path) -> None:
    """Exit 2, every mistake at once, and no store was made."""
    (tmp_path / "w.yml").write_text("store: sqlite:///data/w.db\npakages: {}\nlog: {level: loud}\n")
    done = run("serve", "--config", "w.yml", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'packages'" in done.stderr
    assert "w.yml:3" in done.stderr
    assert not (tmp_path / "data").exists()


def test_serve_refuses_what_it_could_only_find_out_later(tmp_path: Path) -> None:
    """A URL and a web configuration are told with their places; no store was made."""
    (tmp_path / "w.yml").write_text(
        "store: sqlite:///data/w.db\n"
        "listen: [{web_config: nope.yml}]\n"
        "databases: {d: {url: 'postgres//u:canary@h/d'}}\n"
    )
    for word, status in (("serve", 2), ("check-config", 1)):
        options = ["--config"] if word == "serve" else []
        done = run(word, *options, "w.yml", cwd=tmp_path)
        assert done.returncode == status
        assert "w.yml:2:23: listen[0].web_config: cannot be used" in done.stderr
        assert "w.yml:3:22: databases.d.url: the URL is not usable: it has no scheme" in done.stderr
        assert "canary" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_password_that_is_not_encoded_is_not_shown(tmp_path: Path) -> None:
    """Whichever command is given it."""
    done = run("packages", cwd=tmp_path, DATABASE_URL="postgresql://adm:s3cr@3tpw@127.0.0.1:1/postgres")
    assert done.returncode == 2
    assert "as %40" in done.stderr
    assert not [part for part in ("s3cr", "3tpw") if part in done.stderr]


def test_serve_takes_the_words_of_other_exporters(tmp_path: Path) -> None:
    """A unit that was written for one starts; it fails here for its address alone."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        flags = ["--log.level=warn", "--log.format=logfmt", f"--web.listen-address={address}"]
        done = run("serve", *flags, cwd=tmp_path, XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr == (
        f"watchbridge: Watchbridge cannot listen on {address}: address already in use;"
        " free the address or choose another with --web.listen-address.\n"
    )


def test_serve_says_when_it_cannot_have_its_address(tmp_path: Path) -> None:
    """Exit 3: something it needs could not be had."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        done = run("serve", "--web.listen-address", address, cwd=tmp_path, XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert address in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_our_words(shell: str) -> None:
    """Each is a script that its shell can read, where that shell is installed."""
    done = run("completion", shell)
    assert done.returncode == 0
    assert "_WATCHBRIDGE_COMPLETE" in done.stdout
    program = shutil.which(shell)
    if program:
        subprocess.run([program, "-n"], input=done.stdout, text=True, timeout=10, check=True)


def test_completion_completes_commands() -> None:
    """What the script asks for is answered."""
    done = run(_WATCHBRIDGE_COMPLETE="bash_complete", COMP_WORDS="watchbridge che", COMP_CWORD="1")
    assert "check-config" in done.stdout


def test_data_goes_to_standard_output_only(tmp_path: Path) -> None:
    """A schema piped into a file is a schema."""
    done = run("schema", cwd=tmp_path)
    assert done.stderr == ""
    assert json.loads(done.stdout)["properties"]["packages"]
