"""What the webhook takes, within which bounds, and how it answers: B04, B05, B14 and F20 of the specification."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import logging
import socket
import struct

import aiohttp
import pytest

from exporter.config.options import Secret
from exporter.web import limits, protocol
from exporter.web.limits import BODY_LIMIT, DELIVERY_LIMIT
from exporter.web.listeners import Web
from exporter.web.options import ListenerOptions
from exporter.web.services import Receipt

TOKEN = "correct-horse-battery-staple"
PATH = "/api/v1/alerts"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
BODY = b'{"version": "4", "alerts": []}'


@pytest.fixture
async def url(serve, services):
    services.webhook_secret = Secret(TOKEN)
    return (await serve())[0]


@pytest.fixture
def short(monkeypatch):
    """Shorten how long a body is waited for, and how long what was refused is still read."""
    monkeypatch.setattr(limits, "BODY_DEADLINE", 0.3)
    monkeypatch.setattr(protocol, "_LINGER", 0.1)


async def post(url, data=BODY, **headers):
    given = {"Authorization": f"Bearer {TOKEN}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.request("POST", url + PATH, data=data, headers=given) as response:
        return response.status, response.headers, await response.json(content_type=None)


def address(url):
    return "127.0.0.1", int(url.rpartition(":")[2])


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


# --- answers ---


async def test_a_delivery_is_handed_on_as_it_came_and_answered_with_what_became_of_it(url, services):
    services.receipt = Receipt(accepted=5, duplicates=4, late=3, quarantined=2, refused=1, truncated=6)
    status, headers, body = await post(url)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert body == {
        "status": "success",
        "accepted": 5,
        "duplicates": 4,
        "late": 3,
        "quarantined": 2,
        "refused": 1,
        "truncated": 6,
    }
    assert services.received == [(BODY, "token")]
    assert services.delivered == [200]


@pytest.mark.parametrize(
    ("problem", "retry_after", "header"),
    [
        ((400, "invalid_json", "line 1: no JSON"), 1.0, None),
        ((413, "too_many_alerts", "it holds 10,001 alerts"), 1.0, None),
        ((503, "store_full", "the disk is full"), 0.0, "1"),
        ((503, "busy", "too much is waiting"), 4.2, "5"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
async def test_what_cannot_be_taken_is_a_problem_with_its_word(url, services, problem, retry_after, header):
    services.receipt = Receipt(problem=problem, retry_after=retry_after)
    status, headers, body = await post(url)
    assert (status, body["code"], body["detail"]) == problem
    assert body["status"] == status
    assert headers["Content-Type"] == "application/problem+json"
    assert headers.get("Retry-After") == header
    assert services.delivered == [status]


async def test_what_nobody_expected_is_500_and_told_once(url, services, caplog):
    services.error = RuntimeError("password=hunter2")
    status, _, body = await post(url)
    assert (status, services.delivered) == (500, [500])
    assert "hunter2" not in str(body)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_only_post_is_taken_and_only_post_is_counted(url, services, method):
    async with aiohttp.request(method, url + PATH, headers={"X-HTTP-Method-Override": "POST"}) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert (services.received, services.delivered) == ([], [])


async def test_where_it_is_not_served_it_does_not_exist(serve, services):
    services.webhook_secret = Secret(TOKEN)
    (url,) = await serve(serve=("metrics", "api", "page"))
    assert (await post(url))[0] == 404
    assert (services.received, services.delivered) == ([], [])


# --- bounds: B04, B05 ---


@pytest.mark.parametrize("kind", ["Content-Length", "chunked"])
async def test_b04_eight_mebibytes_are_taken(url, services, kind):
    async def pieces():
        for _ in range(DELIVERY_LIMIT // 65536):
            yield b"x" * 65536

    assert (await post(url, pieces() if kind == "chunked" else io.BytesIO(b"x" * DELIVERY_LIMIT)))[0] == 200
    assert [len(body) for body, _ in services.received] == [DELIVERY_LIMIT]


async def test_b04_one_byte_more_is_413_before_any_of_it_is_sent(short, url, services, talk):
    answer = await talk(url, HEAD + f"Content-Length: {DELIVERY_LIMIT + 1}\r\n\r\n".encode())
    assert status_of(answer) == 413
    assert b"body_too_large" in answer
    assert (services.received, services.delivered) == ([], [413])


async def test_b04_chunks_are_413_as_soon_as_they_are_too_many(url, services):
    """It is answered while the client would go on for ever."""
    reader, writer = await asyncio.open_connection(*address(url))
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sent = 0
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof() and sent < 4 * DELIVERY_LIMIT and not reader._buffer:
            writer.write(chunk)
            sent += len(chunk)
            await writer.drain()
            await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert status_of(await reader.readline()) == 413
    writer.close()
    assert sent < 2 * DELIVERY_LIMIT
    assert (services.received, services.delivered) == ([], [413])


async def test_b04_chunks_of_one_byte_are_a_body_like_any_other(url, services, talk):
    body = BODY * 100
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    answer = await talk(url, HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert status_of(answer) == 200
    assert services.received == [(body, "token")]


@pytest.mark.parametrize("drips", [False, True], ids=["stalls", "drips"])
async def test_b04_a_slow_body_is_408(short, url, services, drips):
    reader, writer = await asyncio.open_connection(*address(url))
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    answered = asyncio.create_task(reader.readline())
    async with asyncio.timeout(5):
        while not answered.done():
            if drips:
                writer.write(b"x")
            await asyncio.wait([answered], timeout=0.02)
    writer.close()
    assert status_of(answered.result()) == 408
    assert (services.received, services.delivered) == ([], [408])


async def test_the_rest_of_the_listener_takes_no_more_than_before(short, url, talk):
    answer = await talk(url, f"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_LIMIT + 1}\r\n\r\n".encode())
    assert status_of(answer) == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-gzip", "GZIP", "gzip, gzip"])
async def test_b05_a_compressed_body_is_415(url, services, encoding):
    bomb = gzip.compress(bytes(DELIVERY_LIMIT))
    assert (await post(url, bomb, Content_Encoding=encoding))[0] == 415
    assert (services.received, services.delivered) == ([], [415])


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('application/json; charset="UTF-8"', 200),
        ("application/x-www-form-urlencoded", 200),
        ("multipart/form-data; boundary=x", 200),
        ("nonsense", 200),
        ("", 200),
        ("application/json; charset=", 200),
        ("application/json; charset=iso-8859-1", 415),
        ("application/json; charset=utf-16", 415),
        ("application/json; charset=utf-7", 415),
        ("application/json; charset=no-such-charset", 415),
    ],
)
async def test_b01_any_type_of_content_is_taken_and_only_utf_8(url, services, kind, status):
    """A person's `curl -d` says that it sends a form."""
    assert (await post(url, Content_Type=kind))[0] == status
    assert services.delivered == [status]
    assert len(services.received) == (status == 200)


@pytest.mark.parametrize(
    ("expects", "length", "goes_on", "status"),
    [
        ("100-continue", len(BODY), True, 200),
        ("100-Continue", len(BODY), True, 200),
        ("100-continue", DELIVERY_LIMIT + 1, False, 413),
        ("miracles", len(BODY), False, 200),
    ],
)
async def test_who_asks_before_sending_is_told_whether_to(url, services, expects, length, goes_on, status):
    reader, writer = await asyncio.open_connection(*address(url))
    writer.write(HEAD + f"Expect: {expects}\r\nContent-Length: {length}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        if goes_on:
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        if length == len(BODY):
            writer.write(BODY)
        assert status_of(await reader.readline()) == status
    writer.close()
    assert services.delivered == [status]


class TestRoom:
    """What is in memory at once is bounded in bytes, and given back however a delivery ends."""

    @pytest.mark.parametrize("kind", ["Content-Length", "chunked"])
    async def test_beyond_it_is_503_and_then_there_is_room_again(self, url, serve, services, eventually, kind):
        async def pieces(size):
            yield b"x" * size

        def body(size):
            return pieces(size) if kind == "chunked" else b"x" * size

        bodies, services.wait = serve.web._bodies, asyncio.Event()
        bodies._free = 2500
        async with asyncio.timeout(10):
            held = [asyncio.create_task(post(url, body(1000))) for _ in range(2)]
            await eventually(lambda: len(services.received) == 2)
            status, headers, told = await post(url, body(1000))
            assert (status, headers["Retry-After"], told["code"]) == (503, "1", "busy")
            small = asyncio.create_task(post(url, body(400)))
            await eventually(lambda: len(services.received) == 3)
            services.wait.set()
            assert [(await task)[0] for task in (*held, small)] == [200, 200, 200]
            assert (await post(url, body(2000)))[0] == 200
        assert bodies._free == 2500
        assert sorted(services.delivered) == [200, 200, 200, 200, 503]

    async def test_it_is_given_back_whatever_happens(self, short, url, serve, services, talk, eventually):
        bodies = serve.web._bodies
        whole = bodies._free
        await talk(url, HEAD + b"Content-Length: 5000\r\n\r\nstalls")
        await talk(url, HEAD + b"Content-Length: 5000\r\n\r\nleaves", end=True)
        await talk(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n")
        services.error = RuntimeError
        assert (await post(url))[0] == 500
        await eventually(lambda: bodies._free == whole)


# --- oddities of HTTP on this route: B14 ---

CHUNKED = b"Transfer-Encoding: chunked\r\n"
ODD = {
    "CL and TE": (HEAD + CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n", 400),
    "two CL": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a negative CL": (HEAD + b"Content-Length: -1\r\n\r\n", 400),
    "a CL of words": (HEAD + b"Content-Length: many\r\n\r\n", 400),
    "two hosts": (HEAD + b"Host: y\r\nContent-Length: 0\r\n\r\n", 400),
    "an unknown TE": (HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc", 400),
    "a bad chunk": (HEAD + CHUNKED + b"\r\nzz\r\n", 400),
    "a bad second chunk": (HEAD + CHUNKED + b"\r\n3\r\nabc\r\n-1\r\n", 400),
    "an endless chunk size": (HEAD + CHUNKED + b"\r\n" + b"f" * 40 + b"\r\n", 400),
    "a chunk that is longer than it says": (HEAD + CHUNKED + b"\r\n3\r\nabcdef\r\n0\r\n\r\n", 400),
    "a NUL in a header": (HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n", 400),
    "a long header": (HEAD + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "a slash too many": (HEAD.replace(b"/api", b"//api") + b"Content-Length: 0\r\n\r\n", 404),
    "a slash at the end": (HEAD.replace(b"alerts", b"alerts/") + b"Content-Length: 0\r\n\r\n", 404),
    "an encoded slash": (HEAD.replace(b"v1/", b"v1%2f") + b"Content-Length: 0\r\n\r\n", 404),
    "a NUL in the path": (HEAD.replace(b"alerts", b"alerts%00") + b"Content-Length: 0\r\n\r\n", 404),
    "steps up": (HEAD.replace(b"/api", b"/-/../api") + b"Content-Length: 0\r\n\r\n", 404),
}


@pytest.mark.parametrize(("data", "status"), ODD.values(), ids=ODD.keys())
async def test_b14_odd_requests_deliver_nothing(url, services, talk, data, status):
    answer = await talk(url, data.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n", 1))
    assert status_of(answer) in ({400, 431} if status == 431 else {status})
    assert b"application/problem+json" in answer
    assert b"Traceback" not in answer
    assert services.received == []
    assert (await post(url))[0] == 200


@pytest.mark.parametrize(
    "line", [b"POST /api/v1/%61lerts", b"POST http://elsewhere.example/api/v1/alerts", b"POST /api/v1/alerts?a=b"]
)
async def test_b14_another_spelling_of_the_path_asks_for_the_same_credential(url, services, talk, line):
    rest = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
    assert status_of(await talk(url, line + rest + b"\r\n")) == 401
    assert services.received == []
    await talk(url, line + rest + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert (len(services.received), services.delivered) == (1, [401, 200])


async def test_b14_a_hundred_pipelined_deliveries_are_each_answered(url, services, talk):
    one = HEAD + f"Content-Length: {len(BODY)}\r\n".encode()
    answer = await talk(url, (one + b"\r\n" + BODY) * 99 + one + b"Connection: close\r\n\r\n" + BODY)
    assert answer.count(b"HTTP/1.1 200 OK") == 100
    assert (len(services.received), services.delivered) == (100, [200] * 100)


# --- clients that go, and our own end: F16, F20 ---

WAYS = ("FIN", "RST", "stall")
CUT = json.dumps({"version": "4", "alerts": [{"labels": {"alertname": "x" * 1960}}]}).encode()


def _cut(where, cuts):
    """Send a body up to each offset, end each as is said, and return what was answered."""
    opened = []
    for offset, how in cuts:
        one = socket.create_connection(where, 10)
        one.sendall(HEAD + f"Content-Length: {len(CUT)}\r\n\r\n".encode() + CUT[:offset])
        if how == "FIN":
            one.shutdown(socket.SHUT_WR)
        elif how == "RST":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        opened.append(one)
    return [_rest(one) for one in opened]


def _rest(connection):
    if connection.fileno() < 0:
        return b""
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


async def test_f20_a_body_cut_at_any_byte_delivers_nothing(short, url, services):
    """The connection is closed, or a stalled one told so; it never passes for a whole delivery."""
    cuts = [(offset, WAYS[offset % 3]) for offset in range(len(CUT))]
    answers = []
    for start in range(0, len(cuts), 400):
        answers += await asyncio.to_thread(_cut, address(url), cuts[start : start + 400])
    assert len(answers) == len(CUT) > 2000
    found = {how: {status_of(answer) for answer in answers[n::3]} for n, how in enumerate(WAYS)}
    assert found == {"FIN": {None}, "RST": {None}, "stall": {408}}
    assert services.received == []
    # On a busy machine one that is about to leave may be told so before it does.
    assert set(services.delivered) == {408}
    assert len(services.delivered) >= len(answers[2::3])
    assert (await post(url))[0] == 200


async def test_what_was_handed_on_is_done_when_the_client_leaves_and_is_counted_once(url, services, eventually):
    services.wait = asyncio.Event()
    _, writer = await asyncio.open_connection(*address(url))
    writer.write(HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    await eventually(lambda: services.received)
    writer.transport.abort()
    await asyncio.sleep(0)
    assert services.delivered == []
    services.wait.set()
    await eventually(lambda: services.delivered)
    assert (await post(url))[0] == 200
    assert services.delivered == [200, 200]


async def test_f16_once_we_end_nothing_new_is_taken(url, services):
    services.stopping = True
    status, headers, body = await post(url)
    assert (status, headers["Retry-After"], body["code"]) == (503, "1", "shutting_down")
    assert (services.received, services.delivered) == ([], [503])


async def test_f16_ending_answers_what_was_handed_on_and_refuses_what_is_not_whole(services, eventually):
    """A body that is on its way would never be read to its end: aiohttp takes no more bytes once it stops."""
    services.webhook_secret, services.wait = Secret(TOKEN), asyncio.Event()
    web = Web([ListenerOptions(address="127.0.0.1:0")], services)
    await web.start()
    (url,) = web.addresses
    head = HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode()
    whole, whole_writer = await asyncio.open_connection(*address(url))
    whole_writer.write(head + BODY)
    await eventually(lambda: services.received)
    partial, partial_writer = await asyncio.open_connection(*address(url))
    partial_writer.write(head + BODY[:5])
    await eventually(lambda: web._bodies._deadlines)
    async with asyncio.timeout(10):
        stopping = asyncio.create_task(web.stop(5))
        assert status_of(await partial.read()) == 503
        assert not stopping.done()
        services.wait.set()
        assert status_of(await whole.read()) == 200
        await stopping
    for writer in (whole_writer, partial_writer):
        writer.close()
    assert (len(services.received), services.delivered) == (1, [503, 200])
