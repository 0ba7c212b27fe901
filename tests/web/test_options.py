from __future__ import annotations

import sys
from subprocess import run

import pytest

from exporter.web.options import PARTS, ListenerOptions, split_address


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


def test_the_options_are_read_without_importing_the_server():
    code = "import sys, exporter.web.options; sys.exit('aiohttp' in sys.modules or 'asyncio' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
