"""`watchbridge import` turns a file of blackbox_exporter into YAML of ours that means the same."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import cli
from exporter.blackbox.modules import read, read_text
from exporter.blackbox.writing import text as written
from exporter.config import parse


def imported(path):
    """Return status, standard output and standard error."""
    done = CliRunner().invoke(cli.command, ["import", str(path)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def file(tmp_path):
    """Give a file of modules in a folder that also has the files which it names."""
    (tmp_path / "user").write_text("alice", encoding="utf-8")
    (tmp_path / "given").write_text("given-secret", encoding="utf-8")
    (tmp_path / "given").chmod(0o600)

    def write(modules):
        path = tmp_path / "blackbox.yml"
        path.write_text(
            modules if isinstance(modules, str) else json.dumps({"modules": modules}, ensure_ascii=False),
            encoding="utf-8",
        )
        return path

    return write


MODULES = {
    "http_2xx": {"prober": "http"},
    "web": {
        "prober": "http",
        "timeout": "1.5s",
        "http": {
            "method": "POST",
            "body": 'a "quoted" \\ text\n\twith ${VARIABLE} and $$ and $, é, 😀',
            "headers": {"Host": "a.example", "X-Word": "yes", "X-Number": "017", "X-Colon": "a: b # c"},
            "valid_status_codes": [200, 404],
            "fail_if_body_not_matches_regexp": ["^ok$", r"\d+${1}$"],
            "fail_if_header_matches": [{"header": "A", "regexp": ".", "allow_missing": True}],
            "body_size_limit": "10MB",
            "compression": "gzip",
            "tls_config": {"insecure_skip_verify": True, "server_name": "b.example"},
            "proxy_url": "http://127.0.0.1:3128",
            "fail_if_not_ssl": True,
            "preferred_ip_protocol": "ip4",
            "ip_protocol_fallback": False,
        },
    },
    "mail": {
        "prober": "tcp",
        "tcp": {
            "query_response": [
                {"expect": "^220 ([^ ]+)", "labels": [{"name": "host", "value": "${1}"}]},
                {"send": "EHLO ${1}\r"},
                {"starttls": True},
            ],
            "tls_config": {"min_version": "TLS12"},
        },
    },
    "name": {
        "prober": "dns",
        "dns": {"query_name": "a.example", "validate_answer_rrs": {"fail_if_not_matches_regexp": ["192\\.0\\.2\\.1"]}},
    },
    "ping": {"prober": "icmp", "timeout": "90s", "icmp": {"ttl": 5, "dont_fragment": True}},
}  # fmt: skip


def test_what_is_printed_loads_and_means_the_same(file, tmp_path):
    """Every option, every character."""
    path = file(MODULES)
    code, output, told = imported(path)
    assert (code, told) == (0, "")
    found = parse(output, name="printed", folder=tmp_path, environ={})
    assert found.warnings == ()
    assert dict(found.probe_modules) == dict(read(path).choices)


def test_a_printed_file_is_short_and_readable(file):
    """What has its default is left out."""
    _, output, _ = imported(file({"ping": {"prober": "icmp", "timeout": "5s"}}))
    assert [line for line in output.splitlines() if not line.startswith("#")] == [
        "probe_modules:",
        "  ping:",
        "    kind: icmp",
        "    ip_protocol: ip6",
        "    payload_size: 28",
        "    ttl: 64",
        "    timeout: 5s",
    ]


def test_secrets_are_not_printed_but_named(file, tmp_path):
    """A file that was given stays; for a text a file is still to be made."""
    modules = {
        "a b/c": {"prober": "http", "http": {"basic_auth": {"username_file": "user", "password": "inline-secret"}}},
        "given": {"prober": "http", "http": {"basic_auth": {"username": "bob", "password_file": "given"}}},
        "token": {"prober": "http", "http": {"bearer_token": "token-secret"}},
        "kept": {"prober": "http", "http": {"authorization": {"credentials_file": str(tmp_path / "given")}}},
    }
    path = file(modules)
    code, output, told = imported(path)
    assert (code, told) == (0, "")
    assert "inline-secret" not in output
    assert "token-secret" not in output
    assert "password_file: a-b-c.password  # put the basic auth password of this module into this file\n" in output
    assert "bearer_token_file: token.bearer_token  # put the bearer token of this module into this file\n" in output
    assert output.count(f"_file: {tmp_path}/given\n") == 2
    for name, text in {"a-b-c.password": "inline-secret", "token.bearer_token": "token-secret"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    found = parse(output, name="printed", folder=tmp_path, environ={})
    assert found.warnings == ()
    assert dict(found.probe_modules) == dict(read(path).choices)


def test_what_cannot_be_carried_over_is_told_and_left_out(file):
    """The rest is printed, and the exit status says that it is not all."""
    path = file(
        "modules:\n  a: {prober: http}\n  b: {prober: grpc}\n  c: {prober: http, http: {body_size_limit: much}}\n"
    )
    code, output, told = imported(path)
    assert code == 1
    assert re.findall(r"^  (\w+):$", output, re.MULTILINE) == ["a"]
    lines = told.splitlines()
    assert lines[0].startswith(f"{path}:3:15: modules.b.prober: gRPC health checks are not carried over")
    assert lines[1].startswith(f"{path}:4:27: modules.c.http: body_size_limit is 'much'")
    assert lines[2:] == ["left out: the module b", "left out: the module c"]


def test_a_secret_header_stays_where_it_is(file):
    """Our own configuration has no place for it that does not show it."""
    path = file({"a": {"prober": "http", "http": {"authorization": {"type": "Token", "credentials": "token-secret"}}}})
    code, output, told = imported(path)
    assert code == 1
    assert output.endswith("probe_modules: {}\n")
    assert "modules.a.http.authorization.type: a secret header cannot be written here" in told
    assert told.endswith("left out: the module a\n")
    assert "token-secret" not in output + told


def test_nothing_to_carry_over_is_still_a_configuration(file, tmp_path):
    code, output, told = imported(file("modules: {}"))
    assert (code, told) == (0, "")
    assert dict(parse(output, name="printed", folder=tmp_path, environ={}).probe_modules) == {}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("missing.yml", None, "does not exist"),
        ("broken.yml", "modules: {", "broken.yml:1:"),
        ("config.ini", "[queue]\n", "has none of the sections [database], [monitor], [logging] and [process.NAME]"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path, name, text, words):
    """And nothing on standard output."""
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(cli.command, ["import", str(path)], standalone_mode=False)
    assert done.stdout == ""
    assert words in str(done.exception)
    assert done.exception.exit_code == 2


TEXTS = st.text(
    st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]) | st.sampled_from("${}:- '\""), max_size=40
)
NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(body=TEXTS, name=NAMES.filter(lambda name: name == name.strip()))
def test_any_text_comes_through(tmp_path, body, name):
    """Whatever stands in a body or in the name of a module."""
    modules = {"modules": {name: {"prober": "http", "http": {"body": body}}}}
    found = read_text(json.dumps(modules), "blackbox.yml", tmp_path)
    assert list(found.choices) == [name]
    again = parse(written(found.choices, found.files), name="printed", folder=tmp_path, environ={})
    assert dict(again.probe_modules) == dict(found.choices)
