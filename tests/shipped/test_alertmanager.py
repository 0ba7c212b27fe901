"""The sample of Alertmanager's configuration."""

from __future__ import annotations

import re

import pytest
import yaml
from shipped import declared
from shipped.tools import ROOT, program, run

SAMPLE = ROOT / "alertmanager/alertmanager.yml"


@pytest.fixture(scope="module")
def amtool():
    return program("amtool", "prometheus-alertmanager")


@pytest.fixture(scope="module")
def with_webhook(tmp_path_factory):
    """Return the sample as a later version uses it: with the lines of the webhook taken in, as its header says."""
    path = tmp_path_factory.mktemp("alertmanager") / "alertmanager.yml"
    path.write_text(re.sub(r"(?m)^#(?=  )", "", SAMPLE.read_text("utf-8")), "utf-8")
    return path


def test_amtool_accepts_the_sample(amtool, with_webhook):
    """As it is, and with the webhook."""
    for path in (SAMPLE, with_webhook):
        run(amtool, "check-config", path)


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
def test_an_alert_goes_to(amtool, with_webhook, labels, receiver):
    """People hear of what concerns them; with the webhook Watchbridge hears all but the watchdog as well."""
    also = receiver if receiver == "dead-mans-switch" else f"watchbridge,{receiver}"
    for path, receivers in ((SAMPLE, receiver), (with_webhook, also)):
        done = run(amtool, "config", "routes", "test", f"--config.file={path}", *labels)
        assert done.stdout.strip() == receivers


def test_nothing_is_posted_to_a_path_that_this_version_does_not_serve():
    """Alertmanager would meet a 404 at every alert."""
    configuration = yaml.safe_load(SAMPLE.read_text("utf-8"))
    assert not [receiver for receiver in configuration["receivers"] if "webhook_configs" in receiver]


def test_the_webhook_is_ours_and_authenticated(with_webhook):
    """The receiver posts to the path of our webhook, says when an alert is over, and keeps its token in a file."""
    configuration = yaml.safe_load(with_webhook.read_text("utf-8"))
    receivers = {receiver["name"]: receiver for receiver in configuration["receivers"]}
    webhook = receivers["watchbridge"]["webhook_configs"][0]
    assert webhook["url"] == "http://127.0.0.1:10900/api/v1/alerts"
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] > 0
    assert set(webhook["http_config"]["authorization"]) == {"type", "credentials_file"}


@pytest.mark.parametrize("label", ["client", "target", "source", "instance"], ids=lambda label: f"of another {label}")
def test_a_critical_alert_mutes_no_warning(label):
    """Only the warning of the same thing is quiet: a service that is down must not hide another one."""
    rules = yaml.safe_load(SAMPLE.read_text("utf-8"))["inhibit_rules"]
    [pair] = [rule for rule in rules if rule["source_matchers"] == ['severity="critical"']]
    assert {"alertname", label} <= set(pair["equal"])


def test_an_alert_that_is_muted_is_one_that_ships():
    """Every inhibition by name names alerts of the rules, and all alerts on services are in one of them."""
    shipped = {rule["alert"] for path in declared.RULES for rule in declared.rules(path) if "alert" in rule}
    muted = set()
    for rule in yaml.safe_load(SAMPLE.read_text("utf-8"))["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            if matcher.startswith("alertname"):
                pattern = re.compile(matcher.split('"')[1])
                named = {name for name in shipped if pattern.fullmatch(name)}
                assert named, matcher
                muted |= named
    assert {name for name in shipped if name.startswith(("WatchbridgeService", "WatchbridgeProbes"))} <= muted


def test_the_watchdog_is_heard_often():
    """A dead man's switch is only as quick as its heartbeat."""
    routes = yaml.safe_load(SAMPLE.read_text("utf-8"))["route"]["routes"]
    watchdog = next(route for route in routes if route["receiver"] == "dead-mans-switch")
    assert watchdog["repeat_interval"] == "5m"
