"""config.ini is read as the old monitor meant it, and each thing that cannot be carried over is one sentence."""

from __future__ import annotations

import pytest

from exporter.config.options import Duration
from exporter.errors import ConfigurationError
from exporter.process_monitor.translation import read_text

DATABASE = "[database]\nuser=u\ndatabase=d\n"


def read(text):
    return read_text(text, "config.ini")


def complete(text):
    found = read(DATABASE + text)
    assert found.mistakes == ()
    return found


def restart(text, name="web"):
    """Return what a process becomes."""
    return complete(text).services[name].restart


def told(text):
    """Return each mistake as line and sentence."""
    return [(mistake.line, mistake.sentence) for mistake in read(text).mistakes]


USUAL = {"attempts": 2, "delay": Duration(2.0), "verify_timeout": Duration(5.0)}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("restart_strategy=service", {"kind": "systemd", "unit": "web.service"}),
        ("restart_strategy=process", {"kind": "process", "argv": ("web",)}),
        ("restart_strategy=docker", {"kind": "docker", "container": "web"}),
        ("restart_strategy=auto", {"kind": "auto", "unit": "web.service"}),
        ("", {"kind": "auto", "unit": "web.service"}),
        ("restart_strategy=", {"kind": "auto", "unit": "web.service"}),
        ("restart_strategy = 'service'  # as ever", {"kind": "systemd", "unit": "web.service"}),
    ],
)
def test_each_strategy_is_a_kind_of_restart(text, kind):
    """And the numbers that are left out are the old monitor's own."""
    assert restart(f"[process.web]\n{text}\n") == kind | USUAL


def test_auto_starts_a_program_where_there_is_one_of_that_name():
    """As the old monitor did; where there is none, a note says what could be added."""
    found = complete("[process.sh]\n[process.no-such-program]\n").services
    assert found["sh"].restart["argv"] == ("sh",)
    assert "argv" not in found["no-such-program"].restart
    assert "add argv" in found["no-such-program"].notes["unit"]


def test_a_custom_restart_has_its_commands():
    text = (
        "[process.web]\nrestart_strategy=custom\nrestart_command=/opt/a restart\nhealth_check_command=curl -f http://b\n"
        "pre_restart_command=/opt/c 'd e'\nhealth_check_timeout=20\nmax_attempts=7\nrestart_delay=0\n"
    )
    assert restart(text) == {
        "kind": "command",
        "argv": ("/opt/a", "restart"),
        "before": ("/opt/c", "d e"),
        "attempts": 7,
        "delay": Duration(0.0),
        "verify": {"kind": "command", "argv": ("curl", "-f", "http://b"), "timeout": Duration(20.0)},
        "verify_timeout": Duration(20.0),
    }


def test_what_a_process_does_not_say_is_the_defaults():
    """A default without effect is overridden; nothing else is invented."""
    default = "[process.default]\nrestart_strategy=service\nmax_attempts=4\nhealth_check_command=a | b\n"
    found = complete(f"{default}[process.web]\nmax_attempts=5\n[process.db]\nrestart_strategy=docker\n")
    assert found.services["web"].restart["attempts"] == 5
    assert found.services["web"].restart["kind"] == "systemd"
    assert found.services["db"].restart["attempts"] == 4
    assert found.services["db"].restart["kind"] == "docker"
    assert found.names == ("web", "db")
    script = "/etc/watchbridge/default-health_check.sh"
    assert {service.restart["verify"]["argv"] for service in found.services.values()} == {(script,)}
    assert [(one.path, one.text) for one in found.scripts] == [(script, "a | b")]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("getty@tty1", "getty@tty1.service"),
        ("nginx.service", "nginx.service"),
        ("a:b_c-d", "a:b_c-d.service"),
        (r"dev\x2dlog", r"dev\x2dlog.service"),
    ],
)
def test_a_unit_is_named_after_the_process(name, unit):
    assert restart(f"[process.{name}]\nrestart_strategy=service\n", name)["unit"] == unit


@pytest.mark.parametrize(
    "name", ["a b", "-Hlocalhost", "a/b", "a*", "../a", "a;b", "é", "a.timer", "a.socket", "a$(b)", "a@"]
)
def test_a_name_that_is_no_unit_is_told(name):
    """No such name ever reaches systemctl."""
    found = read(f"{DATABASE}[process.{name}]\nrestart_strategy=service\n")
    assert [mistake.line for mistake in found.mistakes] == [4]
    assert "names no service of systemd" in found.mistakes[0].sentence
    assert (found.services, found.names) == ({}, (name,))
    assert found.left_out == (f"the process '{name}'",)


@pytest.mark.parametrize(
    ("strategy", "name", "words"),
    [
        ("docker", "a b", "no name of a container"),
        ("docker", "-a", "no name of a container"),
        ("process", "bin/a", "relative path"),
        ("process", "./a", "relative path"),
        ("auto", "a b", "neither a unit of systemd nor a program"),
        ("service", "a" * 256, "at most 255 characters"),
        ("service", "", "is no section of the process monitor"),
    ],
)
def test_other_names_that_cannot_be_are_told(strategy, name, words):
    found = read(f"{DATABASE}[process.{name}]\nrestart_strategy={strategy}\n")
    assert words in found.mistakes[0].sentence
    assert found.services == {}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("restart_strategy=systemd", 5, "[process.web] restart_strategy: 'systemd' is no strategy: write one of auto,"),
        ("restart_strategy=Service", 5, "'Service' is no strategy; did you mean 'service'?"),
        ("max_attempts=two", 5, "max_attempts: 'two' is not usable: write a whole number from 1 to 100"),
        ("max_attempts=0", 5, "from 1 to 100"),
        ("max_attempts=-1", 5, "'-1' is not usable"),
        ("max_attempts=101", 5, "'101' is not usable"),
        ("max_attempts=1.5", 5, "'1.5' is not usable"),
        ("max_attempts=1e1", 5, "'1e1' is not usable"),
        ("max_attempts=٣", 5, "is not usable"),
        (f"max_attempts={'9' * 5000}", 5, "is not usable"),
        ("max_attempts=2\n  3", 5, "is not usable"),
        ("restart_delay=2s", 5, "restart_delay: '2s' is not usable: write a whole number of seconds from 0 to 3600"),
        ("restart_delay=-1", 5, "'-1' is not usable"),
        ("health_check_timeout=0", 5, "of seconds from 1 to 3600"),
        ("restart_strategy=custom\nhealth_check_command=a", 4, "has no restart_command"),
        ("restart_strategy=custom\nrestart_command=a", 4, "has no health_check_command"),
        ("pre_restart_command=./a", 5, "pre_restart_command: './a' depends on the folder"),
        ("health_check_command=a/b c", 5, "health_check_command: 'a/b' depends on the folder"),
        ("max_attempts=1\nmax_attempts=2", 6, "this key stands here again, first on line 5"),
        ("anything", 5, "this line is no section"),
    ],
)
def test_a_process_with_a_mistake_is_left_out(text, line, words):
    """Nothing is restarted in a way that nobody wrote; the others stay."""
    found = read(f"{DATABASE}[process.web]\n{text}\n[process.db]\n")
    assert [mistake.line for mistake in found.mistakes] == [line]
    assert words in found.mistakes[0].sentence
    assert list(found.services) == ["db"]
    assert found.left_out == ("the process 'web'",)


def test_a_mistake_of_the_defaults_spoils_those_that_take_it():
    """And is told at its own line."""
    text = f"{DATABASE}[process.default]\nmax_attempts=many\n[process.web]\n[process.db]\nmax_attempts=1\n"
    found = read(text)
    assert {(mistake.line, mistake.sentence.partition(":")[0]) for mistake in found.mistakes} == {
        (5, "[process.default] max_attempts")
    }
    assert list(found.services) == ["db"]


def test_an_unknown_key_is_told_and_the_rest_kept():
    """The old monitor read no such key."""
    found = read(f"{DATABASE}[process.web]\nmax_atempts=3\n")
    assert [mistake.line for mistake in found.mistakes] == [5]
    assert (
        "has the key 'max_atempts' that is not carried over; did you mean 'max_attempts'?" in found.mistakes[0].sentence
    )
    assert list(found.services) == ["web"]


@pytest.mark.parametrize(
    ("text", "url", "has_password"),
    [
        ("host=localhost\nuser=u\npassword=s3cret\ndatabase=d", "mysql://u:PASSWORD@localhost/d", True),
        ("user=u\ndatabase=d", "mysql://u@localhost/d", False),
        ("user=u\npassword=\ndatabase=d", "mysql://u@localhost/d", False),
        ("user=u\npassword=#s3cret\ndatabase=d", "mysql://u:PASSWORD@localhost/d", True),
        ("host='db.example'\nuser=\"u@v\"\ndatabase=a/b c  # old", "mysql://u%40v@db.example/a%2Fb%20c", False),
        ("host=::1\nuser=u\ndatabase=d", "mysql://u@[::1]/d", False),
        ("host=192.0.2.1\nuser=é\ndatabase=100%", "mysql://%C3%A9@192.0.2.1/100%25", False),
    ],
)
def test_the_database_is_a_url_without_its_password(text, url, has_password):
    found = read(f"[database]\n{text}\n")
    assert found.mistakes == ()
    assert (found.database.url, found.database.has_password) == (url, has_password)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[monitor]", 0, "no section [database]"),
        ("[database]\ndatabase=d\npassword=s3cret", 1, "[database] user is missing: write user=NAME"),
        ("[database]\nuser=u\npassword=s3cret", 1, "[database] database is missing"),
        ("[database]\nhost=db:3306\nuser=s3cret\ndatabase=d", 2, "host is no name and no address"),
        ("[database]\nhost=s3cret@h\nuser=u\ndatabase=d", 2, "host is no name and no address"),
        ("[database]\nuser=u\ndatabase=d\nuser=s3cret", 4, "this key stands here again"),
    ],
)
def test_a_database_that_nobody_can_ask_is_told_and_left_out(text, line, words):
    found = read(text)
    assert [mistake.line for mistake in found.mistakes] == [line]
    assert words in found.mistakes[0].sentence
    assert "s3cret" not in found.mistakes[0].sentence
    assert found.database is None
    assert found.left_out == ("the database and its alarms",)


def test_an_unknown_key_beside_a_password_is_not_repeated():
    """A line of a password may look like one."""
    ((line, sentence),) = told(f"{DATABASE}s3cret=s3cret\n")
    assert line == 4
    assert "has a key that is not carried over; known are host, user, password, database" in sentence
    assert "s3cret" not in sentence


def test_the_numbers_of_the_monitor_and_the_log():
    found = complete(
        "[monitor]\ncheck_interval=60\nmax_restart_failures = 5 ; often\ncircuit_reset_time: 0600\n"
        "[logging]\nmax_log_size=1024\nlog_files_to_keep=0\nlog_level=DEBUG\n"
    )
    assert (found.every, found.circuit) == (60, (5, 600))
    assert found.log == {"level": "debug", "max_size": 1024 * 1024, "keep": 0}
    found = complete("")
    assert (found.every, found.circuit, found.log) == (30, (3, 300), None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[monitor]\ncheck_interval=often", "[monitor] check_interval: 'often' is not usable"),
        ("[monitor]\nmax_restart_failures=0", "from 1 to 1000"),
        ("[monitor]\ncircuit_reset_time=-300", "of seconds from 1 to 2592000"),
        ("[logging]\nmax_log_size=5MB", "of KB from 1 to"),
        ("[logging]\nlog_files_to_keep=all", "from 0 to 1000"),
        ("[logging]\nlog_level=loud", "'loud' is no level: write one of DEBUG, INFO, WARNING, ERROR"),
        ("[monitor]\ninterval=5", "did you mean 'check_interval'?"),
    ],
)
def test_a_setting_that_is_wrong_is_told_and_its_default_stands(text, words):
    found = read(DATABASE + text)
    assert [mistake.line for mistake in found.mistakes] == [5]
    assert words in found.mistakes[0].sentence
    assert (found.every, found.circuit) == (30, (3, 300))


def test_a_section_of_another_program_is_told():
    ((line, sentence),) = told(f"{DATABASE}[queue]\nsize=5\n")
    assert line == 4
    assert "[queue] is no section of the process monitor" in sentence


@pytest.mark.parametrize("text", ["", "# nothing\n", "user=u\n", "[queue]\nsize=5\n", "modules: {}\n", "[process]\n"])
def test_a_file_of_nothing_that_the_monitor_has_is_refused(text):
    """As one that cannot be read."""
    with pytest.raises(ConfigurationError, match=r"config\.ini has none of the sections \[database\]"):
        read(text)


def test_a_file_that_is_too_large_is_refused():
    with pytest.raises(ConfigurationError, match="larger than 1024 KiB"):
        read(f"{DATABASE}{'# nothing' * 120_000}")


@pytest.mark.parametrize(
    "command",
    [
        "mysqladmin -uu -ps3cret ping",
        "mysqladmin --password=s3cret ping",
        "mysqladmin '--password' s3cret ping | cat",
        "MYSQL_PWD=s3cret mysqladmin ping",
        "mysqladmin -p's3cret' ping",
        "curl http://u:s3cret@a.example",
    ],
)
def test_no_command_may_show_the_password(command):
    """Neither in an argument list nor in a script: it is told where it stands, and the process is left out."""
    text = f"[database]\nuser=u\npassword=s3cret\ndatabase=d\n[process.web]\nhealth_check_command={command}\n"
    found = read(text)
    assert [mistake.line for mistake in found.mistakes] == [6]
    assert "shows the password of [database]" in found.mistakes[0].sentence
    assert "s3cret" not in found.mistakes[0].sentence
    assert (found.services, found.scripts) == ({}, ())


def test_a_word_that_happens_to_be_the_password_is_no_secret():
    """A short one cannot be told from other words, so only its places count."""
    text = "[database]\nuser=u\npassword=ping\ndatabase=d\n[process.web]\nhealth_check_command=mysqladmin ping\n"
    assert read(text).mistakes == ()


def test_no_two_scripts_have_one_path():
    """Names that differ in what a path cannot hold get numbers, and no name leads out of the folder."""
    names = ["a b", "a/b", "a-b-2", "a-b", "../../x", "A B"]
    custom = "restart_strategy=custom\nhealth_check_command=a\nrestart_command=b;"
    found = complete("".join(f"[process.{name}]\n{custom}{name}\n" for name in names))
    paths = [script.path.removeprefix("/etc/watchbridge/").removesuffix(".sh") for script in found.scripts]
    assert paths == ["a-b-restart", "a-b-restart-2", "a-b-2-restart", "a-b-restart-3", "..-..-x-restart", "A-B-restart"]
