from __future__ import annotations

import sys
from subprocess import run

import pytest

from exporter.web.access import WatchedAccess
from exporter.web.options import PARTS, ListenerOptions, overlap, path_mistake, split_address
from exporter.web.routes import Served, application


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:10900", ("127.0.0.1", 10900)),
        (":9100", (None, 9100)),
        ("[::1]:0", ("::1", 0)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_an_address_is_split_into_host_and_port(address, expected):
    assert split_address(address) == expected


@pytest.mark.parametrize(
    "address", ["", "9100", "host", "host:", "host:65536", "::1:80", "[::1]", "a b:1", "host:-1", "http://h:1", "h:٣"]
)
def test_what_is_no_address_is_a_problem_that_says_what_was_wanted(address):
    ((path, sentence),) = ListenerOptions(address=address).problems(None)
    assert path == ("address",)
    assert "wanted host:port" in sentence


@pytest.mark.parametrize(("serve", "word"), [((), "empty"), (("api", "api"), "twice")])
def test_an_empty_or_doubled_serve_is_a_problem(serve, word):
    ((path, sentence),) = ListenerOptions(serve=serve).problems(None)
    assert path == ("serve",)
    assert word in sentence


def test_a_listener_without_words_serves_everything_on_loopback():
    options = ListenerOptions()
    assert (options.address, options.serve, options.web_config) == ("127.0.0.1:10900", PARTS, None)
    assert not list(options.problems(None))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (":1", "127.0.0.1:1", True),
        ("a:1", "A:1", True),
        ("a:1", "b:1", False),
        ("a:1", "a:2", False),
        (":0", ":0", False),
        ("a", "a", False),
    ],
)
def test_addresses_overlap_where_only_one_can_be_had(one, other, expected):
    assert overlap(one, other) is overlap(other, one) is expected


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/a/b-c_d.e~f", "/.well-known/metrics"])
def test_metrics_may_be_anywhere_else(path):
    assert path_mistake(path) is None


@pytest.mark.parametrize(
    "path",
    ["", "/", "metrics", "/a b", "/{a}", "/a//b", "/a/../b", "/./a", "/a?b", "/a%20b", "/ä", "/a\n", "/health", "/-/x"],
)
def test_a_path_at_which_no_metrics_can_be_is_told(path):
    assert "wanted a path such as /metrics" in path_mistake(path)


def test_every_page_of_ours_is_taken(services):
    """Metrics at the path of another page would hide one of the two."""
    access = WatchedAccess(None, services.clock)
    app = application(ListenerOptions(), services, access, Served())
    paths = {resource.canonical for resource in app.router.resources()} - {"/", "/metrics"}
    assert {path for path in paths if path_mistake(path) is None} == set()
    assert len(paths) > 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "does not exist"),
        ("", "it holds no mapping"),
        ("basic_auth_users: {alice: wonderland}\n", "is not a bcrypt hash"),
        ("tls_server_config: {cert: x, key: y}\n", "tls_server_config: "),
    ],
)
def test_a_web_configuration_that_cannot_be_used_is_a_problem(tmp_path, text, sentence):
    path = tmp_path / "web.yml"
    if text is not None:
        path.write_text(text)
    ((place, told),) = ListenerOptions(web_config=path).problems(None)
    assert place == ("web_config",)
    assert sentence in told


def test_the_options_are_read_without_importing_the_server():
    code = "import sys, exporter.web.options; sys.exit('aiohttp' in sys.modules or 'asyncio' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
