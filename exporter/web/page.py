"""The landing page: what runs here and where to look, as plain HTML without a script."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Sequence

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
WORST_FIRST = ("down", "degraded", "unknown", "maintenance", "up")
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
            style=_style(),
            links="\n".join(f'<li><a href="{escape(link)}">{escape(link)}</a></li>' for link in links),
            services=_services(list(self._services.services())),
            sources=_sources(list(self._services.sources())),
            now=_time(self._services.clock.time()),
        )
        # A lone surrogate in one reason must not cost the page.
        text = body.encode(errors="replace").decode()
        return web.Response(text=text, content_type="text/html", charset="utf-8")

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
        return "<p>No service is probed here: name some below <code>services</code> of the configuration.</p>"
    places = {state: place for place, state in enumerate(WORST_FIRST)}
    # What is wrong must be seen first, and is never among those that are left out.
    ordered = sorted(services, key=lambda one: places.get(one.state, 0))
    headings = ("Client", "Service", "State", "Since", "Last run", "Next run", "Why")
    left = len(ordered) - SERVICES
    more = f"\n<p>And {left} more: <code>watchbridge services list</code> shows all.</p>" if left > 0 else ""
    return f"<p>{_counted(services)}</p>\n{_table(headings, [_service(one) for one in ordered[:SERVICES]])}{more}"


def _counted(services: list[ServiceState]) -> str:
    counts = Counter(one.state for one in services)
    parts = [
        f'<span class="{state}">{counts[state]} {"in maintenance" if state == "maintenance" else state}</span>'
        for state in WORST_FIRST
        if counts[state]
    ]
    return f"{len(services)} service{'s' if len(services) > 1 else ''}: {', '.join(parts)}"


def _service(service: ServiceState) -> tuple[tuple[str, str], ...]:
    return (
        ("name", escape(service.client)),
        ("name", escape(service.name)),
        (f"state {escape(service.state)}", escape(service.state)),
        ("", _time(service.since)),
        ("", _time(service.ran_at)),
        ("", _time(service.next_run, "not known")),
        ("", escape(service.reason[:_REASON_LIMIT])),
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Return a table of cells, each with its classes; a narrow window shows a cell's heading (`data-of`) beside it."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "\n".join(
        "<tr>" + "".join(_cell(heading, *cell) for heading, cell in zip(headings, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cell(heading: str, kind: str, text: str) -> str:
    return f'<td data-of="{heading}" class="{kind}">{text}</td>' if kind else f'<td data-of="{heading}">{text}</td>'


def _sources(sources: list[SourceState]) -> str:
    if not sources:
        return "<p>No collector is configured.</p>"
    return _table(("Collector", "Source", "State", "Last read"), [_source(source) for source in sources])


def _source(source: SourceState) -> tuple[tuple[str, str], ...]:
    mark, word = _STATES[source.success]
    if source.reason is not None:
        word = f"{word}: {source.reason[:_REASON_LIMIT]}"
    return (
        ("name", escape(source.collector)),
        ("name", escape(source.source)),
        (mark, escape(word)),
        ("", _time(source.read_at)),
    )


def _time(moment: float | None, otherwise: str = "never") -> str:
    if moment is None:
        return otherwise
    try:
        read = datetime.fromtimestamp(moment, UTC)
    except (ValueError, OverflowError, OSError):  # a clock that was set to a time that no calendar has
        return "at no time of the calendar"
    return f'<time datetime="{read:%Y-%m-%dT%H:%M:%SZ}">{read:%Y-%m-%d %H:%M:%S} UTC</time>'


@cache
def _style() -> str:
    """Return the link of the style sheet: it changes with the content, since browsers keep what they have for a day."""
    return f"/static/watchbridge.css?v={sha256(_asset('static/watchbridge.css').encode()).hexdigest()[:8]}"


@cache
def _asset(name: str) -> str:
    return files("exporter.web").joinpath(name).read_text(encoding="utf-8")
