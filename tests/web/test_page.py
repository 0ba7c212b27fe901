from __future__ import annotations

import re
from html.parser import HTMLParser

import aiohttp
import pytest

from exporter.web.services import SourceState

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
    assert {"/metrics", "/health", "/-/healthy", "/-/ready", "/static/watchbridge.css"} <= set(page.links)
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
    text = re.sub(r"</?time[^>]*>", "", await read_page(url))
    assert re.search(rf"<td>packages</td><td>npm</td>\s*<td class=\"\w+\">{words}</td><td>{read}</td>", text)


async def test_times_can_be_read_by_machines(serve, services):
    services.listed = (SourceState("packages", "npm", success=True, read_at=1705307400.9),)
    (url,) = await serve()
    assert '<time datetime="2024-01-15T08:30:00Z">' in await read_page(url)


async def test_the_page_says_what_this_is(serve):
    (url,) = await serve()
    assert "shows all of it to Prometheus as\nmetrics" in await read_page(url)


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


async def test_the_style_follows_the_reader_and_fetches_nothing(serve):
    (url,) = await serve()
    async with aiohttp.request("GET", f"{url}/static/watchbridge.css") as response:
        text = await response.text()
        assert response.content_type == "text/css"
        assert "max-age" in response.headers["Cache-Control"]
    assert "prefers-color-scheme: dark" in text
    assert "url(" not in text
    assert "@import" not in text
