"""Watchbridge itself: its build, its configuration, and the process_* and python_* families that every peer has."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from exporter import __version__
from exporter.model import Family, Samples, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.registry import Collector

    from exporter.model import Labels, Parts

BUILD: Final = Family(
    "watchbridge_build_info", "gauge", "Always 1; the labels say what is running.", ("version", "python")
)
RELOADED: Final = Family(
    "watchbridge_config_last_reload_successful", "gauge", "Whether the last load of the configuration succeeded."
)
RELOADED_AT: Final = Family(
    "watchbridge_config_last_reload_success_timestamp_seconds",
    "gauge",
    "When the configuration was last loaded with success.",
)
_PYTHON: Final = ("implementation", "major", "minor", "patchlevel", "version")
# The names and meanings of prometheus_client's collectors, which every Python exporter shows.
_CLIENT: Final = (
    Family("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes."),
    Family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
    Family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds."),
    Family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
    Family("process_open_fds", "gauge", "Number of open file descriptors."),
    Family("process_max_fds", "gauge", "Maximum number of open file descriptors."),
    Family("python_info", "gauge", "Python platform information", _PYTHON),
    Family("python_gc_objects_collected_total", "counter", "Objects collected during gc", ("generation",)),
    Family(
        "python_gc_objects_uncollectable_total", "counter", "Uncollectable objects found during GC", ("generation",)
    ),
    Family("python_gc_collections_total", "counter", "Number of times this generation was collected", ("generation",)),
)
FAMILIES: Final = (BUILD, RELOADED, RELOADED_AT, *_CLIENT)
_BY_NAME: Final = {family.name: family for family in _CLIENT}


def _clients() -> tuple[Collector, ...]:
    """Return prometheus_client's collectors, each in no registry but its own."""
    from prometheus_client import GCCollector, PlatformCollector, ProcessCollector  # noqa: PLC0415 - only serve needs it
    from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415

    return ProcessCollector(registry=None), PlatformCollector(registry=None), GCCollector(CollectorRegistry())


def _from_clients(collectors: tuple[Collector, ...]) -> Samples:
    """Return what prometheus_client's collectors see, as samples of our families."""
    samples: Samples = {}
    for collector in collectors:
        for metric in collector.collect():
            for sample in metric.samples:
                family = _BY_NAME.get(sample.name)
                if family is not None:
                    labels = tuple(sample.labels[label] for label in family.labels)
                    samples.setdefault(family, {})[labels] = sample.value
    return samples


def _from_psutil() -> Samples:
    """Return what can be known of the process where there is no /proc."""
    import psutil  # noqa: PLC0415 - only macOS and Windows need it

    process = psutil.Process()
    with process.oneshot():
        memory, cpu = process.memory_info(), process.cpu_times()
        values = {
            "process_virtual_memory_bytes": memory.vms,
            "process_resident_memory_bytes": memory.rss,
            "process_start_time_seconds": process.create_time(),
            "process_cpu_seconds_total": cpu.user + cpu.system,
        }
    return {_BY_NAME[name]: {(): float(value)} for name, value in values.items()}


def sources(parts: Parts) -> Iterable[Source]:
    """Yield the one source there is: this process."""
    build: dict[Labels, float] = {(__version__, platform.python_version()): 1.0}

    clients = _clients()

    async def read() -> Samples:
        reload = parts.reload
        own: Samples = {
            BUILD: build,
            RELOADED: {(): 1.0 if reload.successful else 0.0},
            RELOADED_AT: {(): reload.success_at},
        }
        known = _from_clients(clients)
        if _BY_NAME["process_resident_memory_bytes"] not in known:
            known |= _from_psutil()
        return own | known

    yield Source("runtime", "process", read)
