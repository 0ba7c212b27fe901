"""From a request to bytes: negotiated, compressed, and never long on the loop."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from exporter.clock import SystemClock
from exporter.model import Family, Samples, Source
from exporter.scrape import Scrape, ScrapeOptions
from exporter.sources import families
from exporter.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = Family("watchbridge_many", "gauge", "Many.", ("number", "of"))
LONGEST_PAUSE = 0.1
"""Seconds. The aim is 20 ms and benchmarks/exposition.py measures it; here a shared machine must not fail a build."""


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry((*families(), MANY))
    yield made
    made.close()


def scrape_of(count: int) -> Scrape:
    async def read() -> Samples:
        return {MANY: {(str(n), "configured"): float(n) for n in range(count)}}

    return Scrape([Source("many", "a", read)], ScrapeOptions(), SystemClock())


@pytest.mark.parametrize("count", [10, 5000])
@pytest.mark.parametrize("compressed", [False, True])
async def test_both_forms_hold_every_series(telemetry: Telemetry, count: int, *, compressed: bool) -> None:
    """Small and large, on the loop and off it, plain and gzip: the parsers of the reference read the same."""
    scrape = scrape_of(count)
    encoding = "gzip" if compressed else None
    text = await telemetry.answer(scrape, None, 5.0, "text/plain", encoding)
    open_ = await telemetry.answer(scrape, None, 5.0, "application/openmetrics-text; version=1.0.0", encoding)
    assert text.content_encoding == open_.content_encoding == encoding
    bodies = [gzip.decompress(answer.body) if compressed else answer.body for answer in (text, open_)]
    parsers = (text_string_to_metric_families, openmetrics.text_string_to_metric_families)
    for body, parse in zip(bodies, parsers, strict=True):
        (many,) = [family for family in parse(body.decode()) if family.name == "watchbridge_many"]
        assert {sample.labels["number"]: sample.value for sample in many.samples} == {
            str(n): float(n) for n in range(count)
        }


@pytest.mark.alone
async def test_a_hundred_thousand_series_do_not_hold_the_loop(telemetry: Telemetry) -> None:
    """While they are rendered and compressed, everything else goes on."""
    samples: Samples = {MANY: {(str(n), "configured"): float(n) for n in range(100_000)}}

    async def read() -> Samples:
        return samples

    scrape = Scrape([Source("many", "a", read)], ScrapeOptions(), SystemClock())
    loop = asyncio.get_running_loop()
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        before = loop.time()
        while True:
            await asyncio.sleep(0.001)
            longest, before = max(longest, loop.time() - before), loop.time()

    ticking = asyncio.create_task(tick())
    for _ in range(3):
        answer = await telemetry.answer(scrape, None, 30.0, None, "gzip")
    ticking.cancel()
    assert gzip.decompress(answer.body).count(b"\n") > 100_000
    assert longest < LONGEST_PAUSE


async def test_a_filtered_scrape_shows_only_what_was_asked(telemetry: Telemetry) -> None:
    """And the families of other collectors are not even named."""
    scrape = scrape_of(3)
    answer = await telemetry.answer(scrape, frozenset({"packages"}), 5.0, None, None)
    assert b"watchbridge_many" not in answer.body
    whole = await telemetry.answer(scrape, None, 5.0, None, None)
    assert b"watchbridge_many" in whole.body
