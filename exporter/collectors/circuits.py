"""Circuits: whether failed restarts make a service, or a group of them, be left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exporter.circuit import CLOSED, STATES, Key
from exporter.model import Family, Samples, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exporter.model import Parts

_LABELS: Final = ("circuit", "group")
STATE: Final = Family(
    "watchbridge_circuit_state",
    "gauge",
    "1 for the state of a circuit (closed, open, half_open), 0 for the others. `circuit` is the service, `group` its "
    "group; the circuit of a group itself has an empty `circuit`.",
    (*_LABELS, "state"),
)
FAILURES: Final = Family("watchbridge_circuit_failures", "gauge", "Failed restarts in a row.", _LABELS)
OPENED: Final = Family("watchbridge_circuit_opened_total", "counter", "How often the circuit has opened.", _LABELS)
RETRY: Final = Family(
    "watchbridge_circuit_retry_timestamp_seconds",
    "gauge",
    "When an open circuit lets one trial through, or has since when it is half-open.",
    _LABELS,
)
FAMILIES: Final = (STATE, FAILURES, OPENED, RETRY)


def sources(parts: Parts) -> Iterable[Source]:
    """Yield the one source there is: the store."""
    bridge, watch = parts.bridge, parts.watch

    async def read() -> Samples:
        known, now = await bridge.circuits()
        samples: dict[Family, dict[tuple[str, ...], float]] = {family: {} for family in FAMILIES}
        for labels, key, place in _configured(bridge.configuration):
            if watch is not None and not watch.owns(*place):
                continue
            circuit = known.get(key, CLOSED)
            state = circuit.state(now)
            samples[STATE] |= {(*labels, one): float(one == state) for one in STATES}
            samples[FAILURES][labels] = float(circuit.failures)
            samples[OPENED][labels] = float(circuit.opened)
            if circuit.retry_at is not None:
                samples[RETRY][labels] = circuit.retry_at
        return samples

    if bridge is not None:
        yield Source("circuits", "store", read)


def _configured(configuration: Any) -> Iterator[tuple[tuple[str, str], Key, tuple[str, ...]]]:
    """Yield the labels of each circuit that there is, its key, and by what its replica is found.

    That is a text, and the node where it has one: a service's are those by which the replica that probes it is found.
    """
    groups: dict[str, None] = {}
    for name, service in configuration.services.items():
        if service.restart is None:
            continue
        place = (f"{service.client}/{name}", *(() if service.node is None else (service.node,)))
        yield (name, service.group or ""), Key("service", name), place
        if service.group is not None:
            groups[service.group] = None
    for group in groups:
        yield ("", group), Key("group", group), (f"group/{group}",)
