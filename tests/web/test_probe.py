"""`/probe` hands a request on as it is meant, and answers as `/metrics` does."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from exporter.exposition import Answer
from exporter.web.metrics import TIMEOUT_HEADER
from exporter.web.services import ProbeRefusal, ProbeRequest


class Asked:
    """The part of the services that probes: keeps what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []

    async def __call__(self, request):
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def asked(services):
    services.probe = Asked(Answer(b"probe_success 1\n", "text/plain; version=0.0.4; charset=utf-8"))
    return services.probe


async def test_a_request_is_handed_on_and_its_answer_back(serve, asked):
    """Parameters, headers and the time that the scrape leaves."""
    asked.answer = Answer(b"\x1f\x8b", "application/openmetrics-text; version=1.0.0; charset=utf-8", "gzip")
    (url,) = await serve()
    query = "module=http_2xx&target=http://web.example/?a%3Db%26c&hostname=other.example&debug=true"
    headers = {"Accept": "a/b;q=0.5", "Accept-Encoding": "gzip", TIMEOUT_HEADER: "3"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"{url}/probe?{query}", headers=headers) as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"] == asked.answer.content_type
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept, Accept-Encoding"
        assert await response.read() == b"\x1f\x8b"
    wanted = ProbeRequest(
        module="http_2xx",
        target="http://web.example/?a=b&c",
        hostname="other.example",
        debug=True,
        timeout=2.5,
        accept="a/b;q=0.5",
        accept_encoding="gzip",
    )
    assert asked.requests == [wanted]


@pytest.mark.parametrize(
    ("header", "timeout"),
    [(None, None), ("", None), ("10", 9.5), ("0.2", 0.1), ("soon", 120.0), ("1e9", 120.0), ("-1", 120.0)],
)
async def test_the_time_is_prometheus_own_less_half_a_second(serve, asked, header, timeout):
    """Where Prometheus does not say, the module's timeout alone counts; nonsense is the longest time."""
    (url,) = await serve()
    async with aiohttp.request(
        "GET", f"{url}/probe?service=web&client=a", headers={} if header is None else {TIMEOUT_HEADER: header}
    ):
        pass
    (request,) = asked.requests
    assert (request.service, request.client, request.module, request.debug) == ("web", "a", None, False)
    assert request.timeout == timeout


@pytest.mark.parametrize(("status", "again"), [(400, None), (403, None), (503, "1")])
async def test_a_refusal_is_a_problem_document(serve, asked, status, again):
    """Its sentence says what to do next; who is refused for being one too many may come again."""
    asked.answer = ProbeRefusal(status, "Do something else.")
    (url,) = await serve()
    async with aiohttp.request("GET", f"{url}/probe?target=x") as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert response.headers.get("Retry-After") == again
        assert (await response.json(content_type=None))["detail"] == "Do something else."


async def test_a_probe_that_never_ends_is_503(serve, services, monkeypatch):
    """Prometheus is told instead of kept waiting."""
    monkeypatch.setattr("exporter.web.probe._OVERTIME", 0.05)

    async def never(_):
        await asyncio.Event().wait()

    services.probe = never
    (url,) = await serve()
    async with aiohttp.request("GET", f"{url}/probe?target=x", headers={TIMEOUT_HEADER: "0.5"}) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"


async def test_head_answers_the_headers_alone(serve, asked, talk):
    (url,) = await serve()
    answer = await talk(url, b"HEAD /probe?target=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("serves", "status"), [(("metrics",), 200), (("api", "webhook", "page"), 404)])
async def test_probes_belong_to_the_word_metrics(serve, asked, serves, status):
    """A listener that shows no metrics probes nothing either."""
    (url,) = await serve(serve=serves)
    async with aiohttp.request("GET", f"{url}/probe?target=x") as response:
        assert response.status == status
    assert len(asked.requests) == (status == 200)


async def test_a_probe_is_asked_for_with_get_alone(serve, asked):
    """A page of another site cannot post one."""
    (url,) = await serve()
    async with aiohttp.request("POST", f"{url}/probe?target=x") as response:
        assert response.status == 405
    assert asked.requests == []
