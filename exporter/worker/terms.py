"""What a configuration says of working: kept as one thing, so that what begins begins under one configuration."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.bridge import notices
from exporter.restarting.strategy import Restartable, restartable
from exporter.worker.queues import worked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.bridge.notices import Notice
    from exporter.config import Configuration
    from exporter.model import Mode
    from exporter.services.maintenance import Maintenance
    from exporter.worker.queues import Queue


@dataclass(frozen=True, slots=True)
class Terms:
    """What a configuration says of working: the queues, how far it may go, who is told, and what is in maintenance."""

    queues: Mapping[str, Queue]
    mode: Mode
    notices: tuple[Notice, ...]
    groups: Mapping[str, str | None]
    maintenance: Maintenance
    restartable: Restartable
    rules: Mapping[str, Mode] = field(default_factory=dict)

    @classmethod
    def of(cls, configuration: Configuration, maintenance: Maintenance) -> Terms:
        """Return the terms of a configuration that was checked."""
        mode: Any = configuration.mode or "observe"
        groups = {name: service.group for name, service in configuration.services.items()}
        rules: dict[str, Mode] = {rule.identity: rule.mode or "auto" for rule in configuration.rules}
        everything = restartable(configuration, socket.gethostname())
        return cls(worked(configuration), mode, notices.notices(configuration), groups, maintenance, everything, rules)

    @property
    def modes(self) -> Mapping[tuple[str, str], Mode]:
        """Return what goes less far than auto: by its noun and name."""
        found: dict[tuple[str, str], Mode] = {("all", ""): self.mode}
        found |= {("queue", name): queue.mode for name, queue in self.queues.items()}
        found |= {("rule", name): mode for name, mode in self.rules.items()}
        found |= {("notify", one.identity): one.mode for one in self.notices}
        return {which: mode for which, mode in found.items() if mode != "auto"}
