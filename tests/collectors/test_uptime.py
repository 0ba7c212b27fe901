"""Uptime as Prometheus reads it: seconds by state that survive lives, and ratios of services with full series."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers.lives import Lives, registered

from exporter.collectors import uptime
from exporter.exposition import Exposition, negotiate
from exporter.scrape import Scrape, ScrapeOptions

if TYPE_CHECKING:
    from collections.abc import Callable


async def shown(lives: Lives) -> dict[str, dict[tuple[str, ...], float]]:
    """Return what a scrape of the collector shows, by name and by (target, state or window)."""
    watch = SimpleNamespace(ledger=lives.ledger)
    scrape = Scrape(uptime.sources(SimpleNamespace(watch=watch)), ScrapeOptions(), lives.clock)
    body = Exposition(uptime.FAMILIES).render(await scrape.collect(None, 5.0), negotiate(None).form).decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())[1:]] = sample.value
    return found


@pytest.fixture
async def lives(tmp_path: Any, open_store: Callable[..., Any]) -> Lives:
    """Give a service with full series and its first life."""
    store = await open_store(f"sqlite:///{tmp_path}/data/watchbridge.db")
    made = Lives(store, await registered(store, 1, full=True))
    await made.begin("first")
    return made


async def test_seconds_survive_a_kill_and_our_own_downtime_is_unknown(lives: Lives) -> None:
    """Nothing of a state falls; what nobody saw is in no ratio, and neither is planned maintenance."""
    lives.note(0, "up")
    lives.clock.pass_(60.0)
    lives.note(0, "down")
    lives.clock.pass_(20.0)
    await lives.commit()
    lives.clock.pass_(500.0)
    await lives.begin("second")
    lives.note(0, "up")
    lives.clock.pass_(10.0)
    lives.look({0})
    lives.clock.pass_(1000.0)
    lives.look(set())
    lives.note(0, "up")
    lives.clock.pass_(10.0)
    await lives.commit()
    found = await shown(lives)
    assert found["watchbridge_uptime_seconds_total"] == pytest.approx(
        {
            ("service-00000", "up"): 80.0,
            ("service-00000", "down"): 20.0,
            ("service-00000", "unknown"): 500.0,
            ("service-00000", "maintenance"): 1000.0,
        },
        abs=0.01,
    )
    assert found["watchbridge_uptime_ratio"] == pytest.approx(
        {("service-00000", window): 0.8 for window in ("1h", "24h", "7d", "30d", "90d")}, abs=1e-6
    )


async def test_what_is_not_committed_is_not_shown(lives: Lives) -> None:
    """A kill now would lose it: a counter that had shown it would fall."""
    lives.note(0, "up")
    lives.clock.pass_(60.0)
    assert not await lives.commit("before")
    found = await shown(lives)
    assert set(found["watchbridge_uptime_seconds_total"]) == {("service-00000", "unknown")}
    assert found["watchbridge_uptime_seconds_total"]["service-00000", "unknown"] == 0.0
    assert "watchbridge_uptime_ratio" not in found
    await lives.commit()
    lives.clock.pass_(60.0)
    await lives.commit()
    found = await shown(lives)
    assert found["watchbridge_uptime_seconds_total"]["service-00000", "up"] == pytest.approx(120.0, abs=0.01)
    assert found["watchbridge_uptime_ratio"]["service-00000", "1h"] == 1.0


async def test_a_window_forgets_what_is_before_it(lives: Lives) -> None:
    lives.note(0, "down")
    lives.clock.pass_(7200.0)
    lives.note(0, "up")
    lives.clock.pass_(3600.0)
    await lives.commit()
    ratios = (await shown(lives))["watchbridge_uptime_ratio"]
    assert ratios["service-00000", "1h"] == 1.0
    assert ratios["service-00000", "24h"] == pytest.approx(1 / 3)
