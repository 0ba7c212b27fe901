"""What Prometheus reads of services: the families of the contract, present and absent as promised."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from servers.lives import Lives, registered
from servers.watched import NOON, FakeClock, reading, service

from exporter.collectors import services, uptime
from exporter.exposition import Exposition, negotiate
from exporter.model import STATES, Component, Reload
from exporter.scheduler import Scheduler
from exporter.scrape import Scrape, ScrapeOptions
from exporter.services.standing import Counted, Standing

if TYPE_CHECKING:
    from collections.abc import Callable

Watched = namedtuple("Watched", "board ledger scheduler")  # noqa: PYI024 - what a collector reads of a watch


class Parts:
    """The parts of a configuration with services."""

    databases: dict[str, Any] = {}  # noqa: RUF012 - never changed
    reload = Reload(successful=True, success_at=1.0)

    def __init__(self, watch: Any, clock: FakeClock) -> None:
        self.watch, self.clock = watch, clock

    def options(self, _collector: str) -> dict[str, Any]:
        return {}


async def never(_service: Any) -> bool:
    return False


async def scraped(watch: Any, clock: FakeClock, form: str = "plain") -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples of a scrape by name and label values, as a Prometheus client reads them."""
    parts = Parts(watch, clock)
    sources = [*services.sources(parts), *uptime.sources(parts)]
    scrape = Scrape(sources, ScrapeOptions(), clock)
    accept = "application/openmetrics-text; version=1.0.0" if form == "openmetrics" else None
    families = (*services.FAMILIES, *uptime.FAMILIES)
    body = Exposition(families).render(await scrape.collect(None, 5.0), negotiate(accept).form).decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in (openmetrics if form == "openmetrics" else plain)(body):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
async def lives(tmp_path: Any, open_store: Callable[..., Any]) -> Lives:
    """Give two watched services, one of them with full series, in an SQLite store."""
    store = await open_store(f"sqlite:///{tmp_path}/data/watchbridge.db")
    first, second = await registered(store, 2)
    full = service(second.id, client=second.client, name='full "quoted" \\ name\n', full=True)
    made = Lives(store, [first, full])
    await made.begin("me")
    return made


def watch_of(lives: Lives) -> Any:
    scheduler = Scheduler(never, lives.clock, 10)
    return Watched(lives.board, lives.ledger, scheduler)


@pytest.mark.parametrize("form", ["plain", "openmetrics"])
async def test_from_the_first_scrape_counters_are_there_and_the_unknown_is_absent(lives: Lives, form: str) -> None:
    found = await scraped(watch_of(lives), lives.clock, form)
    client, name = lives.services[0].client, lives.services[0].name
    states = {labels: value for labels, value in found["watchbridge_service_state"].items() if name in labels}
    assert len(states) == len(STATES)
    assert len(found["watchbridge_service_state"]) == 2 * len(STATES)
    assert sum(states.values()) == 1
    assert found["watchbridge_probe_runs_total"][client, name, "success"] == 0
    assert found["watchbridge_probe_runs_total"][client, name, "failure"] == 0
    assert found["watchbridge_probe_interval_seconds"][client, name] == 60
    assert found["watchbridge_probe_skipped_total"] == {("busy",): 0, ("late",): 0}
    assert found["watchbridge_probes_running"] == {(): 0}
    assert found["watchbridge_replica_owned_services"] == {(): 2}
    assert found["watchbridge_probe_lag_seconds_count"] == {(): 0}
    assert len(found["watchbridge_probe_lag_seconds_bucket"]) == 11
    for absent in ("success", "duration_seconds", "http_status_code", "last_run_timestamp_seconds", "phase_duration"):
        assert f"watchbridge_probe_{absent}" not in found
    assert "watchbridge_uptime_ratio" not in found
    assert found["watchbridge_collector_success"] == {("services", "probes"): 1, ("uptime", "store"): 1}


@pytest.mark.parametrize("form", ["plain", "openmetrics"])
async def test_readings_runs_and_uptime_are_what_was_seen(lives: Lives, form: str) -> None:
    """Counters show what is committed; full series have phases, components and ratios, others have none."""
    watch = watch_of(lives)
    lives.clock.pass_(10.0)
    rich = reading(
        "degraded",
        status_code=301,
        tls_expiry=NOON + 1e6,
        phases={"connect": 0.5},
        components=(Component("cache \ud800", "down"), Component("db", "up")),
    )
    for place, found in ((0, rich), (1, rich)):
        one = lives.services[place]
        transition = lives.board.note(one.id, found, lives.clock.time())
        assert transition is not None
        lives.ledger.note(one, found, lives.clock.time())
        lives.ledger.transit(transition)
    first = lives.services[0]
    key = (first.client, first.name)
    before = await scraped(watch, lives.clock, form)
    assert before["watchbridge_service_state"][*key, "degraded"] == 1
    assert before["watchbridge_probe_runs_total"][*key, "success"] == 0, "not committed yet"
    lives.clock.pass_(80.0)
    for standing in await lives.ledger.commit():
        lives.board.counted(standing)
    shown = await scraped(watch, lives.clock, form)
    assert shown["watchbridge_probe_runs_total"][*key, "success"] == 1
    assert shown["watchbridge_probe_success"][key] == 1
    assert shown["watchbridge_probe_duration_seconds"][key] == 0.25
    assert shown["watchbridge_probe_http_status_code"][key] == 301
    assert shown["watchbridge_probe_last_run_timestamp_seconds"][key] == NOON + 10
    assert shown["watchbridge_probe_tls_earliest_certificate_expiry_timestamp_seconds"][key] == NOON + 1e6
    seconds = {
        labels[2]: value for labels, value in shown["watchbridge_uptime_seconds_total"].items() if key[1] in labels
    }
    assert seconds == {"unknown": 10.0, "degraded": 80.0}
    full = lives.services[1].name
    assert {labels[1] for labels in shown["watchbridge_probe_phase_duration_seconds"]} == {full}
    assert {labels[1] for labels in shown["watchbridge_uptime_ratio"]} == {full}
    assert {labels[2] for labels in shown["watchbridge_uptime_ratio"]} == {"1h", "24h", "7d", "30d", "90d"}
    assert set(shown["watchbridge_uptime_ratio"].values()) == {1.0}
    components = shown["watchbridge_service_component_state"]
    assert components[first.client, full, "db", "up"] == 1
    assert all(value in {0, 1} for value in components.values())


async def test_what_is_old_goes_and_when_it_was_seen_stays(lives: Lives) -> None:
    watch = watch_of(lives)
    lives.note(0, "up")
    lives.clock.pass_(3 * 60 + 6.0)
    lives.look(set())
    found = await scraped(watch, lives.clock)
    key = (lives.services[0].client, lives.services[0].name)
    assert "watchbridge_probe_success" not in found
    assert found["watchbridge_probe_last_run_timestamp_seconds"] == {key: NOON}
    assert found["watchbridge_service_state"][*key, "unknown"] == 1


async def test_the_histogram_is_cumulated(lives: Lives) -> None:
    watch = watch_of(lives)
    for seconds in (0.01, 0.2, 0.2, 7.0, 500.0):
        watch.scheduler.lag.observe(seconds)
    found = await scraped(watch, lives.clock)
    buckets = {labels[0]: value for labels, value in found["watchbridge_probe_lag_seconds_bucket"].items()}
    assert (buckets["0.05"], buckets["0.25"], buckets["5.0"], buckets["10.0"], buckets["60.0"], buckets["+Inf"]) == (
        1, 3, 3, 4, 4, 5,
    )  # fmt: skip
    assert found["watchbridge_probe_lag_seconds_count"] == {(): 5}
    assert found["watchbridge_probe_lag_seconds_sum"][()] == pytest.approx(507.41)


async def test_ten_thousand_services_are_read_without_a_word_too_much(lives: Lives) -> None:
    """Each has nine series until it was probed: five states, two counters, the interval, and nothing else."""
    board = type(lives.board)()
    for number in range(10_000):
        board.add(Standing(service(number + 1), since=NOON, counted=Counted()), NOON)
    found = await scraped(Watched(board, lives.ledger, Scheduler(never, lives.clock, 10)), lives.clock)
    of_services = {name: len(found[name]) for name in found if name.startswith(("watchbridge_probe_", "watchbridge_s"))}
    assert of_services["watchbridge_service_state"] == 50_000
    assert of_services["watchbridge_probe_runs_total"] == 20_000
    assert of_services["watchbridge_probe_interval_seconds"] == 10_000
    assert "watchbridge_probe_success" not in found


def test_without_a_watch_there_is_no_source() -> None:
    parts = Parts(None, FakeClock())
    assert [*services.sources(parts), *uptime.sources(parts)] == []
