"""`watchbridge rules export` and `watchbridge dashboards export`."""

from __future__ import annotations

import json
import os
import sys
import tomllib

import pytest
from click.testing import CliRunner
from shipped import declared
from shipped.tools import ROOT, program, run

from exporter.cli import dashboards, rules
from exporter.errors import ExportFailedError, ExportWouldOverwriteError, ShippedFilesMissingError
from exporter.shipped import export, shipped_files


def test_the_rules_come_without_their_tests():
    """A folder of exported rules can be named in rule_files as it is."""
    assert set(shipped_files("rules")) == {path.name for path in declared.RULES}


def test_the_dashboards_and_the_sample_of_alertmanager_ship():
    assert set(shipped_files("grafana")) == {path.name for path in declared.DASHBOARDS}
    assert set(shipped_files("alertmanager")) == {"alertmanager.yml"}


def test_every_rule_file_is_packed_into_the_wheel():
    """They are named one by one in pyproject.toml, since their own tests stay out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {f"rules/{path.name}" for path in declared.RULES} == {name for name in packed if name.startswith("rules/")}


def test_an_installed_wheel_is_asked_before_a_checkout(tmp_path):
    """In a wheel the files lie beside the module; the folder above it is someone else's."""
    for place in ("wheel", "above"):
        (tmp_path / place / "rules").mkdir(parents=True)
        (tmp_path / place / "rules/a.yml").write_text(place, "utf-8")
    assert shipped_files("rules", (tmp_path / "wheel", tmp_path / "above")) == {"a.yml": b"wheel"}
    assert shipped_files("rules", (tmp_path / "none", tmp_path / "above")) == {"a.yml": b"above"}


def test_an_installation_without_the_files_says_so(tmp_path):
    with pytest.raises(ShippedFilesMissingError, match="install the package again"):
        shipped_files("rules", (tmp_path,))


@pytest.mark.parametrize(
    ("command", "folder"), [(rules.command, "rules"), (dashboards.command, "grafana")], ids=["rules", "dashboards"]
)
def test_the_command_writes_the_files_and_prints_their_paths(command, folder, tmp_path):
    """A folder that is missing is made; the files are the shipped ones, byte for byte, and nothing else is left."""
    target = tmp_path / "new" / folder
    done = CliRunner().invoke(command, ["export", str(target)], catch_exceptions=False)
    assert done.exit_code == 0
    assert [os.fspath(path) for path in sorted(target.iterdir())] == sorted(done.stdout.split("\n")[:-1])
    for path in target.iterdir():
        assert path.read_bytes() == (ROOT / folder / path.name).read_bytes()


def test_a_second_export_of_the_same_files_is_no_error(tmp_path):
    export(shipped_files("rules"), tmp_path)
    assert len(export(shipped_files("rules"), tmp_path)) == len(shipped_files("rules"))


def test_a_changed_file_is_kept_and_nothing_is_written_unless_forced(tmp_path):
    """An edited rule is someone's work: all or nothing, and the sentence names it."""
    mine = tmp_path / "watchbridge.yml"
    mine.write_text("groups: []\n", "utf-8")
    with pytest.raises(ExportWouldOverwriteError, match=r"watchbridge\.yml.*--force"):
        export(shipped_files("rules"), tmp_path)
    assert mine.read_text("utf-8") == "groups: []\n"
    assert not (tmp_path / "packages.yml").exists()
    done = CliRunner().invoke(rules.command, ["export", str(tmp_path), "--force"], catch_exceptions=False)
    assert done.exit_code == 0
    assert mine.read_bytes() == (ROOT / "rules/watchbridge.yml").read_bytes()


def test_the_program_itself_refuses_in_one_line_and_with_status_1(tmp_path):
    """As a user meets it: the installed command, no traceback, the paths alone on standard output."""
    argv = (sys.executable, "-m", "exporter", "rules", "export", tmp_path)
    assert run(*argv).stdout.splitlines() == [f"{tmp_path}/{name}" for name in sorted(shipped_files("rules"))]
    (tmp_path / "packages.yml").write_text("groups: []\n", "utf-8")
    refused = run(*argv, check=False)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert "--force" in refused.stderr


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_place_that_cannot_be_written_is_said_in_a_sentence(name, tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(ExportFailedError, match="could not be written"):
        export({"a.yml": b"a"}, tmp_path / name)


def test_a_write_that_fails_leaves_nothing_half_done(tmp_path):
    """A folder stands where the file should go: the partial file is removed again."""
    (tmp_path / "a.yml").mkdir()
    with pytest.raises(ExportFailedError):
        export({"a.yml": b"a"}, tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.yml"]


def test_exported_rules_are_what_promtool_accepts(tmp_path):
    export(shipped_files("rules"), tmp_path)
    run(program("promtool", "prometheus"), "check", "rules", "--lint=all", "--lint-fatal", *sorted(tmp_path.iterdir()))


def test_exported_dashboards_are_json(tmp_path):
    for path in export(shipped_files("grafana"), tmp_path):
        assert json.loads(path.read_text("utf-8"))["uid"]
