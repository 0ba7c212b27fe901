"""The configuration: file, environment and secret files become frozen options, or every mistake at once.

YAML and JSON Schema are imported when a file is read: commands that read none stay quick.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from exporter.errors import InvalidConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.config.sections import Section

__all__ = ["Configuration", "InvalidConfigurationError", "json_schema", "load", "parse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What Watchbridge was told. This package stands below the options' modules, so it names their types in words.

    Attributes:
        listen: `exporter.web.options.ListenerOptions`.
        store: `exporter.store.options.StoreOptions`.
        databases: `exporter.databases.options.DatabaseOptions` by name.
        scrape: `exporter.scrape.ScrapeOptions`.
        log: `exporter.logs.LogOptions`.
        email: `exporter.mail.MailOptions`, or None.
        services: `exporter.services.options.ServiceOptions` by name.
        probing: `exporter.services.options.ProbingOptions`.
        probe_modules: by name, each a `Choice` of a kind of probe with `exporter.services.options.ModuleTiming` beside.
        probe_modules_file: a file of blackbox_exporter with more of them, or None.
        windows: `exporter.windows.WindowOptions`.
        mode: observe, approve or auto; None when left out, which is observe.
        alertmanager, rules, queues, incidents, backlog, notify: those of `exporter.bridge.options`.
        groups, restarts, budgets, fleet_breaker: those of `exporter.restarting.options`.
        alarms: `exporter.process_alarms.options.AlarmOptions` by name.
        node: the name of the host that this process runs on, or None.
        readings: `exporter.services.options.ReadingsOptions`.
        replica: the name of this one of several replicas, or None.
        collectors: by the word of the collector and the name of the source, each the collector's `Options`. Every
            known word is there.
        path: the file that was read, if one was.
        warnings: sentences about what works and should not stay so, each with its place.
        secrets: every text that must never be shown.
        blank: whether the file was read and says nothing at all.

    """

    listen: tuple[Any, ...] = ()
    store: Any = None
    databases: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    scrape: Any = None
    log: Any = None
    email: Any = None
    services: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    probing: Any = None
    probe_modules: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    probe_modules_file: Path | None = None
    windows: tuple[Any, ...] = ()
    mode: str | None = None
    alertmanager: Any = None
    rules: tuple[Any, ...] = ()
    queues: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    restarts: Any = None
    budgets: tuple[Any, ...] = ()
    fleet_breaker: Any = None
    alarms: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    node: str | None = None
    incidents: Any = None
    backlog: Any = None
    notify: tuple[Any, ...] = ()
    readings: Any = None
    replica: str | None = None
    collectors: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()
    blank: bool = False


def load(
    path: Path | None, *, environ: Mapping[str, str] = os.environ, sections: tuple[Section, ...] | None = None
) -> Configuration:
    """Return the configuration of a file, or the defaults without one; InvalidConfigurationError tells all mistakes.

    Relative paths in the file are relative to its folder.
    """
    if path is None:
        from exporter.config.sections import SECTIONS, composed  # noqa: PLC0415 -- see the module's docstring

        used = sections or SECTIONS
        values = {section.word: section.default() for section in used}
        return replace(composed(used, values), secrets=_secrets(values.values()))
    from exporter.config.document import read_file  # noqa: PLC0415 -- see the module's docstring

    text = read_file(path)
    found = parse(text, name=str(path), environ=environ, folder=path.absolute().parent, sections=sections)
    return replace(found, path=path)


def _secrets(defaults: Iterable[Any]) -> frozenset[str]:
    """Return what of the defaults must never be shown: the environment may hold a key."""
    from exporter.config.options import Secret  # noqa: PLC0415 -- see the module's docstring
    from exporter.config.secrets import parts  # noqa: PLC0415 -- the same

    held = (getattr(one, field.name) for one in defaults if is_dataclass(one) for field in fields(one))
    return frozenset().union(*(parts(value.reveal()) for value in held if isinstance(value, Secret)))


def parse(
    text: str,
    *,
    name: str,
    environ: Mapping[str, str] = os.environ,
    folder: Path = Path(),
    sections: tuple[Section, ...] | None = None,
) -> Configuration:
    """Return the configuration of a text; `name` stands before each mistake.

    Relative paths in it are relative to `folder`.
    """
    from exporter.config import loading  # noqa: PLC0415 -- see the module's docstring

    return loading.parse(text, name, environ, folder, sections)


def json_schema(sections: tuple[Section, ...] | None = None) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration, for editors and for the reference."""
    from exporter.config.sections import all_sections, published_schema  # noqa: PLC0415 -- see the module's docstring

    return published_schema(sections or all_sections())
