from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from exporter.web.services import Health


async def get(url):
    async with aiohttp.request("GET", url) as response:
        return response.status, response.headers, await response.text()


async def test_healthy_answers_as_every_prometheus_component(serve):
    (url,) = await serve()
    assert (await get(f"{url}/-/healthy"))[::2] == (200, "Watchbridge is Healthy.\n")


async def test_ready_answers_503_with_the_reason_until_it_is(serve, services):
    (url,) = await serve()
    assert (await get(f"{url}/-/ready"))[::2] == (200, "Watchbridge is Ready.\n")
    services.not_ready = "the store is being upgraded"
    assert (await get(f"{url}/-/ready"))[::2] == (503, "Watchbridge is not ready: the store is being upgraded\n")


@pytest.mark.parametrize(
    ("health", "status", "keys", "short"),
    [
        (Health("healthy"), 200, {"status", "timestamp", "version", "uptime"}, {"status": "ok"}),
        (
            Health("degraded", {"npm": "unreadable"}),
            200,
            {"status", "timestamp", "version", "uptime", "details"},
            {"status": "ok"},
        ),
        (
            Health("unhealthy", {"store": "gone"}, "the store is gone"),
            503,
            {"status", "timestamp", "version", "uptime", "details", "error"},
            {"status": "error", "error": "the store is gone"},
        ),
    ],
    ids=lambda value: value.status if isinstance(value, Health) else "",
)
async def test_the_health_documents_tell_state_and_reason(serve, services, health, status, keys, short):
    services.how = health
    services.started -= 3600
    (url,) = await serve()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/health") as response:
            body = await response.json()
            assert response.status == status
            assert response.headers["Content-Type"] == "application/json"
            assert response.headers["X-Health-Check-Version"] == "1.0"
            assert re.fullmatch(r"[0-9]+ms", response.headers["X-Response-Time"])
        async with session.get(f"{url}/healthz") as response:
            assert response.status == status
            assert await response.json() == short
            assert "X-Response-Time" in response.headers
    assert set(body) == keys
    assert body["status"] == health.status
    assert body["version"] == "1.2.3"
    assert 3600 <= body["uptime"] < 3700
    assert body.get("details", {}) == dict(health.details)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["timestamp"])
    assert abs(datetime.now(UTC) - datetime.fromisoformat(body["timestamp"])) < timedelta(seconds=10)
