"""The chart and restarts: rights for exactly what is named, and the token of the API only where there are some."""

from __future__ import annotations

import pytest
from shipped.chart import CHART, case, read, write
from shipped.tools import helm, run

from exporter.restarts import kubernetes

TOKEN_FILE = "/run/secrets/watchbridge-alertmanager/token"
PLANT_FILE = "/run/secrets/watchbridge/plant-url"
WEB = "config: {services: {web: {restart: {kind: kubernetes, resource: deployment/web}}}}"


def rights(objects):
    """Return the rules of each Role, by its namespace."""
    return {thing["metadata"]["namespace"]: thing["rules"] for (kind, _), thing in objects.items() if kind == "Role"}


def of(resource, *names):
    return {"apiGroups": ["apps"], "resources": [resource], "resourceNames": [*names], "verbs": ["get", "patch"]}


@pytest.fixture
def configured(template, tmp_path):
    """Return the configuration of the example of restarts, read by the loader."""
    (tmp_path / "token").write_text("0123456789abcdef0123456789abcdef\n", "utf-8")
    (tmp_path / "plant").write_text("sqlite:////data/plant.db\n", "utf-8")
    files = [(TOKEN_FILE, tmp_path / "token"), (PLANT_FILE, tmp_path / "plant")]
    return read(template(case("restarts")), files)


def test_rights_are_for_what_is_named_and_nothing_else(template):
    """By the configuration and by `rbac.restarts`, in the namespace of each; none for another cluster."""
    assert rights(template(case("restarts"))) == {
        "ns": [of("daemonsets", "agent")],
        "shop": [of("deployments", "api", "web", "worker"), of("statefulsets", "db")],
    }


def test_the_rights_are_enough_for_each_restart_of_the_configuration(template, configured):
    """What a restart of this cluster would change is what a Role of its namespace lets it change."""
    found = rights(template(case("restarts")))
    paths = set()
    for service in configured.services.values():
        if service.restart.options.server is not None:
            continue
        plan = kubernetes.plan(service.restart.options)
        assert plan.details["method"] == "PATCH"
        paths.add(plan.details["path"].partition("?")[0].replace(kubernetes.api.OWN, "ns"))
    allowed = {
        f"/apis/apps/v1/namespaces/{namespace}/{rule['resources'][0]}/{name}"
        for namespace, rules in found.items()
        for rule in rules
        for name in rule["resourceNames"]
    }
    assert paths
    assert paths <= allowed


def test_each_role_is_bound_to_our_service_account_alone(template):
    objects = template(case("restarts"))
    bindings = [thing for (kind, _), thing in objects.items() if kind == "RoleBinding"]
    assert {each["metadata"]["namespace"] for each in bindings} == {"ns", "shop"}
    for each in bindings:
        assert each["roleRef"]["kind"] == "Role"
        assert objects["Role", each["roleRef"]["name"]]["metadata"]["namespace"] == each["metadata"]["namespace"]
        assert each["subjects"] == [{"kind": "ServiceAccount", "name": "wb-watchbridge", "namespace": "ns"}]
    assert not [kind for kind, _ in objects if kind.startswith("Cluster")]


def test_two_releases_do_not_share_a_role_in_a_third_namespace(program, tmp_path):
    values = write(tmp_path, "rbac: {restarts: [{resource: deployment/web, namespace: shop}]}")
    argv = (program, "template", "wb", CHART, "--values", values, "--show-only", "templates/roles.yaml", "--namespace")
    names = [
        {line for line in run(*argv, namespace).stdout.splitlines() if line.startswith("  name: ")}
        for namespace in ("one", "other")
    ]
    assert all(names)
    assert not names[0] & names[1]


@pytest.mark.parametrize(
    ("values", "token", "roles"),
    [
        pytest.param("{}", False, 0, id="default"),
        pytest.param("config: {services: {web: {restart: {kind: command, argv: [a]}}}}", False, 0, id="another kind"),
        pytest.param(WEB, True, 1, id="a restart"),
        pytest.param("{existingSecret: a, rbac: {restarts: [{resource: daemonset/a}]}}", True, 1, id="a named one"),
        pytest.param(f"{{{WEB}, rbac: {{create: false}}}}", True, 0, id="rights by others"),
        pytest.param("automountServiceAccountToken: true", True, 0, id="asked for"),
    ],
)
def test_the_token_is_mounted_where_something_is_restarted_by_it(template, values, token, roles):
    """Into our pod: the account itself mounts none, so that no other pod of that account has it."""
    objects = template(values)
    assert objects["StatefulSet", "wb-watchbridge"]["spec"]["template"]["spec"]["automountServiceAccountToken"] is token
    assert [kind for kind, _ in objects].count("Role") == roles
    if "automount" not in values:
        assert objects["ServiceAccount", "wb-watchbridge"]["automountServiceAccountToken"] is False


def test_what_bounds_restarts_arrives_as_it_is_written(configured):
    assert configured.mode == "auto"
    assert configured.services["agent"].alarm == "agent_daemon"
    assert configured.services["web"].circuit.limits("normal") == (3, 300.0)
    assert configured.groups["frontend"].circuit.limits("normal") == (5, 600.0)
    assert [(one.scope, one.restarts, one.per) for one in configured.budgets] == [
        ("service", 3, 3600.0),
        ("all", 20, 600.0),
    ]
    assert (configured.fleet_breaker.at_least, configured.fleet_breaker.share) == (3, 0.5)
    assert configured.alarms["plant"].every == 60
    assert [each.on for each in configured.notify] == ["circuit"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param(
            "{rbac: {restarts: [{resource: deployment/a}]}}", "it may restart:\n  deployments of ns: a", id="may"
        ),
        pytest.param(
            "{rbac: {create: false, restarts: [{resource: deployment/a}]}}", "give it the rights):\n", id="may not yet"
        ),
    ],
)
def test_the_notes_tell_what_may_be_restarted(values, said, tmp_path):
    argv = ("install", "wb", CHART, "--namespace", "ns", "--dry-run=client", "--values", write(tmp_path, values))
    assert said in run(helm("4"), *argv).stdout.partition("NOTES:")[2]
