"""The sample of Alertmanager's configuration."""

from __future__ import annotations

import re

import pytest
import yaml
from shipped import declared
from shipped.tools import ROOT, program, run

from exporter.bridge.options import IncidentsOptions
from exporter.config.words import duration
from exporter.web.options import DEFAULT_ADDRESS
from exporter.web.webhook import PATH

SAMPLE = ROOT / "alertmanager/alertmanager.yml"
STOPPED = "WatchbridgeDeliveriesStopped"


@pytest.fixture(scope="module")
def amtool():
    return program("amtool", "prometheus-alertmanager")


def test_amtool_accepts_the_sample(amtool):
    run(amtool, "check-config", SAMPLE)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        pytest.param(["alertname=WatchbridgeDown", "severity=critical"], "people-now", id="critical"),
        pytest.param(["alertname=Any", "severity=warning"], "people", id="warning"),
        pytest.param(["alertname=Any", "severity=info"], "nobody", id="info"),
        pytest.param(["alertname=Any"], "people", id="no severity is not unheard"),
        pytest.param(["alertname=WatchbridgeWatchdog", "severity=info"], "dead-mans-switch", id="watchdog"),
    ],
)
def test_an_alert_goes_to(amtool, labels, receiver):
    """People hear of what concerns them; Watchbridge hears everything."""
    done = run(amtool, "config", "routes", "test", f"--config.file={SAMPLE}", *labels)
    assert done.stdout.strip() == f"watchbridge,{receiver}"


def test_the_webhook_is_ours_and_authenticated():
    """The receiver posts to the path of our webhook, says when an alert is over, and keeps its token in a file."""
    configuration = yaml.safe_load(SAMPLE.read_text("utf-8"))
    receivers = {receiver["name"]: receiver for receiver in configuration["receivers"]}
    [webhook] = receivers["watchbridge"]["webhook_configs"]
    assert webhook["url"] == f"http://{DEFAULT_ADDRESS}{PATH}"
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] > 0
    assert webhook["http_config"]["authorization"]["type"] == "Bearer"
    assert set(webhook["http_config"]["authorization"]) == {"type", "credentials_file"}


def test_an_alert_is_repeated_before_its_incident_is_taken_for_silent():
    """And the heartbeat comes several times before it is missed."""
    routes = yaml.safe_load(SAMPLE.read_text("utf-8"))["route"]["routes"]
    heartbeat, everything = (route for route in routes if route["receiver"] == "watchbridge")
    assert duration(everything["repeat_interval"]) * 3 < IncidentsOptions().silent_after
    [stopped] = [rule for path in declared.RULES for rule in declared.rules(path) if rule.get("alert") == STOPPED]
    assert duration(heartbeat["repeat_interval"]) * 3 < float(stopped["expr"].rpartition(">")[2])


@pytest.mark.parametrize("label", ["client", "target", "source", "instance"], ids=lambda label: f"of another {label}")
def test_a_critical_alert_mutes_no_warning(label):
    """Only the warning of the same thing is quiet: a service that is down must not hide another one."""
    rules = yaml.safe_load(SAMPLE.read_text("utf-8"))["inhibit_rules"]
    [pair] = [rule for rule in rules if rule["source_matchers"] == ['severity="critical"']]
    assert {"alertname", label} <= set(pair["equal"])


def test_an_alert_that_is_muted_is_one_that_ships():
    """Each that is named is an alert of the rules; all that the absence of Watchbridge explains are named."""
    shipped = {rule["alert"] for path in declared.RULES for rule in declared.rules(path) if "alert" in rule}
    muted = set()
    for rule in yaml.safe_load(SAMPLE.read_text("utf-8"))["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            if matcher.startswith("alertname"):
                pattern = re.compile(matcher.split('"')[1])
                named = {name for name in shipped if pattern.fullmatch(name)}
                assert named, matcher
                muted |= named
    explained = ("Service", "Probes", "Deliveries", "Alerts", "Backlog", "Actions")
    wanted = {name for name in shipped if name.startswith(tuple(f"Watchbridge{word}" for word in explained))}
    assert wanted <= muted
    assert wanted


def test_the_watchdog_is_heard_often():
    """A dead man's switch is only as quick as its heartbeat."""
    routes = yaml.safe_load(SAMPLE.read_text("utf-8"))["route"]["routes"]
    watchdog = next(route for route in routes if route["receiver"] == "dead-mans-switch")
    assert watchdog["repeat_interval"] == "5m"
