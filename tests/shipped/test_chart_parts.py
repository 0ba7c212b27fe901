"""What the chart writes in particular: configuration, services, and what is off until asked for."""

from __future__ import annotations

import json
import sys
from itertools import pairwise

import jsonschema
import pytest
import yaml
from shipped import declared
from shipped.chart import CHART, case, configuration, read
from shipped.tools import ROOT, run
from shipped.tools import program as installed

import exporter

# --- listeners and configuration ---


def test_metrics_and_the_rest_are_served_apart(template):
    """Two listeners, two ports, two Services; the one for metrics alone is what a ServiceMonitor finds."""
    objects = template("{}")
    assert configuration(objects)["listen"] == [
        {"address": "0.0.0.0:10900", "serve": ["metrics"]},
        {"address": "0.0.0.0:10901", "serve": ["api", "page"]},
    ]
    ports = objects["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert ports == [{"name": "metrics", "containerPort": 10900}, {"name": "web", "containerPort": 10901}]
    services = {name: thing["spec"] for (kind, name), thing in objects.items() if kind == "Service"}
    assert services["wb-watchbridge"]["ports"] == [{"name": "metrics", "port": 10900, "targetPort": "metrics"}]
    assert services["wb-watchbridge-web"]["ports"] == [{"name": "web", "port": 10901, "targetPort": "web"}]
    assert services["wb-watchbridge-headless"]["clusterIP"] == "None"
    name = objects["StatefulSet", "wb-watchbridge"]["spec"]["serviceName"]
    assert name == "wb-watchbridge-headless"


def test_a_web_config_reaches_both_listeners_and_the_probes(template):
    objects = template(case("web-config"))
    assert {each["web_config"] for each in configuration(objects)["listen"]} == {"/etc/watchbridge-web/web-config.yml"}
    container = objects["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    assert {"name": "web-config", "mountPath": "/etc/watchbridge-web", "readOnly": True} in container["volumeMounts"]


def test_probes_ask_what_they_are_for(template):
    container = template("{}")["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
    assert container["readinessProbe"]["httpGet"]["path"] == "/-/ready"
    assert container["args"] == ["serve", "--config", "/etc/watchbridge/watchbridge.yaml"]


def test_a_changed_configuration_rolls_the_pod(template):
    texts = ("{}", "config: {scrape: {timeout: 5s}}", "config: {scrape: {timeout: 6s}}")
    sums = []
    for text in texts:
        annotations = template(text)["StatefulSet", "wb-watchbridge"]["spec"]["template"]["metadata"]["annotations"]
        sums.append(annotations["checksum/config"])
    assert all(one != other for one, other in pairwise(sums))


def test_large_numbers_of_the_configuration_stay_whole(template):
    """Helm reads numbers as floats: two million must not become 2e+06, which is no whole number of ours."""
    objects = template(case("extras"))
    text = objects["ConfigMap", "package-watch"]["data"]["watchbridge.yaml"]
    assert "row_limit: 100000\n" in text


@pytest.mark.parametrize("name", ["extras", "no-persistence", "network", "services"])
def test_the_program_accepts_the_configuration_that_the_chart_writes(template, name):
    """Listeners, store and all. A webhook without a credential is no part of it: such a pod would not start."""
    found = read(template(case(name)))
    assert [each.address for each in found.listen] == ["0.0.0.0:10900", "0.0.0.0:10901"]
    assert [each.serve for each in found.listen] == [("metrics",), ("api", "page")]
    assert found.store.url.reveal() == "sqlite:////var/lib/watchbridge/data/watchbridge.db"


def test_a_configuration_in_a_secret_is_mounted_under_the_usual_name(template):
    objects = template(case("existing-secret"))
    assert ("ConfigMap", "wb-watchbridge") not in objects
    volumes = objects["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]["volumes"]
    [volume] = [each for each in volumes if each["name"] == "config"]
    assert volume["secret"]["items"] == [{"key": "production.yaml", "path": "watchbridge.yaml"}]


# --- what is off until asked for ---


def test_by_default_only_what_every_cluster_has_is_made(template):
    kinds = [kind for kind, _ in template("{}")]
    assert sorted(kinds) == ["ConfigMap", "Pod", "Service", "Service", "Service", "ServiceAccount", "StatefulSet"]


def test_a_service_monitor_has_exactly_these_keys(template):
    """No schema of the custom resource is at hand that refuses unknown fields, so each is asserted."""
    objects = template(case("monitoring"))
    monitor = objects["ServiceMonitor", "wb-watchbridge"]
    assert set(monitor) == {"apiVersion", "kind", "metadata", "spec"}
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["namespace"] == "monitoring"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["metadata"]["labels"]["helm.sh/chart"]
    assert monitor["spec"] == {
        "jobLabel": "app.kubernetes.io/name",
        "targetLabels": ["app.kubernetes.io/instance"],
        "namespaceSelector": {"matchNames": ["watch"]},
        "selector": {
            "matchLabels": {
                "app.kubernetes.io/name": "watchbridge",
                "app.kubernetes.io/instance": "wb",
                "app.kubernetes.io/component": "metrics",
            }
        },
        "endpoints": [
            {
                "port": "metrics",
                "path": "/metrics",
                "scheme": "https",
                "interval": "30s",
                "scrapeTimeout": "10s",
                "tlsConfig": {"insecureSkipVerify": True},
                "basicAuth": {
                    "username": {"name": "watchbridge-scrape", "key": "username"},
                    "password": {"name": "watchbridge-scrape", "key": "password"},
                },
                "relabelings": [{"action": "labeldrop", "regex": "pod"}],
                "metricRelabelings": [{"action": "drop", "regex": "python_gc_.*", "sourceLabels": ["__name__"]}],
            }
        ],
    }
    metrics = objects["Service", "wb-watchbridge"]["metadata"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= metrics["labels"].items()
    assert metrics["namespace"] == "watch"
    others = [objects["Service", f"wb-watchbridge-{each}"]["metadata"]["labels"] for each in ("web", "headless")]
    assert all(labels["app.kubernetes.io/component"] != "metrics" for labels in others)


def test_the_rules_arrive_as_they_are_written(template, tmp_path):
    """Templates of alerts survive Helm's own; only the job is narrowed; alerts can be left out and added."""
    rule = template(case("monitoring"))["PrometheusRule", "wb-watchbridge"]
    assert set(rule) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(rule["spec"]) == {"groups"}
    *ours, added = rule["spec"]["groups"]
    assert all(set(group) - {"interval"} == {"name", "rules"} for group in ours)
    written = [group for path in declared.RULES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    assert [(each["name"], each.get("interval")) for each in ours] == [
        (each["name"], each.get("interval")) for each in written
    ]
    wanted = [each for path in declared.RULES for each in declared.rules(path)]
    for each in wanted:
        each["expr"] = each["expr"].replace('job=~".*watchbridge.*"', 'job=~"watchbridge"')
    assert [each for group in ours for each in group["rules"]] == [
        each for each in wanted if each.get("alert") != "WatchbridgeWatchdog"
    ]
    assert added["rules"][0]["annotations"]["summary"] == "The source {{ $labels.source }} is empty."
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]), "utf-8")
    run(installed("promtool", "prometheus"), "check", "rules", tmp_path / "rules.yml")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param("{}", "vector(0.999)", id="default"),
        pytest.param("slo: {objective: 0.9995}", "vector(0.9995)", id="stricter"),
        pytest.param("slo: {objective: 0.99999}", "vector(0.99999)", id="five nines"),
        pytest.param("slo: {objective: 0.95}", "vector(0.95)", id="milder"),
    ],
)
def test_the_objective_is_a_value(template, values, expected):
    """It stands in one rule, and Helm's floats do not change it."""
    inner = "" if values == "{}" else f", {values}"
    rule = template(f"prometheusRule: {{enabled: true{inner}}}")["PrometheusRule", "wb-watchbridge"]
    rules = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    assert [each["expr"] for each in rules if each.get("record") == "watchbridge:slo_objective:ratio"] == [expected]


def test_error_budgets_can_be_left_out(template):
    """With them go the recording rules that read so much, and nothing else."""
    rule = template("prometheusRule: {enabled: true, slo: {enabled: false}}")["PrometheusRule", "wb-watchbridge"]
    names = {each.get("alert", each.get("record")) for group in rule["spec"]["groups"] for each in group["rules"]}
    left_out = declared.rules(ROOT / "rules/uptime.yml")
    everything = {each.get("alert", each.get("record")) for path in declared.RULES for each in declared.rules(path)}
    assert everything - names == {each.get("alert", each.get("record")) for each in left_out}


def test_the_dashboards_arrive_whole(template):
    objects = template(case("monitoring"))
    data = objects["ConfigMap", "wb-watchbridge-dashboards"]["data"]
    for path in declared.DASHBOARDS:
        assert json.loads(data[f"watchbridge-{path.name}"]) == json.loads(path.read_text("utf-8"))


def test_a_network_policy_lets_in_prometheus_and_alertmanager_only(template):
    policy = template(case("network"))["NetworkPolicy", "wb-watchbridge"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    metrics, web = policy["ingress"]
    assert metrics["ports"] == [{"port": 10900, "protocol": "TCP"}]
    [peer] = metrics["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert web["ports"] == [{"port": 10901, "protocol": "TCP"}]
    assert web["from"]


def test_a_network_policy_lets_out_only_what_is_named_and_dns(template):
    """A probe is a connection outwards: what is probed must be named where `egress` is used at all."""
    policy = template(case("services"))["NetworkPolicy", "wb-watchbridge"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    dns, *named = policy["egress"]
    assert dns == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert named == yaml.safe_load(case("services").read_text("utf-8"))["networkPolicy"]["egress"]


def test_the_encryption_key_comes_from_a_secret_alone(template):
    """Never from the ConfigMap: the pod's environment names the Secret and its key."""
    objects = template(case("services"))
    container = objects["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]["containers"][0]
    reference = {"secretKeyRef": {"name": "watchbridge-encryption", "key": "current"}}
    assert container["env"] == [{"name": "ENCRYPTION_KEY", "valueFrom": reference}]
    [plain] = template("{}")["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]["containers"]
    assert "env" not in plain


def test_more_environment_stands_beside_the_encryption_key(template):
    values = "{extraEnv: [{name: TZ, value: UTC}], credentials: {encryptionKey: {existingSecret: a}}}"
    [container] = template(values)["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in container["env"]] == ["ENCRYPTION_KEY", "TZ"]


def test_replicas_have_a_budget_for_disruptions(template):
    objects = template(case("postgresql"))
    budget = objects["PodDisruptionBudget", "wb-watchbridge"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert objects["StatefulSet", "wb-watchbridge"]["spec"]["replicas"] == 2


# --- the chart and its repository ---


def test_the_chart_is_of_this_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["name"] == CHART.name
    assert chart["appVersion"] == exporter.__version__


def test_the_default_values_fit_their_schema_which_knows_every_one():
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    assert set(schema["properties"]) - set(values) == {"global"}


def test_copies_and_readme_of_the_chart_are_in_step():
    """Run `python helm/sync.py` when this fails."""
    run(sys.executable, ROOT / "helm/sync.py", "--check")
