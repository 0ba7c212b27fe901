"""What an HTTP probe may be told, and the sentence for each mistake."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest

from exporter import __version__
from exporter.config.options import Secret, Size
from exporter.probes import http
from exporter.probes.http import plans, urls
from exporter.probes.http.options import BasicAuth, HeaderCheck, Options, code_range
from exporter.wire.tls import TlsOptions

URL = "http://web.example/"
AUTH = BasicAuth(username="user", password=Secret("hunter2"))


def request_of(**keywords) -> str:
    return plans.of(Options(**({"url": URL} | keywords))).first.request.data.decode()


@pytest.mark.parametrize(
    ("keywords", "path", "words"),
    [
        pytest.param({"url": "web.example"}, ("url",), "neither http nor https", id="no scheme"),
        pytest.param({"url": "ftp://web.example/"}, ("url",), "neither http nor https", id="another scheme"),
        pytest.param({"url": "file:///etc/passwd"}, ("url",), "neither http nor https", id="a file"),
        pytest.param({"url": "http:///path"}, ("url",), "names no host", id="no host"),
        pytest.param({"url": "http://user:hunter2@web.example/"}, ("url",), "basic_auth", id="a password"),
        pytest.param({"url": "http://user@web.example/"}, ("url",), "basic_auth", id="a user"),
        pytest.param({"url": "http://web.example:0/"}, ("url",), "port is 0", id="port 0"),
        pytest.param({"url": "http://web.example:99999/"}, ("url",), "cannot be read", id="port 99999"),
        pytest.param({"url": "http://web.example:http/"}, ("url",), "cannot be read", id="a port that is no number"),
        pytest.param({"url": "http://[::1/"}, ("url",), "cannot be read", id="an open bracket"),
        pytest.param({"url": "http://[fe80::1%25eth0]/"}, ("url",), "IPv6", id="a zone"),
        pytest.param({"url": "http://web example/"}, ("url",), "space or a control", id="a space"),
        pytest.param({"url": "http://web.example/\r\nHost: b"}, ("url",), "space or a control", id="a line end"),
        pytest.param({"url": "http://web.example/\ud800"}, ("url",), "space or a control", id="a surrogate"),
        pytest.param({"url": "http://we<b>.example/"}, ("url",), "no name and no address", id="signs in the host"),
        pytest.param({"url": "http://xn--\u00e9\u3002\u200d/"}, ("url",), "international name", id="a bad name"),
        pytest.param({"url": "http://h/" + "x" * 9000}, ("url",), "longer than 8192", id="too long"),
        pytest.param({"method": "CONNECT"}, ("method",), "no method of a probe", id="CONNECT"),
        pytest.param({"headers": {"A B": "x"}}, ("headers", "A B"), "no header's name", id="a space in a name"),
        pytest.param({"headers": {"A:": "x"}}, ("headers", "A:"), "no header's name", id="a colon in a name"),
        pytest.param({"headers": {"A": "x\r\nB: y"}}, ("headers", "A"), "control character", id="a line end"),
        pytest.param({"headers": {"A": "x\0"}}, ("headers", "A"), "control character", id="NUL in a value"),
        pytest.param({"headers": {"A": " x"}}, ("headers", "A"), "space at its edge", id="a space at the edge"),
        pytest.param({"headers": {"A": "1", "a": "2"}}, ("headers", "a"), "given twice", id="a header twice"),
        pytest.param(
            {"headers": {"Content-Length": "5"}},
            ("headers", "Content-Length"),
            "probe itself",
            id="a length",
        ),
        pytest.param({"headers": {"Host": "a b"}}, ("headers", "Host"), "no host", id="a bad Host"),
        pytest.param(
            {"headers": {"authorization": "x"}, "basic_auth": AUTH},
            ("headers", "authorization"),
            "keep one of them",
            id="two authorizations",
        ),
        pytest.param(
            {"basic_auth": AUTH, "bearer_token": Secret("t")},
            ("bearer_token",),
            "exclude each other",
            id="both",
        ),
        pytest.param({"bearer_token": Secret("t\n")}, ("bearer_token",), "control", id="a token of two lines"),
        pytest.param({"body": "x", "body_file": Path("x")}, ("body_file",), "exclude each other", id="two bodies"),
        pytest.param(
            {"expected_status_code": 200, "valid_status_codes": ("2xx",)},
            ("valid_status_codes",),
            "exclude each other",
            id="two kinds of codes",
        ),
        pytest.param({"valid_status_codes": (200, "20x")}, ("valid_status_codes", 1), "no status code", id="20x"),
        pytest.param({"valid_status_codes": ("299-200",)}, ("valid_status_codes", 0), "smaller code", id="backwards"),
        pytest.param({"valid_status_codes": (42,)}, ("valid_status_codes", 0), "no status code", id="two digits"),
        pytest.param({"body_matches": ("ok", "(")}, ("body_matches", 1), "no regular expression", id="no expression"),
        pytest.param({"body_not_matches": ("(?=x)",)}, ("body_not_matches", 0), "look-around", id="look-ahead"),
        pytest.param({"proxy": "https://proxy.example/"}, ("proxy",), "http://proxy.example:3128", id="a TLS proxy"),
        pytest.param({"proxy": "http://u:hunter2@proxy.example/"}, ("proxy",), "a password", id="a proxy's user"),
        pytest.param({"proxy": "http://proxy.example/path"}, ("proxy",), "proxy.example:3128", id="a proxy's path"),
        pytest.param({"proxy": "proxy.example"}, ("proxy",), "neither http nor https", id="a proxy without a scheme"),
    ],
)
def test_a_mistake_is_told_at_its_place(keywords, path, words):
    """One mistake, one sentence, and never a credential in it."""
    told = list(Options(**({"url": URL} | keywords)).problems(None))
    assert [each[0] for each in told] == [path]
    assert words in told[0][1]
    assert "hunter2" not in told[0][1]


@pytest.mark.parametrize(
    ("part", "path"),
    [
        pytest.param(HeaderCheck(header="A", regexp="("), ("regexp",), id="an expression of a header"),
        pytest.param(BasicAuth(username="a:b", password=Secret("x")), ("username",), id="a colon in a user"),
        pytest.param(BasicAuth(username="a\n", password=Secret("x")), ("username",), id="a line end in a user"),
    ],
)
def test_a_mistake_in_a_part_is_told(part, path):
    """Parts check themselves."""
    assert [each[0] for each in part.problems(None)] == [path]


@pytest.mark.parametrize(
    "keywords",
    [
        pytest.param({}, id="a URL alone"),
        pytest.param({"url": "HTTPS://Web.Example:8443/a?b=c#d"}, id="capitals, a port, a query"),
        pytest.param({"url": "http://[2001:db8::1]:8080/"}, id="IPv6"),
        pytest.param({"url": "http://bücher.example/ä"}, id="an international name"),
        pytest.param({"url": "http://my_container:8080/"}, id="an underscore"),
        pytest.param({"headers": {"Host": "other.example:8080", "X-Ä".replace("Ä", "A"): "ä"}}, id="headers"),
        pytest.param({"valid_status_codes": (200, "3xx", "401-403")}, id="codes"),
        pytest.param({"proxy": "http://proxy.example:3128"}, id="a proxy"),
    ],
)
def test_what_can_be_probed_has_no_problem(keywords):
    """Nothing is said of what works."""
    assert list(Options(**({"url": URL} | keywords)).problems(None)) == []


@pytest.mark.parametrize(
    ("keywords", "path"),
    [
        pytest.param({"headers": {"Authorization": "Bearer x"}}, ("headers", "Authorization"), id="a secret"),
        pytest.param({"valid_http_versions": ("HTTP/2.0",)}, ("valid_http_versions",), id="a version never spoken"),
        pytest.param({"basic_auth": AUTH}, ("url",), id="a password in clear text"),
    ],
)
def test_what_is_hardly_meant_is_a_warning(keywords, path):
    """It works all the same."""
    options = Options(**({"url": URL} | keywords))
    assert list(options.problems(None)) == []
    assert [each[0] for each in options.warnings(None)] == [path]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://localhost:8080/", "http://[::1]/", "https://web.example/"]
)
def test_a_password_on_loopback_or_over_tls_is_fine(url):
    """Nobody else can read it there."""
    assert list(Options(url=url, basic_auth=AUTH).warnings(None)) == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [(200, range(200, 201)), ("200", range(200, 201)), ("2xx", range(200, 300)), ("401-403", range(401, 404))],
)
def test_codes_are_ranges(text, codes):
    """A code, a class, or from one to another."""
    assert code_range(text) == codes


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "target"),
    [
        pytest.param("http://web.example", "web.example", 80, "web.example", "/", id="no path"),
        pytest.param("http://web.example:80/", "web.example", 80, "web.example", "/", id="the port of http"),
        pytest.param("https://web.example:443/", "web.example", 443, "web.example", "/", id="the port of https"),
        pytest.param("https://web.example:80/", "web.example", 80, "web.example:80", "/", id="another port"),
        pytest.param("http://WEB.Example/A", "web.example", 80, "web.example", "/A", id="capitals of the host"),
        pytest.param("http://[2001:DB8::0:1]:8080/", "2001:db8::1", 8080, "[2001:db8::1]:8080", "/", id="IPv6"),
        pytest.param("http://bücher.example/", "xn--bcher-kva.example", 80, "xn--bcher-kva.example", "/", id="IDNA"),
        pytest.param("http://faß.example/", "xn--fa-hia.example", 80, "xn--fa-hia.example", "/", id="IDNA of 2008"),
        pytest.param("http://h/a#fragment", "h", 80, "h", "/a", id="a fragment is not sent"),
        pytest.param("http://h?q=1", "h", 80, "h", "/?q=1", id="a query without a path"),
        pytest.param("http://h/?", "h", 80, "h", "/?", id="an empty query"),
        pytest.param("http://h/ä?ü=ö", "h", 80, "h", "/%C3%A4?%C3%BC=%C3%B6", id="outside ASCII"),
        pytest.param("http://h/a%20b%zz%", "h", 80, "h", "/a%20b%25zz%25", id="what is encoded stays"),
        pytest.param("http://h/a{b}|c\\d^<e>", "h", 80, "h", "/a%7Bb%7D%7Cc%5Cd%5E%3Ce%3E", id="signs"),
        pytest.param("http://h/a;b=c,d/(e)'f'*!$&@:+~", "h", 80, "h", "/a;b=c,d/(e)'f'*!$&@:+~", id="allowed signs"),
        pytest.param("http://h/?a=%26&b=c/d?e", "h", 80, "h", "/?a=%26&b=c/d?e", id="signs of a query"),
        pytest.param("http://localhost./", "localhost.", 80, "localhost.", "/", id="a final dot"),
    ],
)
def test_a_url_is_taken_apart(url, host, port, authority, target):
    """Where to connect, and what the request says."""
    parsed = urls.parse(url)
    assert (parsed.host, parsed.port, parsed.authority, parsed.target) == (host, port, authority, target)
    assert urls.parse(parsed.whole) == parsed


@pytest.mark.parametrize(
    ("location", "whole"),
    [
        pytest.param(b"/b", "http://h:81/b", id="a path"),
        pytest.param(b"b?x=1", "http://h:81/a/b?x=1", id="a relative path"),
        pytest.param(b"//other/x", "http://other/x", id="another host"),
        pytest.param(b"HTTPS://Other:8443", "https://other:8443/", id="another scheme"),
        pytest.param(b"?x=2", "http://h:81/a/?x=2", id="a query"),
        pytest.param(b"", "http://h:81/a/?q=1", id="nothing"),
        pytest.param(b"http://user:hunter2@other/", "http://other/", id="a user is dropped"),
        pytest.param(b"/a b", "http://h:81/a%20b", id="a space"),
        pytest.param("/ä".encode(), "http://h:81/%C3%A4", id="UTF-8"),
        pytest.param(b"/\xe4", "http://h:81/%C3%A4", id="Latin-1"),
        pytest.param(b"/b#fragment", "http://h:81/b", id="a fragment"),
    ],
)
def test_a_redirect_is_joined(location, whole):
    """As browsers do."""
    assert urls.joined(urls.parse("http://h:81/a/?q=1"), location).whole == whole


@pytest.mark.parametrize(
    ("location", "words"),
    [
        pytest.param(b"file:///etc/passwd", "'file'", id="a file"),
        pytest.param(b"gopher://h/", "'gopher'", id="gopher"),
        pytest.param(b"javascript:alert(1)", "'javascript'", id="a script"),
        pytest.param(b"unix:/run/docker.sock", "'unix'", id="a socket"),
        pytest.param(b"http://[::1/", "cannot be read", id="an open bracket"),
        pytest.param(b"https:///", "cannot be asked", id="no host"),
        pytest.param(b"/a\x00b", "control characters", id="NUL"),
        pytest.param(b"/a\rSet-Cookie: x", "control characters", id="CR"),
        pytest.param(b"/" + b"x" * 9000, "too long", id="too long"),
        pytest.param(b"http://h:99999/", "cannot be asked", id="a port out of range"),
    ],
)
def test_a_redirect_to_anything_else_is_refused(location, words):
    """Only http and https, and only what can be sent."""
    with pytest.raises(ValueError, match=re.escape(words)):
        urls.joined(urls.parse("http://h/"), location)


def test_the_plain_request():
    """Byte for byte."""
    assert request_of(url="http://web.example:8080/health?x=1#f") == (
        "GET /health?x=1 HTTP/1.1\r\n"
        "Host: web.example:8080\r\n"
        f"User-Agent: Watchbridge/{__version__}\r\n"
        "Accept: */*\r\n"
        "Connection: close\r\n"
        "\r\n"
    )


@pytest.mark.parametrize(
    ("keywords", "lines"),
    [
        pytest.param({"method": "HEAD"}, ["HEAD / HTTP/1.1"], id="a method"),
        pytest.param({"headers": {"Host": "other"}}, ["Host: other"], id="Host"),
        pytest.param({"headers": {"user-agent": "me"}}, ["user-agent: me"], id="a header of ours, replaced"),
        pytest.param({"headers": {"X-A": "ä"}}, ["X-A: ä"], id="a value outside ASCII"),
        pytest.param({"compression": "gzip"}, ["Accept-Encoding: gzip"], id="compression"),
        pytest.param({"compression": "identity"}, ["Accept-Encoding: identity"], id="no compression"),
        pytest.param({"basic_auth": AUTH}, ["Authorization: Basic dXNlcjpodW50ZXIy"], id="basic"),
        pytest.param({"bearer_token": Secret("t0k")}, ["Authorization: Bearer t0k"], id="bearer"),
        pytest.param({"method": "POST", "body": "ä"}, ["Content-Length: 2", "", "ä"], id="a body"),
        pytest.param({"method": "POST"}, ["Content-Length: 0"], id="a POST without a body"),
        pytest.param({"proxy": "http://proxy:3128"}, ["GET http://web.example/ HTTP/1.1"], id="through a proxy"),
        pytest.param(
            {"url": "https://web.example/", "proxy": "http://proxy:3128"}, ["GET / HTTP/1.1"], id="through a tunnel"
        ),
    ],
)
def test_what_is_sent(keywords, lines):
    """Each option has its line, and no header is there twice."""
    sent = request_of(**keywords).split("\r\n")
    assert [line for line in lines if line not in sent] == []
    names = [line.partition(":")[0].lower() for line in sent[1 : sent.index("")]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("keywords", "name"),
    [
        pytest.param({}, "web.example", id="the host"),
        pytest.param({"headers": {"host": "other.example:8443"}}, "other.example", id="the Host that is sent"),
        pytest.param({"tls": TlsOptions(server_name="third.example")}, "third.example", id="the configured name"),
        pytest.param({"url": "https://127.0.0.1/"}, "127.0.0.1", id="an address"),
    ],
)
def test_the_name_of_the_certificate(keywords, name):
    """As with blackbox_exporter: what is configured, then Host, then the host itself."""
    assert plans.of(Options(**({"url": "https://web.example/"} | keywords))).first.server_name == name


@pytest.mark.parametrize(
    ("location", "keeps"),
    [
        pytest.param(b"/b", True, id="the same host"),
        pytest.param(b"https://web.example:444/b", True, id="the same host, written out"),
        pytest.param(b"https://WEB.example:444/b", True, id="in capitals"),
        pytest.param(b"http://web.example:444/b", False, id="another scheme"),
        pytest.param(b"https://web.example/b", False, id="another port"),
        pytest.param(b"https://other.example:444/b", False, id="another host"),
        pytest.param(b"https://web.example.evil.example:444/b", False, id="a host that begins alike"),
        pytest.param(b"https://web.example:444@evil.example/b", False, id="the host as a user"),
    ],
)
def test_credentials_stay_with_their_host(location, keeps):
    """Neither a password nor any configured header but harmless ones goes elsewhere."""
    headers = {"X-Api-Key": "k3y", "Cookie": "c=hunter2", "Host": "www.example", "Accept-Language": "en"}
    options = Options(url="https://web.example:444/a", basic_auth=AUTH, headers=headers)
    sent = plans.next_hop(options, plans.of(options).first, 302, location).request.data
    secrets = (b"Authorization", b"k3y", b"hunter2")
    assert [secret in sent for secret in secrets] == [keeps] * 3
    assert b"Accept-Language: en" in sent
    assert (b"Host: www.example\r\n" in sent) is keeps


def test_credentials_do_not_come_back():
    """Whoever was asked in between may have chosen where the way leads."""
    options = Options(url="https://a.example/", bearer_token=Secret("t0k"))
    away = plans.next_hop(options, plans.of(options).first, 302, b"https://b.example/")
    back = plans.next_hop(options, away, 302, b"https://a.example/")
    assert b"t0k" not in back.request.data


@pytest.mark.parametrize(
    ("method", "code", "after"),
    [
        ("POST", 301, ("GET", None)),
        ("POST", 302, ("GET", None)),
        ("POST", 303, ("GET", None)),
        ("PUT", 303, ("GET", None)),
        ("POST", 307, ("POST", b"form")),
        ("POST", 308, ("POST", b"form")),
        ("HEAD", 303, ("HEAD", b"form")),
        ("GET", 302, ("GET", b"form")),
    ],
)
def test_methods_change_as_in_browsers(method, code, after):
    """307 and 308 keep the method and the body."""
    options = Options(url="http://a.example/", method=method, body="form", headers={"Content-Type": "text/x"})
    hop = plans.next_hop(options, plans.of(options).first, code, b"/next")
    assert (hop.method, hop.body) == after
    assert (b"Content-Type" in hop.request.data) is (after[1] is not None)


def test_a_body_goes_to_no_other_host():
    """It may hold a password."""
    options = Options(url="http://a.example/", method="POST", body="password=hunter2")
    with pytest.raises(ValueError, match="must not go"):
        plans.next_hop(options, plans.of(options).first, 307, b"http://b.example/")


def test_a_request_is_written_once():
    """The same options give the same plan; others, though equal, their own; none is kept longer than its options."""
    gc.collect()
    options, equal = Options(url=URL), Options(url=URL)
    assert plans.of(options) is plans.of(options)
    assert plans.of(options) is not plans.of(equal)
    before = len(plans._PLANS)
    del options, equal
    gc.collect()
    assert len(plans._PLANS) == before - 2


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("web.example", "http://web.example"),
        ("web.example:8080/a?b", "http://web.example:8080/a?b"),
        ("HTTPS://web.example/", "HTTPS://web.example/"),
        ("[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_target_is_aimed_at(target, url):
    """As with blackbox_exporter: without a scheme it is http; all else stays."""
    options = Options(url=URL, method="HEAD", body_size_limit=Size(5))
    aimed = http.aimed(options, target)
    assert (aimed.url, aimed.method, aimed.body_size_limit) == (url, "HEAD", 5)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "file:///etc/passwd",
        "gopher://h/",
        "user:hunter2@h",
        "http://user:hunter2@h/",
        "h\r\nX: y",
        "h:99999",
        "a b",
    ],
)
def test_what_cannot_be_aimed_at_is_refused(target):
    """With a sentence that repeats no password."""
    with pytest.raises(ValueError, match=r"URL|http") as caught:
        http.aimed(Options(url=URL), target)
    assert "hunter2" not in str(caught.value)


def test_nothing_shows_credentials():
    """Neither the target nor the repr, which may be logged."""
    options = Options(
        url="https://user:hunter2@web.example/a?token=t0k#x",
        basic_auth=AUTH,
        headers={"Authorization": "Bearer t0k"},
        body="password=hunter2",
    )
    assert http.target(options) == "https://web.example/a"
    assert "hunter2" not in repr(options) + str(options)
    assert "t0k" not in repr(options)
    assert http.target(Options(url="::")) == "no usable URL"
    assert repr(Options(url="::")) == "Options(url=<none>)"
