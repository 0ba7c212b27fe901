from __future__ import annotations

import re
from html.parser import HTMLParser

import aiohttp
import pytest

from exporter.web.page import SERVICES
from exporter.web.services import ServiceState, SourceState

_VOID = {"meta", "link"}


class Strict(HTMLParser):
    """Fails on elements that are not closed in order."""

    def __init__(self):
        super().__init__()
        self.stack, self.links, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in _VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


async def read_page(url):
    async with aiohttp.request("GET", url) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        return await response.text()


def rows(text):
    """Return the cells of each row of the page's tables, as people read them."""
    found = re.findall(r"<tr>(<td.*?)</tr>", text)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in found]


async def test_the_page_is_whole_html_and_every_link_of_it_is_answered(serve):
    (url,) = await serve()
    text = await read_page(url)
    page = Strict()
    page.feed(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.stack == []
    assert {"title", "h1", "table"} <= page.tags
    assert "script" not in page.tags
    assert "1.2.3" in text
    assert {"/metrics", "/health", "/-/healthy", "/-/ready"} <= set(page.links)
    # A browser keeps the style for a day, and must not keep that of another version.
    assert any(re.fullmatch(r"/static/watchbridge\.css\?v=[0-9a-f]{8}", link) for link in page.links)
    async with aiohttp.ClientSession() as session:
        for link in page.links:
            if link != "data:,":
                async with session.get(url + link) as response:
                    assert response.status == 200


@pytest.mark.parametrize(
    ("state", "words", "read"),
    [
        pytest.param({"success": True, "read_at": 1705307400.9}, "read", "2024-01-15 08:30:00 UTC", id="read"),
        pytest.param(
            {"success": False, "read_at": 0.0, "reason": "it is down: look"},
            "could not be read: it is down: look",
            "1970-01-01 00:00:00 UTC",
            id="was read before",
        ),
        pytest.param({"success": False, "reason": "gone"}, "could not be read: gone", "never", id="never read"),
        pytest.param({}, "not read yet: the next scrape does", "never", id="new"),
        pytest.param(
            {"read_at": 0.0},
            "not read yet: the next scrape does",
            "1970-01-01 00:00:00 UTC",
            id="read before the start",
        ),
    ],
)
async def test_the_page_tells_how_each_source_is_and_when_it_was_read(serve, services, state, words, read):
    services.listed = (SourceState("packages", "npm", **state),)
    (url,) = await serve()
    assert rows(await read_page(url)) == [["packages", "npm", words, read]]


async def test_times_can_be_read_by_machines(serve, services):
    services.listed = (SourceState("packages", "npm", success=True, read_at=1705307400.9),)
    (url,) = await serve()
    assert '<time datetime="2024-01-15T08:30:00Z">' in await read_page(url)


async def test_the_page_says_what_this_is(serve):
    (url,) = await serve()
    text = await read_page(url)
    assert "shows all of it to Prometheus as\nmetrics" in text
    assert re.search(r'how things were at <time datetime="20\d\d-[-\dT:]+Z">', text)


async def test_a_reason_is_text_and_bounded(serve, services):
    services.listed = (SourceState("packages", "npm", success=False, reason="<b>" + "x" * 10_000),)
    (url,) = await serve()
    text = await read_page(url)
    assert "&lt;b&gt;xxx" in text
    assert "<b>" not in text
    assert len(text) < 4000


async def test_names_of_sources_are_text_and_never_markup(serve, services):
    services.listed = (SourceState("packages", "<script>alert(1)</script>\"'&${version}"),)
    (url,) = await serve()
    text = await read_page(url)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;${version}" in text


async def test_without_sources_the_page_says_so(serve, services):
    services.listed = ()
    (url,) = await serve()
    assert "No collector is configured." in await read_page(url)


async def test_the_page_tells_when_a_service_was_probed_and_will_be(serve, services):
    services.watched = (ServiceState("acme", "web", "up", 1705307400.0, "fine", 1705307430.0, 1705307460.0),)
    (url,) = await serve()
    assert rows(await read_page(url))[0][4:6] == ["2024-01-15 08:30:30 UTC", "2024-01-15 08:31:00 UTC"]


async def test_what_is_wrong_with_services_stands_first(serve, services):
    states = ("up", "maintenance", "unknown", "degraded", "down", "up")
    services.listed = ()
    services.watched = tuple(
        ServiceState("acme", f"{state}-{n}", state, 1705307400.0, f"it is {state}") for n, state in enumerate(states)
    )
    (url,) = await serve()
    text = await read_page(url)
    summary = "6 services: 1 down, 1 degraded, 1 unknown, 1 in maintenance, 2 up"
    assert summary in re.sub(r"</?span[^>]*>", "", text)
    assert [row[1] for row in rows(text)] == ["down-4", "degraded-3", "unknown-2", "maintenance-1", "up-0", "up-5"]
    assert rows(text)[0] == ["acme", "down-4", "down", "2024-01-15 08:30:00 UTC", "never", "not known", "it is down"]


async def test_of_very_many_services_the_worst_are_shown_and_the_rest_are_counted(serve, services):
    services.listed = ()
    services.watched = tuple(
        ServiceState("acme", f"s{n}", "down" if n == SERVICES + 6 else "up", 0.0, "") for n in range(SERVICES + 7)
    )
    (url,) = await serve()
    text = await read_page(url)
    assert len(rows(text)) == SERVICES
    assert rows(text)[0][1] == f"s{SERVICES + 6}"
    assert "And 7 more: <code>watchbridge services list</code> shows all." in text


async def test_without_services_the_page_says_what_to_do(serve, services):
    services.watched = ()
    (url,) = await serve()
    assert "No service is probed here: name some below" in await read_page(url)


async def test_every_cell_names_its_heading_for_windows_too_narrow_for_columns(serve, services):
    services.listed = ()
    services.watched = (ServiceState("acme", "web", "up", 0.0, ""),)
    (url,) = await serve()
    headings = re.findall(r'<td data-of="([^"]+)"', await read_page(url))
    assert headings == ["Client", "Service", "State", "Since", "Last run", "Next run", "Why"]
    async with aiohttp.request("GET", f"{url}/static/watchbridge.css") as response:
        assert "content: attr(data-of)" in await response.text()


async def test_the_style_follows_the_reader_and_fetches_nothing(serve):
    (url,) = await serve()
    async with aiohttp.request("GET", f"{url}/static/watchbridge.css") as response:
        text = await response.text()
        assert response.content_type == "text/css"
        assert "max-age" in response.headers["Cache-Control"]
    assert "prefers-color-scheme: dark" in text
    assert "url(" not in text
    assert "@import" not in text


async def test_every_state_has_a_style_of_its_own(serve):
    (url,) = await serve()
    async with aiohttp.request("GET", f"{url}/static/watchbridge.css") as response:
        text = await response.text()
    for state in ("up", "degraded", "down", "maintenance", "unknown"):
        assert re.search(rf"\.{state}\b", text), state


async def test_names_and_reasons_of_services_are_text_and_never_markup(serve, services):
    evil = "<script>alert(1)</script>\"'&${version}"
    services.watched = (ServiceState(evil, evil, "down", 0.0, evil + "x" * 10_000, 0.0),)
    (url,) = await serve()
    text = await read_page(url)
    page = Strict()
    page.feed(text)
    assert page.stack == []
    assert "script" not in page.tags
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;${version}") == 3
    assert len(text) < 5000


async def test_names_that_cannot_be_encoded_do_not_break_the_page(serve, services):
    services.watched = (ServiceState("acme", "lone \ud800", "up", 0.0, "says \udfff", 0.0),)
    (url,) = await serve()
    assert "lone" in await read_page(url)


async def test_times_that_no_calendar_has_do_not_break_the_page(serve, services):
    services.watched = (ServiceState("acme", "web", "up", 1e18, "fine", float("inf")),)
    (url,) = await serve()
    assert "fine" in await read_page(url)
