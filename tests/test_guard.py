"""Which addresses and targets probes may go to: the ways around a list of allowed ones are known and closed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.guard import Guard, MalformedTargetError, RefusedTargetError, host_of, never

METADATA = IPv4Address("169.254.169.254")
SIX = int(METADATA)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("169.254.169.254", id="metadata of most clouds"),
        pytest.param("169.254.0.1", id="link-local"),
        pytest.param("fe80::1", id="link-local IPv6"),
        pytest.param("fe80::1%lo", id="with a zone"),
        pytest.param("fd00:ec2::254", id="EC2 over IPv6"),
        pytest.param("fd00:ec2::23", id="EKS Pod Identity over IPv6"),
        pytest.param("fd20:ce::254", id="Google over IPv6"),
        pytest.param("100.100.100.200", id="Alibaba"),
        pytest.param("192.0.0.192", id="Oracle"),
        pytest.param("0.0.0.0", id="unspecified"),  # noqa: S104 - nothing listens there
        pytest.param("0.1.2.3", id="this network"),
        pytest.param("::", id="unspecified IPv6"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("ff02::1", id="multicast IPv6"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("::ffff:169.254.169.254", id="mapped"),
        pytest.param("::ffff:0.0.0.0", id="mapped unspecified"),
        pytest.param("::169.254.169.254", id="compatible"),
        pytest.param("::ffff:0:169.254.169.254", id="translated"),
        pytest.param("64:ff9b::169.254.169.254", id="NAT64"),
        pytest.param("64:ff9b:1::169.254.169.254", id="NAT64 of one's own"),
        pytest.param("64:ff9b:1:a9fe:a9:fe00::", id="NAT64 of one's own, 48 bits"),
        pytest.param("64:ff9b:1:00a9:fe:a9fe::", id="NAT64 of one's own, 56 bits"),
        pytest.param("64:ff9b:1:0:a9:fea9:fe00::", id="NAT64 of one's own, 64 bits"),
        pytest.param("2002:a9fe:a9fe::1", id="6to4"),
        pytest.param("2001::5601:5601", id="Teredo, obscured"),
        pytest.param("2001:0:a9fe:a9fe::", id="Teredo, server"),
        pytest.param("2001:db8::5efe:169.254.169.254", id="ISATAP"),
        pytest.param("localhost", id="a name"),
        pytest.param("", id="nothing"),
        pytest.param("0xa9fea9fe", id="hexadecimal"),
    ],
)
def test_some_addresses_are_never_connected_to(address):
    """Not even where everything is allowed."""
    guard = Guard(("0.0.0.0/0", "::/0"))
    assert never(address)
    assert not guard.configured(address)
    assert not guard.free(address)
    assert not guard.lets("anything", address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd00::1", "8.8.8.8", "2600::1", "64:ff9b::808:808"]
)
def test_what_is_configured_may_be_on_loopback_and_in_private_networks(address):
    """Watching these is what probes are for."""
    assert Guard.configured(address)
    assert never(address) is None
    assert not Guard(()).free(address)


@given(st.integers(0, 0xFFFFFFFF))
def test_an_embedded_address_is_judged_as_the_one_it_leads_to(number):
    """What IPv4 refuses cannot be reached by a spelling of IPv6."""
    plain = str(IPv4Address(number))
    mapped = str(IPv6Address(0xFFFF_0000_0000 | number))
    assert (never(mapped) is None) == (never(plain) is None)


@given(st.integers(0, (1 << 128) - 1))
def test_no_address_of_link_local_or_multicast_is_ever_let_in(number):
    """Held against the standard library's own table."""
    found = ip_address(number)
    if found.is_link_local or found.is_multicast or found.is_unspecified:
        assert never(str(found)) is not None


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 32), st.integers(0, 0xFFFFFFFF))
def test_a_free_target_is_let_in_by_the_networks_alone(base, prefix, number):
    """The mapped spelling of an address is the address."""
    network = ip_network((base, prefix), strict=False)
    address = IPv4Address(number)
    guard = Guard((str(network),))
    wanted = address in network and never(str(address)) is None
    assert guard.free(str(address)) is wanted
    assert guard.free(f"::ffff:{address}") is wanted


def test_a_name_is_let_in_wherever_it_leads_but_only_itself():
    """The connection to an allowed name may go to any address; one to another host by the networks only."""
    guard = Guard(("Web.Example.", "10.0.0.0/8", "bücher.example"))
    assert guard.names("web.example")
    assert guard.names("WEB.example.")
    assert guard.names("xn--bcher-kva.example")
    assert not guard.names("evil.web.example")
    assert not guard.names("10.0.0.1")
    assert guard.lets("web.example", "192.168.0.1")
    assert not guard.lets("web.example", "169.254.169.254")
    assert not guard.lets("other.example", "192.168.0.1")
    assert guard.lets("other.example", "10.1.2.3")


@pytest.mark.parametrize(
    ("allow", "host", "refused"),
    [
        ((), "web.example", True),
        ((), "127.0.0.1", True),
        (("127.0.0.0/8",), "127.0.0.1", False),
        (("127.0.0.1",), "127.0.0.1", False),
        (("127.0.0.1",), "127.0.0.2", True),
        (("::1",), "::1", False),
        (("web.example",), "web.example", False),
        (("web.example",), "other.example", True),
        (("10.0.0.0/8",), "other.example", False),
        (("0.0.0.0/0",), "169.254.169.254", True),
    ],
)
def test_a_target_that_can_only_be_refused_is_refused_before_anything_is_looked_up(allow, host, refused):
    """A name goes on where a network is allowed: the address it leads to decides."""
    assert (Guard(allow).refusal(host) is not None) is refused


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://web.example/path?q=a@b", "web.example"),
        ("HTTPS://WEB.Example:8443", "web.example"),
        ("http://web.example#@other.example/", "web.example"),
        ("http://web.example?@other.example/", "web.example"),
        ("web.example", "web.example"),
        ("web.example.:80", "web.example"),
        ("web.example:80/path", "web.example"),
        ("10.0.0.1:22", "10.0.0.1"),
        ("[::1]:22", "::1"),
        ("[::FFFF:7f00:1]:22", str(ip_address("::ffff:7f00:1"))),  # Python 3.13 writes ::ffff:127.0.0.1
        ("::1", "::1"),
        ("http://[2001:DB8::1]/", "2001:db8::1"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("under_score.example", "under_score.example"),
    ],
)
def test_the_host_of_a_target_has_one_spelling(target, host):
    """Whatever the kind of probe, the host that is judged is the one that is meant."""
    assert host_of(target) == host


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("http://0xa9fea9fe/", id="hexadecimal"),
        pytest.param("http://0xA9.0xFE.0xA9.0xFE/", id="hexadecimal parts"),
        pytest.param("http://2852039166/", id="decimal"),
        pytest.param("http://0251.0376.0251.0376/", id="octal"),
        pytest.param("http://169.254.43518/", id="three parts"),
        pytest.param("http://127.1/", id="two parts"),
        pytest.param("http://127.0.0.1./", id="address with a final dot"),
        pytest.param("http://１６９.254.169.254/", id="full-width digits"),  # noqa: RUF001 - on purpose
        pytest.param("http://%31%36%39.254.169.254/", id="percent-encoded"),
        pytest.param("http://user@web.example/", id="user"),
        pytest.param("http://web.example:x@169.254.169.254/", id="user and password"),
        pytest.param("http://web.example\\@169.254.169.254/", id="backslash"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("gopher://127.0.0.1:6379/_FLUSHALL", id="gopher"),
        pytest.param("unix:///var/run/docker.sock", id="unix socket"),
        pytest.param("ftp://127.0.0.1/", id="ftp"),
        pytest.param("http://-dash.example/", id="no name"),
        pytest.param("http://" + "a" * 64 + ".example/", id="long label"),
        pytest.param("http://" + "a." * 140 + "example/", id="long name"),
        pytest.param("http://a..example/", id="empty label"),
        pytest.param("user:password@127.0.0.1:22", id="user without a scheme"),
    ],
)
def test_spellings_that_programs_read_differently_are_refused(target):
    """There is nothing behind them that a plain spelling cannot name."""
    with pytest.raises(RefusedTargetError):
        host_of(target)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("", id="nothing"),
        pytest.param(" ", id="space"),
        pytest.param("http://", id="no host"),
        pytest.param("http:///path", id="no host before a path"),
        pytest.param(":80", id="port alone"),
        pytest.param("http://web.example/\r\nHost: x", id="second header"),
        pytest.param("web.example:99999", id="port too high"),
        pytest.param("web.example:port", id="port no number"),
        pytest.param("[::1", id="open bracket"),
        pytest.param("http://[v1.x]/", id="future address"),
        pytest.param("http://[127.0.0.1]/", id="IPv4 in brackets"),
        pytest.param("http://web.example/\u2028", id="line separator"),
        pytest.param("a\x00b", id="NUL"),
    ],
)
def test_what_is_no_target_is_malformed(target):
    """A line end in a path would be a second request."""
    with pytest.raises(MalformedTargetError):
        host_of(target)


@given(st.text(max_size=60))
def test_any_text_is_a_host_or_one_of_two_refusals(text):
    """What comes from outside never breaks the guard, and a host that it gives is its own spelling."""
    try:
        host = host_of(text)
    except (MalformedTargetError, RefusedTargetError):
        return
    assert host_of(host) == host
    assert Guard(()).refusal(host) is not None


def test_an_entry_that_is_neither_network_nor_name_is_refused():
    """So is a number that some resolver might take for an address."""
    for entry in ("10.0.0.0/33", "0x7f000001", "http://web.example", "a b"):
        with pytest.raises(ValueError, match="host"):
            Guard((entry,))
