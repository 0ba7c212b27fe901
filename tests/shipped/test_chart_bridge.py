"""The chart and alerts: the webhook is there for those who can prove who they are, and for nobody else."""

from __future__ import annotations

import pytest
from shipped import declared
from shipped.chart import CHART, case, configuration, read, write
from shipped.tools import helm, run

from exporter.web.webhook import PATH

TOKEN_FILE = "/run/secrets/watchbridge-alertmanager/webhook"


def test_a_token_opens_the_webhook(template, tmp_path):
    """It is mounted as a file of the pod and named in the configuration, beside what that says of Alertmanager."""
    objects = template(case("bridge"))
    (tmp_path / "token").write_text("0123456789abcdef0123456789abcdef\n", "utf-8")
    found = read(objects, [(TOKEN_FILE, tmp_path / "token")])
    assert [each.serve for each in found.listen] == [("metrics",), ("api", "webhook", "page")]
    assert found.alertmanager.bearer_token.reveal() == "0123456789abcdef0123456789abcdef"
    assert found.alertmanager.url == "http://alertmanager.monitoring.svc:9093"
    pod = objects["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]
    [volume] = [each for each in pod["volumes"] if each["name"] == "alertmanager-token"]
    assert volume["secret"] == {
        "secretName": "watchbridge-alertmanager",
        "defaultMode": 0o440,
        "items": [{"key": "webhook", "path": "webhook"}],
    }
    [mount] = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "alertmanager-token"]
    assert f"{mount['mountPath']}/webhook" == TOKEN_FILE
    assert mount["readOnly"] is True


def test_rules_queues_and_notifications_arrive_as_they_are_written(template, tmp_path):
    """`on` too, which Helm takes for true."""
    (tmp_path / "token").write_text("0123456789abcdef0123456789abcdef\n", "utf-8")
    found = read(template(case("bridge")), [(TOKEN_FILE, tmp_path / "token")])
    assert [each.name for each in found.rules] == ["heartbeat", "user-sync", "the-rest"]
    assert set(found.queues) == {"user-sync", "by-hand"}
    assert [each.on for each in found.notify] == ["incident"]
    assert found.mode == "approve"


@pytest.mark.parametrize(
    ("values", "served"),
    [
        pytest.param("{}", False, id="default"),
        pytest.param("config: {alertmanager: {url: 'http://a:9093'}}", False, id="only where to post to"),
        pytest.param("webConfig: {existingSecret: a}", False, id="TLS alone"),
        pytest.param("webConfig: {existingSecret: a, identifies: true}", True, id="users"),
        pytest.param("alertmanager: {bearerToken: {existingSecret: a}}", True, id="token"),
        pytest.param("config: {alertmanager: {bearer_token_file: /run/t}}", True, id="token of the configuration"),
    ],
)
def test_the_webhook_is_served_where_somebody_can_prove_who_they_are(template, values, served):
    [_, web] = configuration(template(values))["listen"]
    assert ("webhook" in web["serve"]) is served


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param("{}", "Alerts are not received", id="none"),
        pytest.param("alertmanager: {bearerToken: {existingSecret: a}}", "Alertmanager sends alerts to", id="token"),
        pytest.param("existingSecret: a", "if the configuration in a serves webhook", id="another configuration"),
    ],
)
def test_the_notes_tell_where_alertmanager_sends_alerts_to(values, said, tmp_path):
    """Helm 4 shows them without a cluster."""
    argv = ("install", "wb", CHART, "--namespace", "ns", "--dry-run=client", "--values", write(tmp_path, values))
    notes = run(helm("4"), *argv).stdout.partition("NOTES:")[2]
    assert f"http://wb-watchbridge-web.ns.svc:10901{PATH}\n" in notes
    assert said in notes


def test_replicas_are_named_after_their_pods(template):
    """Their counters go on after a restart then; one pod with a store of its own needs no name."""
    assert configuration(template(case("postgresql")))["replica"] == "${HOSTNAME}"
    assert "replica" not in configuration(template("{}"))


def test_a_network_policy_lets_alertmanagers_namespace_send(template):
    """Beside other peers, and only to the port of the webhook."""
    policy = template(case("bridge"))["NetworkPolicy", "wb-watchbridge"]["spec"]
    _, web = policy["ingress"]
    assert web["ports"] == [{"port": 10901, "protocol": "TCP"}]
    namespace, proxy = web["from"]
    assert namespace == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert proxy == {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "proxy"}}}
    [metrics] = template("networkPolicy: {enabled: true}")["NetworkPolicy", "wb-watchbridge"]["spec"]["ingress"]
    assert metrics["ports"] == [{"port": 10900, "protocol": "TCP"}]


def test_an_alert_that_is_left_out_is_left_out_alone(template):
    rule = template(case("bridge"))["PrometheusRule", "wb-watchbridge"]
    names = {each.get("alert") for group in rule["spec"]["groups"] for each in group["rules"]}
    everything = {each.get("alert") for path in declared.RULES for each in declared.rules(path)}
    assert everything - names == {"WatchbridgeDeliveriesStopped"}
