"""An HTTP action sends one request to the place that is configured, and its answer's code is the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from actions.settings import DOCUMENT, ITEM, mistakes, options, parts
from servers.badhttp import BadHttp, answer, serving
from servers.tls import Authority, self_signed, server_context
from servers.tls import serving as talking

import exporter
from exporter import acting
from exporter.actions import http
from exporter.config.secrets import parts as parts_of
from exporter.handover import MARGIN, OUTPUT
from exporter.logs import REDACTION
from exporter.model import Done, GiveUp, Item, Outcome, Retry
from exporter.outbound import urls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CANARY = "canary-5ecret"
DEADLINE = 0.5


@pytest.fixture
async def bad() -> AsyncIterator[BadHttp]:
    """Give a server that answers well, badly or not at all, as the path asks."""
    async with serving() as server:
        yield server


async def act(url: str, *, item: Item = ITEM, timeout: float = 10.0, **keys: Any) -> Outcome:
    """Send the request that the keys configure."""
    return await http.act(options({"kind": "http", "url": url, **keys}), item, parts(), timeout)


def split(request: bytes) -> tuple[str, dict[str, str], bytes]:
    """Return request line, headers and body of a request."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    return line, dict(field.split(": ", 1) for field in fields), body


async def test_the_item_is_sent_as_json(bad: BadHttp) -> None:
    """With little else."""
    outcome = await act(bad.url("/ok?a=b"))
    assert outcome == Done(f"http://127.0.0.1:{bad.port}/… answered 200 OK", "all fine")
    line, headers, body = split(bad.requests[0])
    assert line == "POST /ok?a=b HTTP/1.1"
    assert json.loads(body) == DOCUMENT
    assert headers == {
        "Host": f"127.0.0.1:{bad.port}",
        "User-Agent": f"Watchbridge/{exporter.__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    } | ({"Connection": "close"} if "Connection" in headers else {})


async def test_json_of_the_configuration_takes_whole_values(bad: BadHttp) -> None:
    """Texts, numbers, true and false; what an alert says stays one text, whatever is in it."""
    wanted = {"user": "{key}", "level": "{severity}", "n": 1, "x": 1.5, "yes": True, "no": False, "text": "a { b }"}
    item = replace(ITEM, key='"}, {"a": 1', labels={"severity": "\ud800\n"})
    assert isinstance(await act(bad.url("/ok"), item=item, json=wanted), Done)
    body = split(bad.requests[0])[2]
    filled = {**wanted, "user": '"}, {"a": 1', "level": "\ufffd\n"}
    assert json.loads(body) == filled
    assert b'"n": 1,' in body


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_some_methods_carry_nothing(bad: BadHttp, method: str) -> None:
    """But what `json` says, for DELETE."""
    await act(bad.url("/ok"), method=method)
    line, headers, body = split(bad.requests[0])
    assert (line, body) == (f"{method} /ok HTTP/1.1", b"")
    assert "Content-Type" not in headers
    if method == "DELETE":
        await act(bad.url("/ok"), method=method, json={"id": "{id}"})
        assert split(bad.requests[1])[2] == b'{"id": "7"}'


async def test_headers_and_credentials_are_sent(bad: BadHttp) -> None:
    """A header of the configuration takes the place of ours."""
    await act(bad.url("/ok"), headers={"content-type": "text/x", "X-A": "é"}, bearer_token=CANARY)
    await act(bad.url("/ok"), basic_auth={"username": "me", "password": "pässword"})
    first, second = (split(request)[1] for request in bad.requests)
    assert first["Authorization"] == f"Bearer {CANARY}"
    assert first["content-type"] == "text/x"
    assert "Content-Type" not in first
    assert second["Authorization"] == "Basic bWU6cMOkc3N3b3Jk"


CODES = [
    *((code, Done) for code in (200, 201, 202, 204, 299)),
    *((code, GiveUp) for code in (300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 422, 501, 505)),
    *((code, Retry) for code in (408, 425, 429, 500, 502, 503, 504, 507, 599)),
]


@pytest.mark.parametrize(("code", "kind"), CODES)
async def test_the_code_is_the_outcome(bad: BadHttp, code: int, kind: type) -> None:
    outcome = await act(bad.url(f"/status/{code}"))
    assert type(outcome) is kind
    assert f"answered {code}" in outcome.detail
    assert "Whatever" not in outcome.detail


async def test_success_names_the_codes_that_mean_it_was_done(bad: BadHttp) -> None:
    """And no other does then."""
    assert isinstance(await act(bad.url("/status/409"), success=[200, 409]), Done)
    assert isinstance(await act(bad.url("/status/302"), success=[302]), Done)
    assert isinstance(await act(bad.url("/status/204"), success=[200, 409]), GiveUp)


async def test_a_redirect_is_not_followed(bad: BadHttp) -> None:
    """What we send goes to no place that nobody configured."""
    outcome = await act(bad.url("/redirect/0"), bearer_token=CANARY)
    assert isinstance(outcome, GiveUp)
    assert outcome.detail.endswith("302 Found, and redirects are not followed: configure the URL that it leads to")
    assert len(bad.requests) == 1


WAITS = [
    pytest.param("7", 7.0, id="seconds"),
    pytest.param("0", 0.0, id="at once"),
    pytest.param("86400", 3600.0, id="a day is too long"),
    pytest.param("9" * 400, 3600.0, id="absurd"),
    pytest.param(formatdate(1_000_030, usegmt=True), 30.0, id="a date"),
    pytest.param(formatdate(0, usegmt=True), 0.0, id="a date of old"),
    pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0, id="a late date"),
    pytest.param("-5", None, id="negative"),
    pytest.param("soon", None, id="words"),
    pytest.param("\u00b2", None, id="a digit of another kind"),
    pytest.param("Mon, 99 Foo 0000 99:99:99", None, id="no date"),
]


class _Clock:
    @staticmethod
    def time() -> float:
        return 1_000_000.0

    @staticmethod
    def monotonic() -> float:
        return 0.0


@pytest.mark.parametrize("code", ["429 Too Many", "503 Busy"])
@pytest.mark.parametrize(("text", "after"), WAITS)
async def test_a_server_may_ask_for_a_pause(bad: BadHttp, text: str, after: float | None, code: str) -> None:
    """Of an hour at most."""
    bad.extra["/busy"] = answer(b"", f"Retry-After: {text}", status=code)
    made = options({"kind": "http", "url": bad.url("/busy")})
    outcome = await http.act(made, ITEM, replace(parts(), clock=_Clock()), 10.0)
    assert isinstance(outcome, Retry)
    assert outcome.after == after


BROKEN = [
    pytest.param("/closed", "closed the connection without an answer", id="closed"),
    pytest.param("/reset", "broke the connection off (connection reset by peer)", id="reset"),
    pytest.param("/garbage", "answered with something that is no HTTP", id="garbage"),
    pytest.param("/ssh", "answered with something that is no HTTP", id="another protocol"),
    pytest.param("/no-status", "answered with something that is no HTTP", id="no status"),
    pytest.param("/big-head", "answered with something that is no HTTP", id="a head of 70 kB"),
    pytest.param("/two-lengths", "answered with something that is no HTTP", id="two lengths"),
    pytest.param("/endless-line", "answered with something that is no HTTP", id="an endless header"),
    pytest.param("/silent", "did not answer within 0.5 s", id="silent"),
    pytest.param("/endless-continue", "did not answer within 0.5 s", id="endless preludes"),
]


@pytest.mark.parametrize(("path", "sentence"), BROKEN)
async def test_no_answer_is_another_attempt(bad: BadHttp, path: str, sentence: str) -> None:
    """In time, in our words."""
    async with asyncio.timeout(8):
        outcome = await act(bad.url(path), timeout=DEADLINE)
    assert outcome == Retry(f"http://127.0.0.1:{bad.port}/… {sentence}")


BODIES = [
    pytest.param("/cut-body", "0123456789", id="cut"),
    pytest.param("/reset-body", None, id="reset"),
    pytest.param("/half-closed", "0123456789", id="half closed"),
    pytest.param("/drip", "all fine", id="dripping"),
    pytest.param("/trickle", None, id="trickling without end"),
    pytest.param("/not-gzip", "all fine", id="not compressed at all"),
    pytest.param("/endless-body", "x" * (OUTPUT + MARGIN), id="endless"),
    pytest.param("/endless-chunks", "x" * (OUTPUT + MARGIN), id="endless chunks"),
    pytest.param("/long", "x" * (OUTPUT + MARGIN), id="2 MiB"),
    pytest.param("/bomb", None, id="a bomb"),
]


@pytest.mark.parametrize(("path", "output"), BODIES)
async def test_a_body_cannot_undo_what_the_code_says(bad: BadHttp, path: str, output: str | None) -> None:
    """It is read up to a bound, in bytes and in time; nothing is unpacked."""
    async with asyncio.timeout(8):
        outcome = await act(bad.url(path), timeout=DEADLINE)
    assert isinstance(outcome, Done), outcome
    assert len(outcome.output) <= OUTPUT + MARGIN
    assert output is None or outcome.output == output


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    outcome = await act(f"http://127.0.0.1:{port}/hook")
    assert outcome == Retry(f"http://127.0.0.1:{port}/… could not be reached (connection refused)")


async def test_a_name_that_nobody_knows() -> None:
    outcome = await act("http://no-such-host.invalid/hook")
    assert isinstance(outcome, Retry)
    assert outcome.detail.startswith("http://no-such-host.invalid/… could not be asked: the name")


NEVER = [
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:169.254.169.254]/",
    "http://[fe80::1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://100.100.100.200/",
    "http://0.0.0.0/",
]


@pytest.mark.parametrize("url", NEVER, ids=[f"B10 {url}" for url in NEVER])
async def test_some_addresses_are_never_connected_to(url: str) -> None:
    """Whatever the configuration says: the default parts ask the guard."""
    made = options({"kind": "http", "url": url})
    outcome = await http.act(made, ITEM, acting.Parts(parts().clock), 5.0)
    assert isinstance(outcome, GiveUp)
    assert "as nothing may connect there: configure another URL" in outcome.detail


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_address_that_is_connected_to_is_the_one_that_was_judged(bad: BadHttp, host: str) -> None:
    """Each that a name leads to; without one that is permitted nothing is sent."""
    asked: list[str] = []
    made = options({"kind": "http", "url": bad.url("/ok", host)})
    refused = await http.act(made, ITEM, parts(permits=lambda address: bool(asked.append(address))), 5.0)
    assert isinstance(refused, GiveUp)
    assert "127.0.0.1" in asked
    assert bad.connections == 0
    assert isinstance(await http.act(made, ITEM, parts(permits=lambda address: address == "127.0.0.1"), 5.0), Done)


async def test_the_environment_has_no_say(bad: BadHttp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither its proxies nor its netrc file."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance(await act(bad.url("/ok")), Done)
    assert "Authorization" not in split(bad.requests[0])[1]


async def test_a_certificate_is_always_checked(tmp_path: Path) -> None:
    """Against the system's authorities, or those of `ca_file`."""
    authority = Authority()
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(authority.root.pem())
    async with serving(server_context(authority.leaf(), tmp_path)) as server:
        assert isinstance(await act(server.url("/ok"), ca_file=str(trusted)), Done)
        refused = await act(server.url("/ok"), bearer_token=CANARY)
        assert isinstance(refused, Retry)
        assert "has a certificate that is not trusted: check its name, or `ca_file`" in refused.detail
        missing = await act(server.url("/ok"), ca_file=str(tmp_path / "missing.pem"))
        assert isinstance(missing, Retry)
        assert f"ca_file '{tmp_path / 'missing.pem'}'" in missing.detail
        assert len(server.requests) == 1
    async with serving(server_context(self_signed(), tmp_path)) as server:
        assert isinstance(await act(server.url("/ok"), ca_file=str(trusted)), Retry)
        assert server.requests == []


async def test_a_server_without_tls_is_no_server_with_it() -> None:
    """The answer to our first bytes says so."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read()
        writer.close()

    async with talking(handle) as port:
        outcome = await act(f"https://127.0.0.1:{port}/ok", timeout=5)
    assert outcome == Retry(f"https://127.0.0.1:{port}/… does not speak TLS here: check the URL's scheme and port")


async def test_cancelling_closes_the_connection() -> None:
    """The server reads the end of it."""
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            taken.set()
            while await reader.read(65536):
                pass
        ended.set()
        writer.close()

    taken = asyncio.Event()
    async with talking(handle) as port, asyncio.timeout(8):
        task = asyncio.create_task(act(f"http://127.0.0.1:{port}/", timeout=60))
        await taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()


async def test_what_is_missing_sends_nothing(bad: BadHttp) -> None:
    outcome = await act(bad.url("/ok"), json={"user": "{user}"})
    assert outcome == GiveUp("there is no 'user' to put into '{user}'")
    assert bad.connections == 0


URLS = [
    pytest.param("https://chat.example/hooks/T0/xyz?token=abc", "https://chat.example/…", id="of a chat"),
    pytest.param("HTTPS://Chat.Example:8443/a", "https://chat.example:8443/…", id="capitals"),
    pytest.param("http://chat.example", "http://chat.example", id="without a path"),
    pytest.param("http://[::1]:80/x", "http://[::1]/…", id="an address"),
]


@pytest.mark.parametrize(("url", "shown"), URLS)
def test_the_plan_shows_neither_path_nor_query(url: str, shown: str) -> None:
    """Who knows the URL of a chat's web hook may post there."""
    found = http.plan(options({"kind": "http", "url": url, "json": {"text": "{key}"}}), ITEM)
    assert found.sentence == f"POST {shown} with text as JSON"
    assert found.details == {"method": "POST", "url": shown, "json": {"text": "4711"}}
    whole = http.plan(options({"kind": "http", "url": url}), ITEM)
    assert (whole.sentence, whole.details["json"]) == (f"POST {shown} with the item as JSON", DOCUMENT)
    assert http.plan(options({"kind": "http", "url": url, "method": "GET"}), ITEM).sentence == f"GET {shown}"
    assert shown in repr(urls.parse(url))
    assert "xyz" not in repr(options({"kind": "http", "url": url})) + repr(urls.parse(url))


async def test_what_a_server_sends_back_is_known_as_a_secret(bad: BadHttp, tmp_path: Path) -> None:
    """Headers, both credentials, the path and the query of the URL."""
    (tmp_path / "hook").write_text(bad.url(f"/services/{CANARY}-long-enough?sign=0123456789abcdef\n"))
    (tmp_path / "hook").chmod(0o600)
    keys = {"headers": {"X-Api-Key": "header-canary"}, "basic_auth": {"username": "me", "password": "pass-canary"}}
    made = options({"kind": "http", "url_file": "hook", **keys}, tmp_path)
    found = [*made.hidden()]
    REDACTION.learn([*found, *parts_of(made.url.reveal()), made.basic_auth.password.reveal()])
    for said in (f"no {CANARY}-long-enough", "sign=0123456789abcdef", "header-canary", "Basic bWU6cGFzcy1jYW5hcnk="):
        assert "<secret>" in REDACTION.apply(said), said
    assert "canary" not in repr(made)
    outcome = await http.act(made, ITEM, parts(), 5.0)
    assert isinstance(outcome, GiveUp)
    assert CANARY not in outcome.detail


HOOK = {"url": "https://chat.example/hook"}
WRONG = [
    pytest.param({"url": "ftp://chat.example/"}, "url: only URLs of http and https can be asked", id="scheme"),
    pytest.param({"url": "file:///etc/passwd"}, "url: only URLs of http and https can be asked", id="B10 file"),
    pytest.param({"url": "unix:/run/docker.sock"}, "url: only URLs of http and https can be asked", id="B10 unix"),
    pytest.param({"url": "chat.example/hook"}, "url: only URLs of http and https can be asked", id="no scheme"),
    pytest.param({"url": "http://me:canary@h/"}, "url: a user or a password stands in the URL: move them", id="user"),
    pytest.param({"url": "http:///hook"}, "url: the URL has no proper host and port", id="no host"),
    pytest.param({"url": "http://h:99999/"}, "url: the URL has no proper host and port", id="port"),
    pytest.param({"url": "http://h:0/"}, "url: the URL has no proper host and port", id="port 0"),
    pytest.param({"url": "http://[::1/"}, "url: the URL has no proper host and port", id="brackets"),
    pytest.param({"url": "http://[v1.x]/"}, "url: the URL's host is no IPv6 address between", id="other brackets"),
    pytest.param({"url": "http://0xa9fea9fe/"}, "url: the URL's host is neither a name nor a plain", id="B10 hex"),
    pytest.param({"url": "http://2852039166/"}, "url: the URL's host is neither a name nor a plain", id="B10 number"),
    pytest.param({"url": "http://h/\r\nX: y"}, "url: the URL holds a space, a backslash or a control", id="B10 CRLF"),
    pytest.param({"url": "http://h\\@evil/"}, "url: the URL holds a space, a backslash or a control", id="backslash"),
    pytest.param({"url": "http://h/" + "x" * 9000}, "url: the URL is empty or longer than 8192", id="long"),
    pytest.param(
        {"url": "{url}"}, "url: no alert chooses where a request goes: '{url}' would not be", id="placeholder"
    ),
    pytest.param({"url": "http://{host}/"}, "url: no alert chooses where a request goes: '{host}'", id="part of a URL"),
    pytest.param({**HOOK, "headers": {"X": "{key}"}}, "headers.X: '{key}' would not be filled in here", id="header"),
    pytest.param({**HOOK, "headers": {"A b": "x"}}, "headers.'A b': this is no header's name", id="header's name"),
    pytest.param({**HOOK, "headers": {"Host": "x"}}, "headers.Host: this header is written by the request", id="ours"),
    pytest.param({**HOOK, "headers": {"X": "a\r\nB: c"}}, "headers.X: the value holds a control character", id="CRLF"),
    pytest.param({**HOOK, "headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a: this header is given twice", id="twice"),
    pytest.param(
        {**HOOK, "headers": {"Authorization": "x"}, "bearer_token": "abcdefgh"},
        "headers.Authorization: basic_auth or bearer_token writes this header",
        id="two credentials",
    ),
    pytest.param(
        {**HOOK, "bearer_token": "abcdefgh", "basic_auth": {"username": "me", "password": "pw"}},
        "bearer_token: basic_auth and bearer_token exclude each other",
        id="two more",
    ),
    pytest.param({**HOOK, "bearer_token": "a\nb"}, "bearer_token: the token holds characters that no", id="token"),
    pytest.param(
        {**HOOK, "basic_auth": {"username": "a:b", "password": "pw"}},
        "basic_auth.username: a colon or a control character",
        id="user with a colon",
    ),
    pytest.param(
        {**HOOK, "basic_auth": {"username": "a", "password": "p\nw"}},
        "basic_auth.password: the password holds a control character",
        id="password of two lines",
    ),
    pytest.param({**HOOK, "json": {"a": "x {key}"}}, "json.a: '{key}' stands within other text", id="part of a value"),
    pytest.param({**HOOK, "json": {"{key}": "x"}}, "json.'{key}': no alert chooses a name", id="a name"),
    pytest.param({**HOOK, "json": {"a": 2**53}}, "json.a: this number is not exact for every reader", id="number"),
    pytest.param({**HOOK, "json": {}, "method": "GET"}, "json: a GET carries nothing", id="GET"),
    pytest.param({**HOOK, "success": [200, 99]}, "success[1]: 99 is no code of an answer: write 100 to 599", id="code"),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG)
def test_a_mistake_in_the_configuration_has_its_sentence(keys: dict[str, Any], sentence: str) -> None:
    [told] = mistakes({"kind": "http", **keys})
    assert told.startswith(sentence)
    assert "canary" not in told


def test_a_credential_in_a_header_is_a_warning() -> None:
    made = options({"kind": "http", **HOOK, "headers": {"authorization": "Bearer x"}})
    assert [path for path, _ in made.warnings(None)] == [("headers", "authorization")]
