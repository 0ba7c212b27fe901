"""Circuits as Prometheus reads them: one state of each, of services that can be restarted and of their groups."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers.watched import NOON, FakeClock

from exporter import config
from exporter.circuit import CLOSED, Circuit, Key
from exporter.collectors import circuits
from exporter.exposition import Exposition, negotiate
from exporter.scrape import Scrape, ScrapeOptions

PROBE: Final = {"kind": "tcp", "address": "127.0.0.1:1"}
COMMAND: Final = {"kind": "command", "argv": ["/bin/true"]}
SERVICES: Final = {
    "web": {"probe": PROBE, "restart": COMMAND, "group": "front"},
    "api": {"probe": PROBE, "restart": COMMAND, "group": "front", "client": "acme"},
    "lone": {"probe": PROBE, "restart": COMMAND},
    "watched": {"probe": PROBE, "group": "back"},
}
Shown = dict[str, dict[tuple[str, ...], float]]


class Bridge:
    """What a scrape asks of the bridge."""

    def __init__(self, known: dict[Key, Circuit]) -> None:
        self.configuration = config.parse(json.dumps({"services": SERVICES}), name="c.yml", environ={})
        self.known = known

    async def circuits(self) -> tuple[dict[Key, Circuit], float]:
        return self.known, NOON


async def shown(known: dict[Key, Circuit], owns: Any = None) -> Shown:
    """Return what a scrape shows, by name and by (circuit, group) with the state where there is one."""
    watch = None if owns is None else SimpleNamespace(owns=owns)
    parts: Any = SimpleNamespace(bridge=Bridge(known), watch=watch)
    scrape = Scrape(circuits.sources(parts), ScrapeOptions(), FakeClock())
    body = Exposition(circuits.FAMILIES).render(await scrape.collect(None, 5.0), negotiate(None).form).decode()
    found: Shown = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            labels = [sample.labels[name] for name in ("circuit", "group", "state") if name in sample.labels]
            found.setdefault(sample.name, {})[tuple(labels)] = sample.value
    return found


def states(found: Shown) -> dict[tuple[str, ...], str]:
    """Return the one state of each circuit."""
    samples = found["watchbridge_circuit_state"]
    assert set(samples.values()) <= {0.0, 1.0}
    assert len(samples) == 3 * sum(samples.values())
    return {labels[:2]: labels[2] for labels, value in samples.items() if value == 1.0}


async def test_every_circuit_that_there_is_has_one_state() -> None:
    """Also one that never stepped, which is closed; what cannot be restarted has none."""
    expected = {("web", "front"): "closed", ("api", "front"): "closed", ("lone", ""): "closed", ("", "front"): "closed"}
    found = await shown({})
    assert states(found) == expected
    assert set(found["watchbridge_circuit_failures"].items()) == {(labels, 0.0) for labels in expected}
    assert set(found["watchbridge_circuit_opened_total"].items()) == {(labels, 0.0) for labels in expected}
    assert "watchbridge_circuit_retry_timestamp_seconds" not in found


async def test_what_is_stored_is_shown() -> None:
    """By the clock by which circuits run; those of nobody are left out."""
    found = await shown(
        {
            Key("service", "web"): Circuit(3, 2, NOON - 100, NOON + 200),
            Key("group", "front"): Circuit(5, 1, NOON - 400, NOON - 100, 7),
            Key("service", "api"): Circuit(2, 4),
            Key("service", "lone"): CLOSED,
            Key("service", "front"): Circuit(9, 9, NOON, NOON + 9),
            Key("service", "gone"): Circuit(9, 9, NOON, NOON + 9),
            Key("group", "back"): Circuit(9, 9, NOON, NOON + 9),
        }
    )
    assert states(found) == {
        ("web", "front"): "open",
        ("api", "front"): "closed",
        ("lone", ""): "closed",
        ("", "front"): "half_open",
    }
    failures = {("web", "front"): 3.0, ("api", "front"): 2.0, ("lone", ""): 0.0, ("", "front"): 5.0}
    assert found["watchbridge_circuit_failures"] == failures
    opened = {("web", "front"): 2.0, ("api", "front"): 4.0, ("lone", ""): 0.0, ("", "front"): 1.0}
    assert found["watchbridge_circuit_opened_total"] == opened
    retries = {("web", "front"): NOON + 200, ("", "front"): NOON - 100}
    assert found["watchbridge_circuit_retry_timestamp_seconds"] == retries


@pytest.mark.parametrize("owned", [{"default/web"}, {"acme/api", "group/front"}, set()])
async def test_of_several_replicas_each_shows_its_own(owned: set[str]) -> None:
    """So that no circuit is shown twice, or by nobody."""
    found = await shown({}, owned.__contains__)
    labels = {"default/web": ("web", "front"), "acme/api": ("api", "front"), "group/front": ("", "front")}
    assert {one[:2] for one in found.get("watchbridge_circuit_state", {})} == {labels[one] for one in owned}


def test_without_a_bridge_there_are_none() -> None:
    assert list(circuits.sources(SimpleNamespace(bridge=None, watch=None))) == []  # type: ignore[arg-type]
