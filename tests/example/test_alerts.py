"""The alerts of the demo are what an Alertmanager sends."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from exporter import alerts, config
from exporter.example import Alerts

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_800_000_000.0


def test_every_delivery_can_be_read_and_nothing_is_quarantined() -> None:
    """Ten minutes of them; the alert of payments fires and resolves, and each user's too."""
    sent = Alerts(lambda: 0.0)
    told: Counter[tuple[str, str]] = Counter()
    for elapsed in range(0, 600, 5):
        found = alerts.parse(json.dumps(sent.delivery(float(elapsed))).encode(), sent._began_at + elapsed)
        assert not found.quarantined
        told.update((one.name, one.status) for one in found.alerts)
    assert told["PaymentsDown", "firing"] > 10
    assert told["PaymentsDown", "resolved"] > told["PaymentsDown", "firing"]
    assert told["UserSyncFailed", "firing"] == 120


def test_its_configuration_is_fine(tmp_path: Path) -> None:
    """The token is in a file that nobody else reads, so no warning is told."""
    parts = Alerts().configuration(tmp_path)
    found = config.parse(json.dumps(parts), name="demo", environ={})
    assert (found.warnings, found.mode, set(found.queues)) == ((), "auto", {"user-sync", "tickets"})
    assert (tmp_path / "webhook-token").stat().st_mode & 0o077 == 0
