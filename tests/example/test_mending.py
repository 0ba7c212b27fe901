"""What breaks in the demo can be mended, and what is started for that ends with the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from exporter import config
from exporter.example import Alerts, Mending

if TYPE_CHECKING:
    from pathlib import Path


def test_its_configuration_is_fine(tmp_path: Path) -> None:
    """Both can be restarted, the renderer only after the worker, which it needs; together with the alerts' part."""
    mending = Mending(tmp_path)
    mending.make()
    alerts = Alerts().configuration(tmp_path)
    parts = mending.configuration()
    found = config.parse(json.dumps(alerts | {"services": parts["services"], "rules": parts["rules"]}), name="demo")
    assert found.warnings == ()
    assert {name: one.restart.kind for name, one in found.services.items()} == {
        "worker": "process",
        "renderer": "command",
    }
    assert found.services["renderer"].depends_on == ("worker",)


def test_an_alert_fires_while_something_is_down_and_then_resolves_once() -> None:
    """Its start stays the same for as long as it is down."""
    down = {"worker": True}
    alerts = Alerts(lambda: 0.0, lambda: dict(down))

    def sent(elapsed: float) -> list[tuple[str, str]]:
        found = alerts.delivery(elapsed)["alerts"]
        return [(one["status"], one["startsAt"]) for one in found if one["labels"]["alertname"] == "DemoServiceDown"]

    first, second = sent(10.0), sent(15.0)
    assert first == second
    assert first[0][0] == "firing"
    down["worker"] = False
    assert [status for status, _ in sent(20.0)] == ["resolved"]
    assert sent(25.0) == []


def test_the_worker_ends_when_the_demo_is_gone(tmp_path: Path) -> None:
    """Nobody says any more that the demo lives: also where it was killed, nothing is left behind."""
    mending = Mending(tmp_path)
    mending.make()
    argv = mending.configuration()["services"]["worker"]["restart"]["argv"]
    old = time.time() - 60
    os.utime(tmp_path / "alive", (old, old))
    assert subprocess.run(argv, timeout=10, check=False).returncode == 0
    assert argv[0] == sys.executable
