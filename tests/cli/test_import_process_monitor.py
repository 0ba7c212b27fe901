"""`watchbridge import config.ini` turns the process monitor's file into YAML of ours that means the same."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exporter import cli, programs
from exporter.config import parse
from exporter.config.options import Duration
from exporter.process_monitor.translation import read_text
from exporter.process_monitor.writing import text as written

ANNEX = """\
[database]
host=localhost
user=monitor_user
password=MySecurePassword123
database=monitoring_db

[monitor]
check_interval=30
max_restart_failures=3
circuit_reset_time=300

[logging]
max_log_size=5120
log_files_to_keep=5

[process.default]
restart_strategy=auto
max_attempts=2
restart_delay=2
health_check_timeout=5

[process.apache2]
restart_strategy=service
max_attempts=3
restart_delay=5
health_check_command=curl -f http://localhost/health
health_check_timeout=10
pre_restart_command=echo "Preparing Apache restart" | logger

[process.mysql]
restart_strategy=service
max_attempts=2
restart_delay=10
health_check_command=mysqladmin ping
health_check_timeout=15

[process.custom_app]
restart_strategy=custom
restart_command=/opt/custom_app/restart.sh
max_attempts=2
restart_delay=3
health_check_command=/opt/custom_app/health_check.sh
health_check_timeout=20
pre_restart_command=/opt/custom_app/prepare_restart.sh
"""
"""The complete example of the process monitor's own documentation, as it stands there."""

SERVICES = """\
services:
  apache2:
    restart:
      kind: systemd
      unit: apache2.service
      before: [/etc/watchbridge/apache2-pre_restart.sh]  # still to be made: the import says what belongs into it
      attempts: 3
      delay: 5s
      verify:
        kind: command
        argv: [curl, "-f", "http://localhost/health"]
        timeout: 10s
      verify_timeout: 10s
    circuit: {preset: process}
  mysql:
    restart:
      kind: systemd
      unit: mysql.service
      attempts: 2
      delay: 10s
      verify:
        kind: command
        argv: [mysqladmin, ping]
        timeout: 15s
      verify_timeout: 15s
    circuit: {preset: process}
  custom_app:
    restart:
      kind: command
      argv: [/opt/custom_app/restart.sh]
      before: [/opt/custom_app/prepare_restart.sh]
      attempts: 2
      delay: 3s
      verify:
        kind: command
        argv: [/opt/custom_app/health_check.sh]
        timeout: 20s
      verify_timeout: 20s
    circuit: {preset: process}
"""


def imported(path):
    """Return status, standard output and standard error."""
    done = CliRunner().invoke(cli.command, ["import", str(path)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def write(tmp_path):
    """Give a function that writes a file and returns its path."""

    def write(text, name="config.ini"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Give a function that reads printed YAML as on the host it is for, with its programs and the file of the URL."""
    folder = tmp_path / "host"
    folder.mkdir()
    names = ("restart", "health_check", "prepare_restart", "apache2-pre_restart", "web-health_check", "web-restart")
    for name in ("curl", "mysqladmin", "web", *(f"{name}.sh" for name in names)):
        (folder / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    url = folder / "monitoring.url"
    url.write_text("mysql://monitor_user:MySecurePassword123@localhost/monitoring_db\n", encoding="utf-8")
    url.chmod(0o600)
    monkeypatch.setattr(programs, "PATH", f"{folder}:{programs.PATH}")

    def read(text):
        for place in ("/opt/custom_app", "/etc/watchbridge"):
            text = text.replace(f"[{place}/", f"[{folder}/")
        return parse(text, name="printed", folder=folder, environ={})

    read.folder = folder
    return read


def test_the_complete_example_becomes_our_yaml(write):
    """Nothing of it is lost, and what is still to be made is said."""
    path = write(ANNEX)
    code, output, told = imported(path)
    assert code == 0
    assert output.endswith(SERVICES)
    lines = output.removesuffix(SERVICES).splitlines()
    assert [line for line in lines if not line.lstrip().startswith("#")] == [
        "mode: observe  # decided and shown, nothing is run: set auto when you have seen what it would do",
        "log:",
        "  max_size: 5MiB",
        "  keep: 5",
        "databases:",
        "  monitoring:",
        "    url_file: monitoring.url",
        "alarms:",
        "  monitoring:",
        "    database: monitoring",
        "    every: 30s",
    ]
    assert "# The file names: apache2, mysql, custom_app." in lines
    assert "    # mysql://monitor_user:PASSWORD@localhost/monitoring_db" in lines
    assert told == (
        f"{path}:28: [process.apache2] pre_restart_command needs a shell: make the file "
        "/etc/watchbridge/apache2-pre_restart.sh, with the mode 0755, of\n"
        '#!/bin/bash\necho "Preparing Apache restart" | logger\n\n'
    )
    assert "MySecurePassword123" not in output + told


def test_what_is_printed_loads_and_means_the_same(write, host):
    """On a host that has the programs and the two files that are to be made."""
    _, output, _ = imported(write(ANNEX))
    found = host(output)
    assert found.mode == "observe"
    assert (found.log.max_size, found.log.keep) == (5120 * 1024, 5)
    assert found.databases["monitoring"].url.reveal() == (
        "mysql://monitor_user:MySecurePassword123@localhost/monitoring_db"
    )
    assert (found.alarms["monitoring"].database, found.alarms["monitoring"].every) == ("monitoring", 30)
    web = found.services["apache2"]
    assert web.probe is None
    assert (web.restart.kind, web.restart.options.unit) == ("systemd", "apache2.service")
    timing = web.restart.beside
    assert timing.before == (f"{host.folder}/apache2-pre_restart.sh",)
    assert (timing.attempts, timing.delay, timing.verify_timeout) == (3, 5, 10)
    assert timing.verify.options.argv == (f"{host.folder}/curl", "-f", "http://localhost/health")
    assert timing.verify.beside.timeout == Duration(10.0)
    assert found.services["custom_app"].restart.options.argv == (f"{host.folder}/restart.sh",)
    assert {service.circuit.limits(service.criticality) for service in found.services.values()} == {(3, 300)}


@pytest.mark.parametrize("strategy", ["service", "process", "custom", "docker", "auto"])
@pytest.mark.parametrize("check", ["curl -f 'http://a/?b=${c}&d=$$'", "curl http://a | grep ok"])
def test_every_strategy_loads(write, host, strategy, check):
    """With a check that is plain, and with one that needs a shell."""
    text = (
        f"[database]\nuser=u\ndatabase=d\n[process.web]\nrestart_strategy={strategy}\nrestart_command=a; b\n"
        f"health_check_command={check}\n[monitor]\nmax_restart_failures=5\ncircuit_reset_time=90\n"
    )
    code, output, _ = imported(write(text))
    assert code == 0
    found = host(output)
    assert found.databases["monitoring"].url.reveal() == "mysql://u@localhost/d"
    web = found.services["web"]
    assert web.circuit.limits(web.criticality) == (5, 90)
    script = (f"{host.folder}/web-health_check.sh",)
    plain = (f"{host.folder}/curl", "-f", "http://a/?b=${c}&d=$$")
    assert web.restart.beside.verify.options.argv == (script if "|" in check else plain)


@pytest.mark.parametrize(
    ("failures", "reset", "circuit"),
    [
        (3, 300, "{preset: process}"),
        (4, 300, "{preset: process, failures: 4}"),
        (3, 90, "{preset: process, reset: 1m30s}"),
        (1, 3600, "{preset: process, failures: 1, reset: 1h}"),
    ],
)
def test_a_circuit_says_only_where_it_is_not_as_usual(write, failures, reset, circuit):
    text = f"[monitor]\nmax_restart_failures={failures}\ncircuit_reset_time={reset}\n[process.web]\n"
    _, output, _ = imported(write(f"[database]\nuser=u\ndatabase=d\n{text}"))
    assert output.endswith(f"    circuit: {circuit}\n")


def test_what_cannot_be_carried_over_is_told_and_left_out(write):
    """Each with its line; the rest is printed, and the exit status says that it is not all."""
    path = write("[process.web]\nmax_attempts=many\n[process.db]\nrestart_command=a\n[queue]\n")
    code, output, told = imported(path)
    known = "[database], [monitor], [logging] and [process.NAME]"
    assert code == 1
    assert told.splitlines() == [
        f"{path}: there is no section [database]: without it nobody knows which processes are in alarm",
        f"{path}:2:1: [process.web] max_attempts: 'many' is not usable: write a whole number from 1 to 100",
        f"{path}:5:1: [queue] is no section of the process monitor, which has {known}: leave it out",
        "left out: the database and its alarms",
        "left out: the process 'web'",
    ]
    assert "\n  db:\n" in output
    assert "\n  web:\n" not in output
    assert "databases:" not in output
    assert "alarms:\n" not in output
    assert "# The file names: web, db.\n" in output


def test_nothing_but_the_defaults_is_still_a_configuration(write, host):
    """Which processes they covered is not known: none is restarted by them."""
    code, output, told = imported(write("[database]\nuser=u\ndatabase=d\n[process.default]\nmax_attempts=3\n"))
    assert (code, told) == (0, "")
    assert "# The file names: none.\n" in output
    assert dict(host(output).services) == {}


def test_a_script_that_uses_variables_is_told(write):
    """The old monitor ran it among its own."""
    code, _, told = imported(
        write('[database]\nuser=u\ndatabase=d\n[process.web]\npre_restart_command=logger "$process_name"\n')
    )
    assert code == 0
    assert '\nlogger "$process_name"\n' in told
    assert "web-pre_restart.sh: variables of the old monitor are not set in it" in told


SMALL = "[database]\nuser=u\ndatabase=d\n[process.web]\nrestart_strategy=docker\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.ini", SMALL),
        ("CONFIG.INI", SMALL),
        ("monitor.cfg", SMALL),
        ("monitor.conf", SMALL),
        ("monitor", f"\n# of the monitor\n; and\n{SMALL}"),
        ("config.ini", f"\ufeff{SMALL}"),
        ("monitor", f"\ufeff{SMALL}"),
        ("config.ini", SMALL.replace("\n", "\r\n")),
        ("config.ini", SMALL.replace("=", " : ")),
        ("config.ini", SMALL.rstrip()),
    ],
)
def test_the_file_is_told_by_its_name_or_its_first_line(write, name, content):
    code, output, told = imported(write(content, name))
    assert (code, told) == (0, "")
    assert "      container: web\n" in output


@pytest.mark.parametrize("name", ["blackbox.yml", "blackbox.YAML", "blackbox.json", "blackbox", "blackbox.conf"])
def test_a_file_of_blackbox_exporter_is_still_one(write, name):
    code, output, told = imported(write('{"modules": {"a": {"prober": "icmp"}}}', name))
    assert (code, told) == (0, "")
    assert "probe_modules:\n  a:\n    kind: icmp\n" in output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        ("", "has none of the sections"),
        ("user=u\n", "has none of the sections"),
        (SMALL.encode("utf-16"), "is not UTF-8"),
        (b"\xff\xfe\x00\x01", "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_sentence(write, tmp_path, content, words):
    """And nothing on standard output."""
    path = tmp_path / "config.ini" if content is None else write(content)
    done = CliRunner().invoke(cli.command, ["import", str(path)], standalone_mode=False)
    assert done.stdout == ""
    assert words in str(done.exception)
    assert done.exception.exit_code == 2


def test_the_help_tells_both():
    done = CliRunner().invoke(cli.command, ["import", "--help"])
    words = " ".join(done.stdout.split())
    assert "A config.ini of the process monitor" in words
    assert "A file of blackbox_exporter" in words


NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFFFF, exclude_categories=["C", "Z"]), max_size=8)
VALUES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]) | st.sampled_from("${}:- '\"|"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(name=NAMES, value=VALUES)
@example(name="a$$b${c}", value="'$$' '${d}'")
@example(name="on", value="yes")
@example(name='"#: \\', value='"a: b"')
def test_whatever_stands_in_the_file_what_is_printed_is_a_configuration(host, name, value):
    """Names and commands of any letters; what is written in them is data, never YAML, and never a secret."""
    secret = "MySecurePassword123"
    text = (
        f"[database]\nuser=u\npassword={secret}\ndatabase={value}\n[process.{name}]\nrestart_strategy=custom\n"
        f"restart_command=curl {value}\nhealth_check_command=curl {value}\n"
    )
    found = read_text(text, "config.ini")
    output = written(found)
    assert secret not in output
    for script in found.scripts:
        output = output.replace(script.path, str(host.folder / "restart.sh"))
    assert set(host(output).services) == set(found.services)
