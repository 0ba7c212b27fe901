"""blackbox_exporter's file is read as it means it, its mistakes are told with their places, and so is what we lack."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
import yaml

from exporter.blackbox import known, problems
from exporter.blackbox.modules import load, read, read_text
from exporter.blackbox.translation import UNTIMED
from exporter.config import Configuration
from exporter.config.options import Secret
from exporter.errors import InvalidConfigurationError
from exporter.probes.http import Options as Http
from exporter.probes.http.options import BasicAuth, HeaderCheck
from exporter.probes.icmp import Options as Icmp
from exporter.wire.tls import TlsOptions


def modules(text, folder):
    return read_text(textwrap.dedent(text), "blackbox.yml", folder)


def http(folder, **options):
    """Return our options of a module of http in blackbox_exporter's words."""
    found = read_text(json.dumps({"modules": {"m": {"prober": "http", "http": options}}}), "blackbox.yml", folder)
    assert (found.mistakes, found.unsupported) == ((), ())
    return found.choices["m"].options


DEFAULT = Http(
    url="https://target.invalid",
    valid_status_codes=("2xx",),
    follow_redirects=True,
    ip_protocol="ip6",
    health=False,
)


def test_the_defaults_are_blackbox_exporters_own(tmp_path):
    """Redirects, codes, address families; and a body is not read as a health document."""
    found = modules("modules: {a: {prober: http}, b: {prober: icmp, timeout: 1500ms}}", tmp_path)
    assert found.choices["a"].kind == "http"
    assert found.choices["a"].options == DEFAULT
    assert found.choices["a"].beside.timeout == UNTIMED
    assert found.choices["b"].options == Icmp(address="target.invalid", ip_protocol="ip6", payload_size=28, ttl=64)
    assert found.choices["b"].beside.timeout == 1.5


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"valid_status_codes": [200, 404]}, {"valid_status_codes": ("200", "404")}),
        ({"valid_status_codes": []}, {}),
        ({"valid_http_versions": ["HTTP/1.1", "HTTP/2.0"]}, {"valid_http_versions": ("HTTP/1.1", "HTTP/2.0")}),
        ({"preferred_ip_protocol": "ip4", "ip_protocol_fallback": False}, {"ip_protocol": "ip4", "ip_fallback": False}),
        ({"follow_redirects": False}, {"follow_redirects": False}),
        ({"no_follow_redirects": True}, {"follow_redirects": False}),
        ({"no_follow_redirects": False, "follow_redirects": False}, {"follow_redirects": True}),
        ({"fail_if_ssl": True}, {"require_tls": False}),
        ({"fail_if_not_ssl": True}, {"require_tls": True}),
        ({"method": "POST", "body": "{}"}, {"method": "POST", "body": "{}"}),
        ({"headers": {"Host": "a.example"}}, {"headers": {"Host": "a.example"}}),
        ({"http_headers": {"Accept-Language": {"values": ["de", "en"]}}}, {"headers": {"Accept-Language": "en"}}),
        ({"fail_if_body_matches_regexp": ["a", "b"]}, {"body_not_matches": ("a", "b")}),
        ({"fail_if_body_not_matches_regexp": ["a"]}, {"body_matches": ("a",)}),
        (
            {"fail_if_header_matches": [{"header": "A", "regexp": "b", "allow_missing": True}]},
            {"header_not_matches": (HeaderCheck(header="A", regexp="b", allow_missing=True),)},
        ),
        (
            {"fail_if_header_not_matches": [{"header": "A", "regexp": "b"}]},
            {"header_matches": (HeaderCheck(header="A", regexp="b"),)},
        ),
        ({"compression": "gzip"}, {"compression": "gzip"}),
        ({"body_size_limit": "1MB"}, {"body_size_limit": 1 << 20}),
        ({"body_size_limit": "1.5KiB"}, {"body_size_limit": 1536}),
        ({"body_size_limit": 0}, {}),
        ({"enable_http2": False, "skip_resolve_phase_with_proxy": True}, {}),
        ({"proxy_url": "http://127.0.0.1:3128"}, {"proxy": "http://127.0.0.1:3128"}),
        ({"tls_config": {}}, {}),
        (
            {"tls_config": {"insecure_skip_verify": True, "server_name": "a", "min_version": "TLS12"}},
            {"tls": TlsOptions(insecure_skip_verify=True, server_name="a", min_version="TLS12")},
        ),
        (
            {"basic_auth": {"username": "a", "password": "b"}},
            {"basic_auth": BasicAuth(username="a", password=Secret("b"))},
        ),
        ({"bearer_token": "t"}, {"bearer_token": Secret("t")}),
        ({"authorization": {"credentials": "t"}}, {"bearer_token": Secret("t")}),
        ({"authorization": {"type": "bearer", "credentials": "t"}}, {"bearer_token": Secret("t")}),
        ({"oauth2": None, "fail_if_ssl": None, "enable_http3": False}, {}),
    ],
)  # fmt: skip
def test_an_option_of_http_becomes_ours(tmp_path, theirs, ours):
    """Everything else keeps its default."""
    wanted = {
        field: getattr(DEFAULT, field) for field in ("url", "valid_status_codes", "follow_redirects", "ip_protocol")
    }
    assert http(tmp_path, **theirs) == Http(**{**wanted, "health": False, **ours})


def test_files_are_looked_for_beside_the_file_of_modules(tmp_path):
    """User, password, token and body."""
    for name, text in {"user": "alice\n", "password": "wonderland\n", "token": "let-me-in\n", "body": "hello"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = http(tmp_path, basic_auth={"username_file": "user", "password_file": "password"}, body_file="body")
    assert found.basic_auth == BasicAuth(username="alice", password=Secret("wonderland"))
    assert found.body_file == tmp_path / "body"
    assert http(tmp_path, bearer_token_file="token").bearer_token == Secret("let-me-in")
    assert http(tmp_path, authorization={"credentials_file": "token"}).bearer_token == Secret("let-me-in")


def test_a_header_that_is_a_secret_by_its_name_is_kept_and_never_written(tmp_path):
    """What `import` prints is pasted and committed: a credential in plain `headers` is not in it."""
    headers = {"Authorization": "Basic cGxhaW4tc2VjcmV0", "X-Api-Key": "plain-api-key", "X-Other": "plain-header"}
    text = json.dumps({"modules": {"a": {"prober": "http", "http": {"headers": headers}}}})
    found = modules(text, tmp_path)
    assert (found.mistakes, found.unsupported) == ((), ())
    assert found.choices["a"].options.headers == headers
    assert found.secrets >= {"Basic cGxhaW4tc2VjcmV0", "plain-api-key"}
    assert "plain-header" not in found.secrets
    assert [mistake.sentence.partition(": ")[0] for mistake in found.unwritable["a"]] == [
        "modules.a.http.headers.Authorization", "modules.a.http.headers.X-Api-Key",
    ]  # fmt: skip


def test_headers_may_be_secret(tmp_path):
    """They go to the target alone, are never shown, and cannot be written into our own file."""
    (tmp_path / "key").write_text(" key-of-file\n", encoding="utf-8")
    text = """
        modules:
          a:
            prober: http
            http:
              http_headers:
                X-Key: {values: [a, b], secrets: [old-secret, key-secret]}
                X-File: {values: [a], secrets: [old-secret], files: [key]}
                X-Empty: {}
              authorization: {type: Token, credentials: token-secret}
        """
    found = modules(text, tmp_path)
    assert (found.mistakes, found.unsupported) == ((), ())
    options = found.choices["a"].options
    assert options.headers == {"X-Key": "key-secret", "X-File": "key-of-file", "Authorization": "Token token-secret"}
    assert options.bearer_token is None
    assert found.secrets >= {"key-secret", "key-of-file", "token-secret"}
    assert not any(secret in repr(found.choices) for secret in found.secrets)
    assert [mistake.line for mistake in found.unwritable["a"]] == [7, 7, 8, 8, 10]


def test_yaml_is_taken_as_go_takes_it(tmp_path):
    """Empty keys, numbers where a text is wanted, and the words of YAML 1.1 for true."""
    text = """
        modules:
          a:
            prober: http
            timeout:
            http:
              headers: {X-Number: 017, X-Date: 2020-01-01, X-Word: yes}
              basic_auth: {username: 1234, password: 0042}
              follow_redirects: no
              body:
              tls_config:
          b:
            prober: icmp
            icmp:
        """
    found = modules(text, tmp_path)
    assert (found.mistakes, found.unsupported) == ((), ())
    options = found.choices["a"].options
    assert options.headers == {"X-Number": "017", "X-Date": "2020-01-01", "X-Word": "yes"}
    assert options.basic_auth == BasicAuth(username="1234", password=Secret("0042"))
    assert not options.follow_redirects
    assert "0042" in found.secrets


def test_tcp_dns_and_icmp_are_carried_over(tmp_path):
    """With what their own defaults are."""
    text = r"""
        modules:
          smtp:
            prober: tcp
            timeout: 1m
            tcp:
              source_ip_address: 127.0.0.1
              query_response:
              - expect: "^220 ([^ ]+) ESMTP"
                labels: [{name: host, value: "${1}"}]
              - send: "STARTTLS\r"
              - expect_bytes: S
              - starttls: true
              tls_config: {insecure_skip_verify: true}
          plain: {prober: tcp, tcp: {tls_config: {insecure_skip_verify: true}}}
          name:
            prober: dns
            dns:
              query_name: www.example.org
              dns_over_tls: true
              transport_protocol: tcp
              recursion_desired: false
              tls_config: {server_name: dns.example}
              validate_answer_rrs: {fail_if_matches_regexp: [a], fail_if_none_matches_regexp: [b]}
          ping: {prober: icmp, icmp: {payload_size: 100, dont_fragment: true, ttl: 5, preferred_ip_protocol: ip4}}
        """
    found = modules(text, tmp_path)
    assert (found.mistakes, found.unsupported) == ((), ())
    smtp = found.choices["smtp"].options
    assert smtp.source_ip == "127.0.0.1"
    assert smtp.tls_config == TlsOptions(insecure_skip_verify=True)
    assert [one.send for one in smtp.query_response] == [None, "STARTTLS\r", None, None]
    assert [one.expect_bytes for one in smtp.query_response] == [None, None, "S", None]
    assert [one.starttls for one in smtp.query_response] == [False, False, False, True]
    assert (smtp.query_response[0].labels[0].name, smtp.query_response[0].labels[0].value) == ("host", "${1}")
    assert found.choices["plain"].options.tls_config is None
    name = found.choices["name"].options
    assert (name.query, name.record, name.query_class, name.transport) == ("www.example.org", "ANY", "IN", "tcp")
    assert (name.recursion, name.valid_rcodes, name.dns_over_tls) == (False, ("NOERROR",), True)
    assert name.tls_config == TlsOptions(server_name="dns.example")
    assert name.validate_answer.fail_if_matches_regexp == ("a",)
    assert name.validate_answer.fail_if_none_matches_regexp == ("b",)
    ping = Icmp(address="target.invalid", ip_protocol="ip4", payload_size=100, dont_fragment=True, ttl=5)
    assert found.choices["ping"].options == ping


MISTAKES = """\
modules:
  unknown: {prober: smtp}
  missing: {http: {}}
  typo: {prober: http, http: {metod: GET}}
  timed: {prober: http, timeout: soon}
  pattern:
    prober: http
    http:
      fail_if_body_not_matches_regexp: ["fine", "a(b"]
      fail_if_header_matches: [{header: A, regexp: "*"}]
  both: {prober: http, http: {body: a, body_file: b}}
  never: {prober: http, http: {fail_if_ssl: true, fail_if_not_ssl: true}}
  twice: {prober: http, http: {bearer_token: secret-a, basic_auth: {username: a, password: secret-b}}}
  absent: {prober: http, http: {basic_auth: {username: a, password_file: nowhere}}}
  size: {prober: http, http: {body_size_limit: many}}
  question: {prober: dns}
  hops: {prober: icmp, icmp: {ttl: 256}}
  expecting: {prober: tcp, tcp: {query_response: [{expect: "a(b"}, {expect: a, expect_bytes: b}]}}
  good: {prober: http}
"""


def test_every_mistake_is_told_at_once_with_its_place(tmp_path):
    """As of our own configuration; what is right can be used."""
    found = read_text(MISTAKES, "blackbox.yml", tmp_path)
    assert list(found.choices) == ["good"]
    assert found.unsupported == ()
    told = {(one.line, one.column): one.sentence for one in found.mistakes}
    wanted = {
        2: "modules.unknown.prober: found 'smtp', wanted one of",
        3: "modules.missing: the key 'prober' is missing",
        4: "modules.typo.http: unknown key 'metod'; did you mean 'method'?",
        5: "modules.timed.timeout: found 'soon'",
        9: "modules.pattern.http.fail_if_body_not_matches_regexp[1]: 'a(b' is no regular expression",
        10: "modules.pattern.http.fail_if_header_matches[0].regexp: '*' is no regular expression",
        11: "modules.both.http.body_file: give body or body_file, not both",
        12: "modules.never.http.fail_if_ssl: fail_if_ssl and fail_if_not_ssl fail every probe",
        13: "modules.twice.http.bearer_token: give 'basic_auth' or 'bearer_token', not both",
        14: f"modules.absent.http.basic_auth.password_file: the file '{tmp_path}/nowhere' does not exist",
        15: "modules.size.http: body_size_limit is 'many'",
        16: "modules.question.dns: the key 'query_name' is missing",
        17: "modules.hops.icmp.ttl: found 256, wanted",
        18: "modules.expecting.tcp: give 'expect' or 'expect_bytes', not both",
    }
    for line, sentence in wanted.items():
        (said,) = {sentence_ for (at, _), sentence_ in told.items() if at == line and sentence_.startswith(sentence)}
        assert "secret-" not in said
    path = tmp_path / "blackbox.yml"
    path.write_text(MISTAKES, encoding="utf-8")
    with pytest.raises(InvalidConfigurationError) as raised:
        load(path)
    assert len(raised.value.problems) >= len(wanted)
    assert raised.value.problems[0].startswith(f"{path}:2:")


REFUSED = """\
modules:
  grpc: {prober: grpc, grpc: {service: a, whatever: 1}}
  unix: {prober: unix}
  websocket: {prober: websocket, websocket: {}}
  oauth: {prober: http, http: {oauth2: {client_id: a, client_secret: b}}}
  cel: {prober: http, http: {fail_if_body_json_matches_cel: "body.a"}}
  three: {prober: http, http: {enable_http3: true, enable_http2: false, valid_http_versions: [HTTP/3.0]}}
  environment: {prober: http, http: {proxy_from_environment: true}}
  brotli: {prober: http, http: {compression: br}}
  binary: {prober: tcp, tcp: {query_response: [{send: !!binary AAAACATSFi8=}]}}
  unused: {prober: tcp, http: {oauth2: {client_id: a}}, grpc: {tls: true}}
"""


def test_what_we_lack_is_told_and_takes_only_its_own_module_away(tmp_path):
    """Debian's own file has modules of gRPC that nobody uses: the others must work."""
    found = read_text(REFUSED, "blackbox.yml", tmp_path)
    assert found.mistakes == ()
    assert list(found.choices) == ["unused"]
    assert set(found.refused) == set(found.left_out) == {
        "grpc", "unix", "websocket", "oauth", "cel", "three", "environment", "brotli", "binary",
    }  # fmt: skip
    (told,) = found.refused["oauth"]
    assert told.startswith("modules.oauth.http.oauth2: OAuth 2.0 is not carried over: use bearer_token_file")
    assert [one.line for one in found.unsupported] == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    path = tmp_path / "blackbox.yml"
    path.write_text(REFUSED, encoding="utf-8")
    assert known(Configuration(probe_modules_file=path)).refused == read(path).refused
    with pytest.raises(InvalidConfigurationError, match="gRPC health checks are not carried over"):
        load(path)


def test_the_configuration_tells_the_mistakes_of_the_file_that_it_names(tmp_path):
    """And a name that stands in both."""
    path = tmp_path / "blackbox.yml"
    assert list(problems(Configuration())) == []
    path.write_text("modules: {a: {prober: http}, b: {prober: grpc}}", encoding="utf-8")
    own = dict.fromkeys(("a", "b", "c"), known(Configuration()).choices["http_2xx"])
    assert list(problems(Configuration(probe_modules_file=path))) == []
    twice = [sentence for _, sentence in problems(Configuration(probe_modules_file=path, probe_modules=own))]
    assert [sentence.split()[2] for sentence in twice] == ["'a'", "'b'"]
    path.write_text("modules: {a: {prober: htp}}", encoding="utf-8")
    ((where, sentence),) = problems(Configuration(probe_modules_file=path))
    assert where == ("probe_modules_file",)
    assert sentence.startswith(f"{path}:1:")
    with pytest.raises(InvalidConfigurationError):
        known(Configuration(probe_modules_file=path))
    path.unlink()
    ((_, sentence),) = problems(Configuration(probe_modules_file=path))
    assert "does not exist" in sentence


def test_own_modules_and_those_of_the_file_are_known_together(tmp_path):
    """And only where there are none, the built-in one."""
    path = tmp_path / "blackbox.yml"
    path.write_text("modules: {a: {prober: http, http: {bearer_token: hunter2}}, b: {prober: grpc}}", encoding="utf-8")
    assert list(known(Configuration()).choices) == ["http_2xx"]
    own = {"c": known(Configuration()).choices["http_2xx"]}
    assert list(known(Configuration(probe_modules=own)).choices) == ["c"]
    both = known(Configuration(probe_modules=own, probe_modules_file=path))
    assert sorted(both.choices) == ["a", "c"]
    assert list(both.refused) == ["b"]
    assert "hunter2" in both.secrets
    assert len(both.warnings) == 2
    assert not any("hunter2" in warning for warning in both.warnings)


@pytest.mark.parametrize(
    "text",
    ["", "modules:", "modules: {}", "{}"],
)
def test_an_empty_file_has_no_modules(tmp_path, text):
    found = read_text(text, "blackbox.yml", tmp_path)
    assert (dict(found.choices), found.mistakes) == ({}, ())


def test_what_is_no_such_file_is_told(tmp_path):
    """A list, another key, no YAML."""
    assert read_text("modules: [a]", "f", tmp_path).mistakes
    assert read_text("moduls: {}", "f", tmp_path).mistakes
    assert read_text("- a", "f", tmp_path).mistakes
    with pytest.raises(InvalidConfigurationError):
        read_text("{", "f", tmp_path)


def test_what_blackbox_exporter_refuses_is_a_mistake_here(theirs, modules_file, tmp_path):
    """Each on its own, so that one does not hide another; and what both know is taken by both."""
    refused = set()
    for name, module in yaml.safe_load(MISTAKES)["modules"].items():
        path = tmp_path / f"{name}.yml"
        path.write_text(json.dumps({"modules": {name: module}}), encoding="utf-8")
        assert (read(path).mistakes == ()) is (name == "good")
        if not theirs.accepts(path):
            refused.add(name)
    assert refused >= {"typo", "timed", "pattern", "twice", "size", "hops"}
    assert "good" not in refused
    assert theirs.accepts(modules_file)
    found = read(modules_file)
    assert (found.mistakes, found.unsupported) == ((), ())


def test_what_is_known_without_a_file_is_known_quickly():
    """Neither YAML nor JSON Schema is imported by a program that reads no file."""
    code = (
        "import sys; from exporter.blackbox import known; from exporter.config import Configuration;"
        "print(list(known(Configuration()).choices), {'yaml', 'jsonschema'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "['http_2xx'] set()\n"
