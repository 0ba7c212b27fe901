"""prometheus_client's own HTTP server over a custom collector with the data of `server_collector.py`.

BENCHMARK_SERIES=1000 python benchmarks/server_peer.py PORT
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from server_collector import turns

if TYPE_CHECKING:
    from collections.abc import Iterator


class Peer(Collector):
    """The samples as families of prometheus_client, made as its documentation shows."""

    def __init__(self) -> None:
        self.turns = turns()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families of one scrape."""
        for family, series in next(self.turns).items():
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for labels, value in series.items():
                metric.add_metric(labels, value)
            yield metric


registry = CollectorRegistry()
registry.register(Peer())
start_http_server(int(sys.argv[1]), addr="127.0.0.1", registry=registry)
signal.pause()
