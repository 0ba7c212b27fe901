from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

import aiohttp
import pytest

from exporter.exposition import Answer
from exporter.web import limits, protocol
from exporter.web.limits import BODY_LIMIT, TokenBucket
from exporter.web.web_config import Rate


def port_of(url):
    return int(url.rpartition(":")[2])


@pytest.fixture
def short(monkeypatch):
    """Shorten every bound."""
    monkeypatch.setattr(protocol, "KEEPALIVE", 0.5)
    monkeypatch.setattr(limits, "BODY_DEADLINE", 0.5)
    monkeypatch.setattr(limits, "WRITE_DEADLINE", 0.5)
    monkeypatch.setattr(limits, "SWEEP_EVERY", 0.1)
    monkeypatch.setattr(limits, "CONNECTIONS", 8)


def test_the_bounds_are_those_that_are_promised():
    assert (protocol.KEEPALIVE, limits.BODY_DEADLINE, limits.WRITE_DEADLINE, limits.CONNECTIONS) == (15, 10, 30, 512)
    assert (limits.BODY_LIMIT, limits.DELIVERY_LIMIT, limits.ROOM) == (64 * 1024, 8 * 1024**2, 64 * 1024**2)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["idle", "line", "head"]
)
async def test_who_does_not_finish_the_head_is_closed(short, serve, talk, sent):
    (url,) = await serve()
    assert await talk(url, sent) == b""


async def test_a_head_that_drips_in_is_closed_all_the_same(short, serve):
    (url,) = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
    gone = asyncio.create_task(reader.read())
    async with asyncio.timeout(5):
        while not gone.done():
            writer.write(b"a")
            await asyncio.wait([gone], timeout=0.1)
    writer.close()


async def test_a_slow_body_is_408_and_the_connection_is_closed(short, serve, talk):
    (url,) = await serve()
    answer = await talk(url, b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "head",
    [f"Content-Length: {BODY_LIMIT + 1}\r\n\r\n", f"Content-Length: {9 * 1024 * 1024}\r\n\r\n"],
    ids=["one too many", "nine MiB"],
)
async def test_a_body_that_says_it_is_too_large_is_413_before_it_is_sent(serve, talk, head):
    (url,) = await serve()
    answer = await talk(url, b"POST /-/reload HTTP/1.1\r\nHost: x\r\n" + head.encode())
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_body_in_chunks_is_413_when_it_has_grown_too_large(serve):
    async def chunks():
        for _ in range(BODY_LIMIT // 1024 + 8):
            yield b"x" * 1024

    (url,) = await serve()
    async with aiohttp.request("POST", f"{url}/-/reload", data=chunks()) as response:
        assert response.status == 413
        assert response.content_type == "application/problem+json"


async def test_a_compressed_body_is_415(serve):
    (url,) = await serve()
    async with aiohttp.request("POST", f"{url}/-/reload", data=b"x", headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 415


def slow_reader(url):
    """Return a connection with the smallest of receive buffers."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    raw.connect(("127.0.0.1", port_of(url)))
    raw.settimeout(0)
    return raw


@pytest.mark.parametrize("size", [20_000_000, 6_000_000], ids=["more than every buffer", "less"])
async def test_who_does_not_read_the_answer_is_cut(short, eventually, serve, services, size):
    services.answer = Answer(b"x" * size, "text/plain")
    (url,) = await serve()
    listener = serve.web._listeners[0]
    raw = slow_reader(url)
    await asyncio.get_running_loop().sock_sendall(raw, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: services.scrapes and not len(listener._connections))
    raw.close()


async def test_connections_beyond_the_cap_are_closed_at_once_and_room_is_made_again(
    short, eventually, serve, monkeypatch
):
    monkeypatch.setattr(protocol, "KEEPALIVE", 3.0)
    (url,) = await serve()
    listener = serve.web._listeners[0]
    held = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(8)]
    await eventually(lambda: len(listener._connections) == len(held))
    async with asyncio.timeout(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
    for _, each in held:
        each.close()
    async with asyncio.timeout(5):
        while True:
            try:
                async with aiohttp.request("GET", f"{url}/-/healthy") as response:
                    assert response.status == 200
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def test_idle_connections_do_not_slow_the_others(serve):
    (url,) = await serve()
    held = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(400)]
    async with asyncio.timeout(2), aiohttp.request("GET", f"{url}/metrics") as response:
        assert response.status == 200
    for _, writer in held:
        writer.close()


@dataclass
class FakeClock:
    now: float = 100.0

    def time(self):
        return self.now

    def monotonic(self):
        return self.now


def test_a_bucket_lets_a_burst_pass_and_then_one_each_interval():
    clock = FakeClock()
    bucket, rate = TokenBucket(clock), Rate(3, 2.0)
    assert [bucket.take(rate) for _ in range(4)] == [0, 0, 0, pytest.approx(2.0)]
    clock.now += 1.5
    assert bucket.take(rate) == pytest.approx(0.5)
    clock.now += 0.6
    assert bucket.take(rate) == 0
    clock.now += 1000
    assert [bucket.take(rate) == 0 for _ in range(4)] == [True, True, True, False]


def test_a_changed_rate_begins_with_a_full_bucket_and_none_limits_nothing():
    bucket = TokenBucket(FakeClock())
    assert [bucket.take(Rate(1, 60)) == 0 for _ in range(2)] == [True, False]
    assert bucket.take(Rate(2, 60)) == 0
    assert bucket.take(None) == 0


async def test_the_rate_limit_of_the_web_configuration_is_429_but_not_for_orchestrators(serve, tmp_path):
    path = tmp_path / "web.yml"
    path.write_text("rate_limit: {burst: 2, interval: 1m}\n")
    (url,) = await serve(web_config=path)
    async with aiohttp.ClientSession() as session:
        found = []
        for _ in range(3):
            async with session.get(f"{url}/metrics") as response:
                found.append(response.status)
        assert found == [200, 200, 429]
        assert 1 <= int(response.headers["Retry-After"]) <= 61
        for _ in range(5):
            async with session.get(f"{url}/-/healthy") as response:
                assert response.status == 200
