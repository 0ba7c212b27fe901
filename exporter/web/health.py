"""How we are: for orchestrators as Prometheus says it, and for monitors that read a health document."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from exporter.web.services import Health

if TYPE_CHECKING:
    from exporter.web.services import Services

_DEADLINE = 5.0


class HealthPages:
    """Answers the four health paths that every listener has."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def healthy(self, _request: web.Request) -> web.Response:
        """Say that this process answers."""
        return web.Response(text="Watchbridge is Healthy.\n")

    async def ready(self, _request: web.Request) -> web.Response:
        """Say that work can be done, or with 503 why it cannot."""
        reason = self._services.readiness()
        if reason is None:
            return web.Response(text="Watchbridge is Ready.\n")
        return web.Response(status=503, text=f"Watchbridge is not ready: {reason}\n")

    async def health(self, _request: web.Request) -> web.Response:
        """Answer the health document: 200 while healthy or degraded, 503 when unhealthy."""
        clock, began = self._services.clock, self._services.clock.monotonic()
        health = await self._ask()
        body: dict[str, Any] = {
            "status": health.status,
            "timestamp": _timestamp(clock.time()),
            "version": self._services.version,
            "uptime": max(0, int(clock.time() - self._services.started)),
        }
        if health.error is not None:
            body["error"] = health.error
        if health.status != "healthy":
            body["details"] = dict(health.details)
        return _document(health, body, clock.monotonic() - began)

    async def healthz(self, _request: web.Request) -> web.Response:
        """Answer `ok` or, with 503, `error` in the short form."""
        clock, began = self._services.clock, self._services.clock.monotonic()
        health = await self._ask()
        body = {"status": "ok"}
        if health.status == "unhealthy":
            body = {"status": "error", "error": health.error or "unhealthy"}
        return _document(health, body, clock.monotonic() - began)

    async def _ask(self) -> Health:
        try:
            async with asyncio.timeout(_DEADLINE):
                return await self._services.health()
        except TimeoutError:
            return Health("unhealthy", {}, f"the checks did not end within {_DEADLINE:g} s")


def _document(health: Health, body: dict[str, Any], seconds: float) -> web.Response:
    headers = {
        "Content-Type": "application/json",
        "X-Health-Check-Version": "1.0",
        "X-Response-Time": f"{max(0, round(seconds * 1000))}ms",
    }
    status = 503 if health.status == "unhealthy" else 200
    return web.Response(status=status, body=json.dumps(body).encode() + b"\n", headers=headers)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
