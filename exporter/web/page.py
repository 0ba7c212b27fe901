"""The landing page: what runs here and where to look, as plain HTML without a script."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from exporter.web.services import Services, ServiceState, SourceState

STATIC = {"/static/watchbridge.css": "text/css"}
"""Every file that is served, by path: nothing in a request ever becomes a file name."""
_DAY = "public, max-age=86400"
_STATES = {
    True: ("good", "read"),
    False: ("bad", "could not be read"),
    None: ("new", "not read yet: the next scrape does"),
}
SERVICES = 500
"""Services in the table: a page of ten thousand rows helps nobody."""
_REASON_LIMIT = 500
"""Characters of a reason that are shown; the log has all of it."""


class Page:
    """Answers `/` and the files it needs."""

    def __init__(self, services: Services, telemetry_path: str | None) -> None:
        self._services = services
        self._telemetry_path = telemetry_path

    async def get(self, _request: web.Request) -> web.Response:
        """Answer the landing page."""
        links = ["/health", "/-/healthy", "/-/ready"]
        if self._telemetry_path is not None:
            links.insert(0, self._telemetry_path)
        body = Template(_asset("templates/page.html")).substitute(
            version=escape(self._services.version),
            links="\n".join(f'<li><a href="{escape(link)}">{escape(link)}</a></li>' for link in links),
            services=_services(list(self._services.services())),
            sources=_table(list(self._services.sources())),
        )
        return web.Response(text=body, content_type="text/html", charset="utf-8")

    async def static(self, request: web.Request) -> web.Response:
        """Answer one of the files of the manifest."""
        return web.Response(
            text=_asset(request.path.removeprefix("/")),
            content_type=STATIC[request.path],
            charset="utf-8",
            headers={"Cache-Control": _DAY},
        )


def _services(services: list[ServiceState]) -> str:
    if not services:
        return "<p>No service is configured: name some below <code>services</code> of the configuration.</p>"
    rows = "\n".join(_service(service) for service in services[:SERVICES])
    more = f"<p>And {len(services) - SERVICES} more: see the metrics.</p>" if len(services) > SERVICES else ""
    return (
        '<table>\n<thead><tr><th scope="col">Client</th><th scope="col">Service</th><th scope="col">State</th>'
        '<th scope="col">Since</th><th scope="col">Last run</th><th scope="col">Why</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>{more}"
    )


def _service(service: ServiceState) -> str:
    return (
        f"<tr><td>{escape(service.client)}</td><td>{escape(service.name)}</td>"
        f'<td class="{escape(service.state)}">{escape(service.state)}</td><td>{_time(service.since)}</td>'
        f"<td>{_time(service.ran_at)}</td><td>{escape(service.reason[:_REASON_LIMIT])}</td></tr>"
    )


def _table(sources: list[SourceState]) -> str:
    if not sources:
        return "<p>No collector is configured.</p>"
    rows = "\n".join(_row(source) for source in sources)
    return (
        '<table>\n<thead><tr><th scope="col">Collector</th><th scope="col">Source</th><th scope="col">State</th>'
        f'<th scope="col">Last read</th></tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>'
    )


def _row(source: SourceState) -> str:
    mark, word = _STATES[source.success]
    if source.reason is not None:
        word = f"{word}: {source.reason[:_REASON_LIMIT]}"
    return (
        f"<tr><td>{escape(source.collector)}</td><td>{escape(source.source)}</td>"
        f'<td class="{mark}">{escape(word)}</td><td>{_time(source.read_at)}</td></tr>'
    )


def _time(moment: float | None) -> str:
    if moment is None:
        return "never"
    read = datetime.fromtimestamp(moment, UTC)
    return f'<time datetime="{read:%Y-%m-%dT%H:%M:%SZ}">{read:%Y-%m-%d %H:%M:%S} UTC</time>'


@cache
def _asset(name: str) -> str:
    return files("exporter.web").joinpath(name).read_text(encoding="utf-8")
