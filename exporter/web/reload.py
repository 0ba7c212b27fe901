"""`POST /-/reload`: read the configuration again, for those who proved who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from exporter.errors import WatchbridgeError
from exporter.web.middleware import VERIFIED, unauthorized
from exporter.web.problem import problem

if TYPE_CHECKING:
    from exporter.web.services import Services


class Reload:
    """Answers reloads. Every verified user or client certificate of the web configuration is an admin."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def post(self, request: web.Request) -> web.Response:
        """Reload; 401 to nobody in particular, 500 with every mistake when the new configuration is bad."""
        if VERIFIED not in request:
            return unauthorized(
                "A reload needs a user or a client certificate of the listener's web_config; without one, send SIGHUP."
            )
        try:
            await self._services.reload()
        except WatchbridgeError as error:
            return problem(500, f"The old configuration stays: {error}")
        return web.Response(text="The configuration was read again.\n")
