"""Files that are right, read with the real options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from exporter import config
from exporter.config import document
from exporter.config.options import Secret
from exporter.config.variables import expander

FOLDER = Path(__file__).parent / "good"
FILES = sorted(FOLDER.glob("*.yml"))
ENVIRON = {"SMTP_PASSWORD": "mail-pass: {a: b}"}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_good_file_is_read(path):
    """A good file becomes a configuration that knows where it came from."""
    assert config.load(path, environ=ENVIRON).path == path


def test_the_whole_example_says_what_was_written():
    """Every section of the example reaches its options in its unit."""
    found = config.load(FOLDER / "whole.yml", environ=ENVIRON)
    assert found.listen[0].serve == ("metrics", "api", "webhook", "page")
    assert found.store.url == Secret("sqlite:////var/lib/watchbridge/watchbridge.db")
    assert found.databases["registry"].url.reveal() == "postgresql://watchbridge:s3cr%40t-pass@db.example/registry"
    assert found.databases["registry"].pool.timeout == 5.0
    npm = found.collectors["packages"]["npm"]
    assert (npm.stuck_after, npm.terminal, npm.alert_threshold) == (3600.0, ("Rejected", "Published"), 10)
    assert (found.log.max_size, found.log.keep, found.scrape.timeout) == (5 * 2**20, 5, 10.0)
    assert found.email.password.reveal() == "mail-pass: {a: b}"


def test_services_say_what_was_written():
    """The services part of the design's example: each probe is a kind with its options, and its timing beside."""
    found = config.load(FOLDER / "services.yml", environ={})
    assert list(found.services) == ["web", "queue-worker", "db", "batch ✓"]
    web, worker = found.services["web"], found.services["queue-worker"]
    assert (web.group, web.criticality, web.depends_on, web.client) == ("frontend", "high", ("db",), "default")
    assert (web.probe.kind, web.probe.options.url) == ("http", "https://web.example/health")
    assert (web.probe.beside.schedule, web.probe.beside.timezone) == ("*/5 * * * *", "Europe/Bucharest")
    assert (web.probe.beside.every, web.probe.beside.timeout) == (None, 5.0)
    assert (worker.client, worker.series, worker.enabled) == ("accounting", "full", True)
    assert (worker.probe.options.address, worker.probe.beside.every) == ("127.0.0.1:5672", 30.0)
    assert found.services["db"].probe.options.database == "registry"
    assert not found.services["batch ✓"].enabled


def test_probing_and_what_is_remembered_say_what_was_written():
    """The other sections about services reach their options in their units."""
    found = config.load(FOLDER / "services.yml", environ={})
    assert found.probing.allow == ("10.0.0.0/8", "fd00::/8", "127.0.0.1", "web.example")
    assert {name: (one.kind, one.beside.timeout) for name, one in found.probe_modules.items()} == {
        "http_2xx": ("http", 10.0),
        "tls": ("tls", 5.0),
    }
    assert found.probe_modules_file == FOLDER / "modules" / "blackbox.yml"
    assert (found.windows[0].services, found.windows[0].duration) == (("web",), 7200.0)
    assert (found.readings.retention, found.readings.states_retention) == (7 * 86400.0, 180 * 86400.0)
    assert found.replica == "replica-1"


def test_without_services_there_are_their_defaults():
    """What is about services is there, empty or with its defaults, in a configuration that names none."""
    for found in (config.load(None), config.load(FOLDER / "empty.yml")):
        assert (dict(found.services), dict(found.probe_modules), found.windows) == ({}, {}, ())
        assert (found.probing.allow, found.probing.concurrency) == ((), 500)
        assert (found.readings.retention, found.readings.states_retention) == (30 * 86400.0, 365 * 86400.0)
        assert (found.probe_modules_file, found.replica) == (None, None)


def test_the_bridge_says_what_was_written():
    """Alertmanager, rules, queues and who is told: each kind has its options, and its timing beside."""
    found = config.load(FOLDER / "bridge.yml", environ={})
    assert found.mode == "auto"
    assert found.alertmanager.bearer_token.reveal() == found.alertmanager.basic_auth.password.reveal()
    assert (found.alertmanager.url, found.alertmanager.timeout) == ("http://alertmanager:9093/prefix", 3.0)
    assert [[step.action for step in one.steps] for one in found.rules] == [
        ["restart"], ["restart"], ["enqueue"], ["enqueue"], ["enqueue", "restart"], ["none"],
    ]  # fmt: skip
    assert [one.continue_ for one in found.rules] == [False, False, False, True, False, False]
    assert [one.mode for one in found.rules] == [None, "approve", None, None, None, None]
    sync, by_hand = found.queues["user-sync"], found.queues["by-hand"]
    assert (sync.action.kind, sync.action.options.argv[1], sync.action.beside.timeout) == ("command", "{key}", 120.0)
    assert (sync.attempts, sync.backoff, sync.concurrency, sync.interrupted) == (3, (1.0, 60.0), 4, "retry")
    assert (sync.rate.items, sync.rate.per, sync.verify.kind, sync.verify.beside.timeout) == (10, 60.0, "tcp", 2.0)
    assert (by_hand.action, by_hand.attempts, by_hand.backoff, by_hand.interrupted) == (
        None,
        5,
        (2.0, 4.0, 8.0),
        "dead",
    )
    assert (found.incidents.silent_after, found.incidents.late_for, found.incidents.retention) == (
        2 * 86400.0, 0.0, 30 * 86400.0,
    )  # fmt: skip
    assert (found.backlog.test_mode, found.backlog.queue, found.backlog.retention) == (False, "user-sync", 7 * 86400.0)
    assert found.backlog.log_file == FOLDER / "logs" / "backlog.log"
    assert [(one.on, one.action.kind, one.action.beside.timeout) for one in found.notify] == [
        ("incident", "http", 5.0), ("backlog", "command", 30.0),
    ]  # fmt: skip


def test_without_a_bridge_there_are_its_defaults():
    """Nothing runs, nobody is told, incidents end after more than a day, and the command line only says."""
    for found in (config.load(None), config.load(FOLDER / "empty.yml")):
        assert (found.mode, found.rules, dict(found.queues), found.notify) == (None, (), {}, ())
        assert (found.alertmanager.bearer_token, found.alertmanager.url) == (None, None)
        assert (found.incidents.silent_after, found.incidents.late_for) == (25 * 3600.0, 300.0)
        assert (found.backlog.test_mode, found.backlog.queue, found.backlog.log_file) == (True, None, None)


RULES = """
queues: {sync: {RATE}}
rules: [{matchers: ['a="b"'], action: none, CONTINUE}, {action: enqueue, queue: sync}, {matchers: [b=c], action: none}]
alertmanager: {bearer_token: TOKEN}
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({}, ["alertmanager.bearer_token: a secret stands in the file", "rules[2]: is never asked"]),
        (
            {"TOKEN": "short"},
            ["alertmanager.bearer_token: a secret stands", "alertmanager.bearer_token: is short", "rules[2]: is never"],
        ),
        (
            {"RATE": "rate: {items: 1, per: 1s}"},
            ["alertmanager.bearer_token: a secret stands", "queues.sync: has no action", "rules[2]: is never"],
        ),
    ],
)
def test_what_has_no_effect_in_rules_and_queues_is_a_warning(words, told):
    """A rule that is never asked, keys of a queue that nobody works off, a token that could be guessed."""
    text = RULES
    for word, default in {"RATE": "attempts: 2", "CONTINUE": "continue: true", "TOKEN": "0123456789abcdef0"}.items():
        text = text.replace(word, words.get(word, default))
    found = config.parse(text, name="f", environ={})
    assert len(found.warnings) == len(told)
    for sentence in told:
        assert any(sentence in warning for warning in found.warnings), sentence


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_published_schema_takes_a_good_file(path):
    """An editor underlines nothing in a file that is right."""
    data = document.read(path.read_text(encoding="utf-8"), "f", lambda: expander(ENVIRON)).data
    Draft202012Validator(json.loads(json.dumps(config.json_schema()))).validate(data)


def test_what_is_a_secret_by_its_name_is_known_for_redaction():
    """A server may send back its request and a program print its environment; words such as `true` stay readable."""
    found = config.parse(
        """
        services:
          web:
            probe:
              kind: http
              url: http://127.0.0.1/?api_key=query-canary&q=word-canary
              headers: {X-Api-Key: header-canary, X-Use-Token: "true", Accept: text/plain-canary}
              basic_auth: {username: user, password: pass-canary}
          job: {probe: {kind: command, argv: [/bin/true], environment: {DB_PASSWORD: env-canary, MODE: mode-canary}}}
        """,
        name="watchbridge.yml",
    )
    assert found.secrets == {
        "header-canary", "query-canary", "pass-canary", "dXNlcjpwYXNzLWNhbmFyeQ==", "env-canary",
    }  # fmt: skip


def test_all_secrets_are_known_for_redaction():
    """The text of a secret, and the password inside a URL as written and as meant, are known; no path of SQLite is."""
    found = config.load(FOLDER / "whole.yml", environ=ENVIRON)
    url = "postgresql://watchbridge:s3cr%40t-pass@db.example/registry"
    assert found.secrets == {url, "s3cr%40t-pass", "s3cr@t-pass", "mail-pass: {a: b}"}
    assert not [secret for secret in found.secrets if secret in repr(found).replace(repr(found.secrets), "")]


def test_words_that_are_texts_stay_texts():
    """Keys are texts whatever YAML 1.1 makes of them, and quoted values are what stands in the quotes."""
    found = config.load(FOLDER / "words.yml", environ={})
    assert list(found.databases) == ["no", "on"]
    assert found.databases["on"].statement_timeout == 5400.0
    octal = found.collectors["packages"]["017"]
    assert octal.table == "017"
    assert octal.statuses == ("no", "On", "12:30 to 13:00", "Geprüft ✓")
    assert octal.stuck_after == {"Approved": 604800.0, "no": 0.5}


def test_an_empty_file_is_the_default():
    """Nothing written means what no file at all means."""
    empty, none = config.load(FOLDER / "empty.yml"), config.load(None)
    assert (empty.listen, empty.store, empty.scrape, empty.log) == (none.listen, none.store, none.scrape, none.log)
    assert (none.email, none.path, dict(none.databases)) == (None, None, {})
    assert none.listen[0].address == "127.0.0.1:10900"
    assert none.collectors["packages"] == {}


def test_a_configuration_cannot_be_changed():
    """Neither the mappings nor the objects of a configuration take a new value."""
    found = config.load(FOLDER / "whole.yml", environ=ENVIRON)
    with pytest.raises(TypeError):
        found.databases["other"] = found.databases["registry"]
    with pytest.raises(AttributeError):
        found.log.level = "debug"


SOURCE = "databases: {{d: {{url: 'sqlite:////srv/a.db'}}}}\npackages: {{n: {{database: d, {0}}}}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("terminal: [Rejectd]", "terminal[0]: 'Rejectd' is none of the `statuses`; did you mean 'Rejected'?"),
        ("terminal: [rejected]", "terminal[0]: 'rejected' is none of the `statuses`; did you mean 'Rejected'?"),
        (
            "stuck_after: {Aproved: 1h}",
            "stuck_after.Aproved: 'Aproved' is none of the `statuses`; did you mean 'Approved'?",
        ),
        ("stuck_after: {Approved: 1h, default: 2h}", None),
        ("statuses: [new], terminal: [done], stuck_after: {done: 1h, queued: 1h}", None),
        (
            "table: public.packages",
            "table: 'public.packages' is one name: write schema: public and table: packages if you mean two",
        ),
        ("query: SELECT 1", None),
        (
            "query: SELECT 1, stuck_after: 2h",
            "stuck_after: is not used beside a whole query, whose column `stuck` counts: leave it out",
        ),
    ],
)
def test_what_is_hardly_meant_is_a_warning(text, expected):
    """A status that no row will have, and what the source does not look at, is told; the configuration is used."""
    found = config.parse(SOURCE.format(text), name="f", environ={})
    told = [warning.partition(": packages.n.")[2] for warning in found.warnings]
    assert told == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    "text",
    [
        "listen: [{address: '127.0.0.1:1'}, {address: '127.0.0.1:2'}]",
        "listen: [{address: '[::1]:0'}, {address: '[::1]:0'}]",
    ],
    ids=["other ports", "any free port"],
)
def test_several_listeners_are_fine(text):
    """Only what cannot be had twice is a mistake."""
    assert len(config.parse(text, name="f", environ={}).listen) == 2
