"""The sample of Alertmanager's configuration."""

from __future__ import annotations

import pytest
import yaml
from shipped.tools import ROOT, program, run

SAMPLE = ROOT / "alertmanager/alertmanager.yml"


@pytest.fixture(scope="module")
def amtool():
    return program("amtool", "prometheus-alertmanager")


def test_amtool_accepts_the_sample(amtool):
    run(amtool, "check-config", SAMPLE)


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        pytest.param(["alertname=WatchbridgeDown", "severity=critical"], "watchbridge,people-now", id="critical"),
        pytest.param(["alertname=Any", "severity=warning"], "watchbridge,people", id="warning"),
        pytest.param(["alertname=Any", "severity=info"], "watchbridge,nobody", id="info"),
        pytest.param(["alertname=Any"], "watchbridge,people", id="no severity is not unheard"),
        pytest.param(["alertname=WatchbridgeWatchdog", "severity=info"], "dead-mans-switch", id="watchdog"),
    ],
)
def test_an_alert_goes_to(amtool, labels, receivers):
    """Everything but the watchdog closes the loop through Watchbridge, and people hear of what concerns them."""
    done = run(amtool, "config", "routes", "test", f"--config.file={SAMPLE}", *labels)
    assert done.stdout.strip() == receivers


def test_the_webhook_is_ours_and_authenticated():
    """The receiver posts to the path of our webhook, says when an alert is over, and keeps its token in a file."""
    configuration = yaml.safe_load(SAMPLE.read_text("utf-8"))
    receivers = {receiver["name"]: receiver for receiver in configuration["receivers"]}
    webhook = receivers["watchbridge"]["webhook_configs"][0]
    assert webhook["url"] == "http://127.0.0.1:10900/api/v1/alerts"
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] > 0
    assert set(webhook["http_config"]["authorization"]) == {"type", "credentials_file"}


def test_the_watchdog_is_heard_often():
    """A dead man's switch is only as quick as its heartbeat."""
    routes = yaml.safe_load(SAMPLE.read_text("utf-8"))["route"]["routes"]
    watchdog = next(route for route in routes if route["receiver"] == "dead-mans-switch")
    assert watchdog["repeat_interval"] == "5m"
