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
    from exporter.web.services import Services, SourceState

STATIC = {"/static/watchbridge.css": "text/css"}
"""Every file that is served, by path: nothing in a request ever becomes a file name."""
_DAY = "public, max-age=86400"
_STATES = {
    True: ("good", "read"),
    False: ("bad", "could not be read"),
    None: ("new", "not read yet: the next scrape does"),
}
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
