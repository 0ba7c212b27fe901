from __future__ import annotations

import asyncio

import aiohttp
import pytest

from exporter.errors import UnknownCollectorError
from exporter.exposition import Answer
from exporter.web.metrics import IN_FLIGHT, TIMEOUT_HEADER, scrape_timeout


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 10.0),
        ("", 10.0),
        ("soon", 10.0),
        ("nan", 10.0),
        ("inf", 10.0),
        ("-inf", 10.0),
        ("-3", 10.0),
        ("0", 10.0),
        ("10", 9.5),
        ("0.55", 0.1),
        ("0.2", 0.1),
        ("1e9", 120.0),
        ("1e999", 10.0),
    ],
)
def test_the_deadline_is_prometheus_own_less_half_a_second(header, seconds):
    assert scrape_timeout(header) == pytest.approx(seconds)


async def test_a_scrape_hands_the_headers_on_and_the_answer_back(serve, services):
    services.answer = Answer(b"\x1f\x8b", "application/openmetrics-text; version=1.0.0; charset=utf-8", "gzip")
    (url,) = await serve()
    headers = {"Accept": "a/b;q=0.5", "Accept-Encoding": "gzip", TIMEOUT_HEADER: "3"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"{url}/metrics?collect[]=packages&collect[]=process", headers=headers) as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"] == services.answer.content_type
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept, Accept-Encoding"
        assert await response.read() == b"\x1f\x8b"
    assert services.scrapes == [(frozenset({"packages", "process"}), 2.5, "a/b;q=0.5", "gzip")]


async def test_head_answers_the_headers_alone(serve, talk):
    (url,) = await serve()
    answer = await talk(url, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Length: 5" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_an_unknown_collector_is_400_and_names_the_known(serve, services):
    services.error = UnknownCollectorError(word="pakages", known="packages, process")
    (url,) = await serve()
    async with aiohttp.request("GET", f"{url}/metrics?collect[]=pakages") as response:
        assert response.status == 400
        assert response.content_type == "application/problem+json"
        assert "packages, process" in (await response.json(content_type=None))["detail"]


async def test_a_scrape_that_overruns_its_deadline_is_503_in_time(serve, services):
    services.wait = asyncio.Event()
    (url,) = await serve()
    async with asyncio.timeout(3), aiohttp.request("GET", f"{url}/metrics", headers={TIMEOUT_HEADER: "1"}) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"


async def test_scrapes_beyond_the_cap_are_503_and_the_others_are_answered(serve, services, eventually):
    services.wait = asyncio.Event()
    (url,) = await serve()

    async def scrape(session):
        async with session.get(f"{url}/metrics") as response:
            return response.status, response.headers.get("Retry-After")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.timeout(10):
        running = [asyncio.create_task(scrape(session)) for _ in range(IN_FLIGHT)]
        await eventually(lambda: len(services.scrapes) == IN_FLIGHT)
        assert await scrape(session) == (503, "1")
        services.wait.set()
        assert set(await asyncio.gather(*running)) == {(200, None)}
        assert await scrape(session) == (200, None)


async def test_the_path_of_the_metrics_can_be_another(serve):
    (url,) = await serve(telemetry_path="/prometheus")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/prometheus") as response:
            assert response.status == 200
        async with session.get(f"{url}/metrics") as response:
            assert response.status == 404
        async with session.get(f"{url}/") as response:
            assert '<a href="/prometheus">' in await response.text()
