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
        pytest.param(["alertname=WatchbridgeServiceDown", "severity=warning"], "people", id="down"),
        pytest.param(["alertname=WatchbridgeServiceDown", "severity=critical"], "people-now", id="down for long"),
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


def told_to_watchbridge():
    """Return the route by which Watchbridge hears of everything, but for the heartbeat."""
    routes = yaml.safe_load(SAMPLE.read_text("utf-8"))["route"]["routes"]
    _, everything = (route for route in routes if route["receiver"] == "watchbridge")
    return everything


def test_what_leads_to_restarts_is_told_at_once():
    """Alone, before people hear of it, and its end within seconds: nothing is to be restarted for what is over."""
    everything = told_to_watchbridge()
    [restarts] = everything["routes"]
    assert everything["group_by"] == ["..."]
    assert everything["continue"] is True
    assert restarts["matchers"] == ['alertname=~"WatchbridgeServiceDown"']
    assert duration(restarts["group_wait"]) == 0
    assert duration(restarts["group_interval"]) <= 15
    assert duration(restarts["repeat_interval"]) < duration(everything["repeat_interval"])
    assert not {"receiver", "continue", "group_by"} & set(restarts), "it stays the route of everything"


def test_the_example_restarts_what_the_sample_tells_at_once():
    """The alert that a rule of the example leads to a restart for is one of those that are told at once."""
    example = yaml.safe_load((ROOT / "examples/watchbridge.yml").read_text("utf-8"))
    [rule] = [rule for rule in example["rules"] if rule["action"] == "restart"]
    [named] = [one.split('"')[1] for one in rule["matchers"] if one.startswith("alertname")]
    [pattern] = [one.split('"')[1] for one in told_to_watchbridge()["routes"][0]["matchers"]]
    assert re.fullmatch(pattern, named)


def test_what_is_left_to_watchbridge_first_can_be_taken_from_the_sample(amtool, tmp_path):
    """The route that is commented out is a route, in its place: people hear of it, later."""
    lines = SAMPLE.read_text("utf-8").splitlines()
    text = "\n".join(
        line.replace("    #", "    ", 1) if line.startswith(("    #- ", "    #  ")) else line for line in lines
    )
    assert text != "\n".join(lines)
    changed = tmp_path / "alertmanager.yml"
    changed.write_text(text, "utf-8")
    run(amtool, "check-config", changed)
    labels = ("alertname=WatchbridgeServiceDown", "severity=warning")
    done = run(amtool, "config", "routes", "test", f"--config.file={changed}", *labels)
    assert done.stdout.strip() == "watchbridge,people"
    [later] = [
        route
        for route in yaml.safe_load(text)["route"]["routes"]
        if "group_wait" in route and route["receiver"] == "people"
    ]
    critical = next(rule for rule in services() if rule["labels"]["severity"] == "critical")
    assert duration(later["group_wait"]) < duration(critical["for"])


def services():
    """Return the alerts on a service that is down."""
    return [
        rule for rule in declared.rules(ROOT / "rules/services.yml") if rule.get("alert") == "WatchbridgeServiceDown"
    ]


@pytest.mark.parametrize(
    "label",
    ["client", "target", "source", "instance", "circuit", "group"],
    ids=lambda label: f"of another {label}",
)
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
    explained = "Service Probes Deliveries Alerts Backlog Actions"
    explained += " Circuit RestartHeld RestartFailed RestartBudget Fleet ProcessAlarm"
    wanted = {name for name in shipped if name.startswith(tuple(f"Watchbridge{word}" for word in explained.split()))}
    assert wanted <= muted
    assert wanted


def test_the_watchdog_is_heard_often():
    """A dead man's switch is only as quick as its heartbeat."""
    routes = yaml.safe_load(SAMPLE.read_text("utf-8"))["route"]["routes"]
    watchdog = next(route for route in routes if route["receiver"] == "dead-mans-switch")
    assert watchdog["repeat_interval"] == "5m"
