"""Our `/probe` and a real blackbox_exporter give the same metrics for the same target and module."""

from __future__ import annotations

import asyncio
import math
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

NEWER = frozenset({"probe_timeout_seconds", "probe_tls_cipher_info", "probe_failed_due_to_bytes"})
"""What blackbox_exporter shows since a version after Debian's 0.23."""
TIMES = re.compile(r"probe_(.*_)?duration_seconds|probe_dns_lookup_time_seconds")
NEWER_LABELS = frozenset({"serialnumber"})


def series(text):
    """Return name and labels of each sample with its value; times are as good as any other time."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name not in NEWER:
                labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k not in NEWER_LABELS))
                found[sample.name, labels] = None if TIMES.fullmatch(sample.name) else sample.value
    return found


def helps(text):
    return {
        (family.name, family.documentation, family.type)
        for family in text_string_to_metric_families(text)
        if family.name not in NEWER
    }


@pytest.fixture
def same(ours, theirs):
    """Ask both, and return what both say after it was held against each other."""

    async def ask(module, target, **more):
        asked = {"module": module, "target": target, **more}
        mine = await ours(**asked)
        other = await asyncio.to_thread(theirs.probe, **asked)
        assert series(mine) == series(other)
        assert helps(mine) == helps(other)
        return {name: value for (name, labels), value in series(mine).items() if not labels}

    return ask


@pytest.mark.parametrize(
    ("module", "path", "success"),
    [
        ("http_2xx", "/", 1),
        ("http_2xx", "/status/204", 1),
        ("http_2xx", "/status/404", 0),
        ("http_2xx", "/status/500", 0),
        ("http_2xx", "/redirect/0", 1),
        ("http_2xx", "/redirect/3", 1),
        ("post", "/", 1),
        ("not_found", "/status/404", 1),
        ("not_found", "/", 0),
        ("stay", "/redirect/0", 0),
        ("old_stay", "/redirect/0", 0),
        ("moved", "/redirect/0", 1),
        ("found", "/", 1),
        ("found", "/status/200", 0),
        ("forbidden", "/", 0),
        ("forbidden", "/status/200", 1),
        ("header", "/", 1),
        ("header_wrong", "/", 0),
        ("header_forbidden", "/", 0),
        ("header_forbidden", "/status/200", 1),
        ("header_absent", "/", 0),
        ("header_may_miss", "/", 1),
        ("basic", "/secret", 1),
        ("bearer", "/secret", 1),
        ("authorization", "/secret", 1),
        ("http_2xx", "/secret", 0),
        ("gzip", "/gzip", 1),
        ("limited", "/", 0),
        ("limited_enough", "/", 1),
        ("only_tls", "/", 0),
        ("version", "/", 1),
        ("version_wrong", "/", 0),
    ],
)
async def test_http(same, site, module, path, success):
    """Codes, redirects, regular expressions, credentials, compression, limits."""
    assert (await same(module, site["http"] + path))["probe_success"] == success


async def test_http_without_a_scheme(same, site):
    """A target may be a host and a port."""
    assert (await same("http_2xx", site["http"].partition("://")[2]))["probe_http_status_code"] == 200


async def test_http_of_a_virtual_host(same, site):
    """The parameter `hostname` becomes the header Host."""
    assert (await same("http_2xx", f"{site['http']}/named", hostname="other.example"))["probe_success"] == 1
    assert (await same("http_2xx", f"{site['http']}/named"))["probe_success"] == 0


@pytest.mark.parametrize(
    ("module", "success"),
    [("trusting", 1), ("careless", 1), ("http_2xx", 0), ("no_tls", 0)],
)
async def test_https(same, site, module, success):
    """A certificate is trusted, not looked at, unknown, or not wanted."""
    found = await same(module, f"{site['https']}/")
    assert found["probe_success"] == success
    if module == "trusting":
        assert found["probe_ssl_earliest_cert_expiry"] > 0
        assert math.isfinite(found["probe_ssl_last_chain_expiry_timestamp_seconds"])


async def test_https_of_a_virtual_host(same, site):
    """The parameter `hostname` is also the name that the certificate must have."""
    target = f"{site['https']}/named"
    assert (await same("trusting", target, hostname="other.example"))["probe_success"] == 1


async def test_nobody_listens(same, peers):
    """A refused connection is an answer in time, too."""
    assert (await same("http_2xx", f"http://{peers['nobody']}/"))["probe_http_status_code"] == 0
    assert (await same("tcp", peers["nobody"]))["probe_success"] == 0


@pytest.mark.parametrize(
    ("module", "peer", "success"),
    [
        ("tcp", "banner", 1),
        ("banner", "banner", 1),
        ("groups", "banner", 1),
        ("tcp_tls", "tls", 1),
        ("tcp_untrusted", "tls", 0),
    ],
)
async def test_tcp(same, peers, module, peer, success):
    """Connections, dialogues and TLS."""
    assert (await same(module, peers[peer]))["probe_success"] == success


@pytest.mark.parametrize(
    ("module", "success"),
    [
        ("dns_a", 1),
        ("dns_any", 1),
        ("dns_tcp", 1),
        ("dns_soa", 1),
        ("dns_missing", 0),
        ("dns_missing_wanted", 1),
        ("dns_checked", 1),
        ("dns_wrong", 0),
    ],
)
async def test_dns(same, name_server, module, success):
    """Types, transports, response codes and checks of records."""
    assert (await same(module, f"127.0.0.1:{name_server.port}"))["probe_success"] == success


async def test_icmp(same):
    """An echo request to this host."""
    assert (await same("icmp", "127.0.0.1"))["probe_success"] == 1
