"""The chart, rendered by real Helm 3 and 4 and held against the schemas of Kubernetes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from shipped.chart import CASES, CHART, CRDS, configuration, pods, write
from shipped.tools import run

# Those of the restricted Pod Security Standard that were safe from Kubernetes 1.25 on.
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_syncookies",
}

# --- every feature ---


@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_helm_lint_has_nothing_to_say(program, values):
    run(program, "lint", "--strict", CHART, "--values", values)


@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_every_object_is_one_that_kubernetes_knows(program, values, tmp_path):
    """kubernetes-validate refuses unknown fields; the two custom resources it cannot know are asserted below."""
    rendered = tmp_path / "objects.yaml"
    rendered.write_text(run(program, "template", "wb", CHART, "--values", values).stdout, "utf-8")
    validate = Path(sys.executable).with_name("kubernetes-validate")
    done = run(validate, "--strict", "-k", "1.30", rendered)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line and not line.startswith("INFO")]
    assert [line for line in said if not any(f"kind {kind} " in line for kind in CRDS)] == []


def test_the_schema_check_notices_an_unknown_field(tmp_path):
    """The check above can fail."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {prots: []}}", "utf-8")
    assert run(
        Path(sys.executable).with_name("kubernetes-validate"), "--strict", "-k", "1.30", wrong, check=False
    ).returncode


@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_every_object_is_labelled_and_in_the_namespace(template, values):
    """Objects have the recommended labels, and Services select the pods of the StatefulSet and no other."""
    objects = template(values)
    [stateful] = [thing for (kind, _), thing in objects.items() if kind == "StatefulSet"]
    selected = stateful["spec"]["selector"]["matchLabels"]
    assert set(selected) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    for (kind, name), thing in objects.items():
        assert len(name) <= 63
        if kind == "Service":
            assert thing["spec"]["selector"] == selected
        if kind == "Pod":
            assert thing["metadata"]["labels"]["app.kubernetes.io/name"] != selected["app.kubernetes.io/name"]
        if "-more" not in name and "-text" not in name and kind != "Pod":
            assert {"helm.sh/chart", "app.kubernetes.io/managed-by", *selected} <= set(thing["metadata"]["labels"])
            assert thing["metadata"]["namespace"]


@pytest.mark.parametrize("values", [path for path in CASES if "extras" not in path.stem], ids=lambda path: path.stem)
def test_every_pod_meets_the_restricted_pod_security_standard(template, values):
    """And has the API's token only where a Role says for what."""
    objects = template(values)
    found = pods(objects)
    assert found
    has_rights = any(kind == "Role" for kind, _ in objects)
    assert [pod["automountServiceAccountToken"] for pod in found].count(True) == int(has_rights)
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert {each["name"] for each in pod["securityContext"].get("sysctls", [])} <= SAFE_SYSCTLS
        allowed = {"name", "configMap", "secret", "emptyDir", "persistentVolumeClaim"}
        assert all(set(volume) <= allowed for volume in pod.get("volumes", []))
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "add" not in security["capabilities"]


# --- the store ---


def test_the_default_keeps_sqlite_on_a_volume(template):
    """The store lies in a folder below the mount, which the program makes itself: the mount is open to the group."""
    objects = template("{}")
    spec = objects["StatefulSet", "wb-watchbridge"]["spec"]
    [claim] = spec["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert claim["metadata"]["name"] == "data"
    assert mounts["data"] == "/var/lib/watchbridge"
    assert mounts["tmp"] == "/tmp"  # noqa: S108 - the path in the container
    assert configuration(objects)["store"] == "sqlite:////var/lib/watchbridge/data/watchbridge.db"
    assert spec["template"]["spec"]["securityContext"]["fsGroup"] == 65532


@pytest.mark.parametrize(
    ("values", "volume"),
    [
        pytest.param("{}", True, id="default"),
        pytest.param("config: {store: 'sqlite:////var/lib/watchbridge/data/a.db'}", True, id="sqlite"),
        pytest.param("config: {store: {url: 'sqlite:////var/lib/watchbridge/data/a.db'}}", True, id="sqlite url"),
        pytest.param("persistence: {enabled: false}", False, id="not persistent"),
        pytest.param("config: {store: 'postgresql://db/watchbridge'}", False, id="postgresql"),
        pytest.param("config: {store: 'mysql://db/watchbridge'}", False, id="mysql"),
        pytest.param("config: {store: '${STORE_URL}'}", False, id="from the environment"),
        pytest.param("config: {store: {url_file: /run/secrets/watchbridge/store}}", False, id="from a file"),
        pytest.param("existingSecret: a", True, id="unknown configuration"),
        pytest.param("{existingSecret: a, sharedStore: true}", False, id="known to be shared"),
    ],
)
def test_a_volume_is_claimed_where_the_store_is_a_file(template, values, volume):
    spec = template(values)["StatefulSet", "wb-watchbridge"]["spec"]
    assert ("volumeClaimTemplates" in spec) is volume
    assert ("data" in {each["name"] for each in spec["template"]["spec"]["volumes"]}) is not volume


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        pytest.param("replicaCount: 2", "needs a store that replicas share", id="replicas on sqlite"),
        pytest.param("{replicaCount: 2, config: {store: {url: 'sqlite:///a'}}}", "needs a store that", id="sqlite url"),
        pytest.param(
            "{replicaCount: 2, existingSecret: a}", "set sharedStore to true", id="replicas on an unknown store"
        ),
        pytest.param(
            "{config: {mode: auto}, existingSecret: a}", "both give the configuration", id="two configurations"
        ),
        pytest.param("sharedStore: true", "set config.store instead", id="shared store without secret"),
        pytest.param("{existingSecret: a, webConfig: {existingSecret: b}}", "name web_config there", id="web config"),
        pytest.param("{config: {listen: []}, webConfig: {existingSecret: b}}", "config.listen", id="own listeners"),
        pytest.param(
            "{existingSecret: a, alertmanager: {bearerToken: {existingSecret: b}}}",
            "name alertmanager.bearer_token_file there",
            id="token beside a whole configuration",
        ),
        pytest.param(
            "{alertmanager: {bearerToken: {existingSecret: a}}, config: {alertmanager: {bearer_token_file: /b}}}",
            "both give the token",
            id="two tokens",
        ),
        pytest.param("webConfig: {identifies: true}", "set webConfig.existingSecret too", id="users of no file"),
        pytest.param("alertmanager: {token: a}", "token", id="a token that would stand in the values"),
        pytest.param(
            "podDisruptionBudget: {enabled: true, minAvailable: 1, maxUnavailable: 1}", "not both", id="two budgets"
        ),
        pytest.param("containerPorts: {metrics: 9999, web: 9999}", "must differ", id="one port twice"),
        pytest.param(
            "{credentials: {encryptionKey: {existingSecret: a}}, extraEnv: [{name: ENCRYPTION_KEY, value: b}]}",
            "both give ENCRYPTION_KEY",
            id="two encryption keys",
        ),
        pytest.param(
            "{serviceAccount: {create: false}, rbac: {restarts: [{resource: deployment/a}]}}",
            "to the service account `default`",
            id="rights for everybody",
        ),
        pytest.param(
            "config: {services: {web: {restart: {kind: kubernetes, resource: deployment/a, namespace: '${NS}'}}}}",
            "the restart of the service web names deployment/a in ${NS}",
            id="a namespace that only the pod knows",
        ),
        pytest.param(
            "config: {services: {web: {restart: {kind: kubernetes, resource: 'deployment/*'}}}}",
            "the restart of the service web names deployment/*",
            id="a pattern",
        ),
        pytest.param("rbac: {restarts: [{resource: pod/a}]}", "resource", id="what cannot be restarted"),
        pytest.param("prometheusRule: {slo: {objective: 99.9}}", "objective", id="an objective in percent"),
        pytest.param("ingress: {enabled: true}", "needs ingress.hosts", id="no host"),
        pytest.param("replicas: 2", "replicas", id="unknown value"),
        pytest.param("service: {prot: 1}", "prot", id="unknown value below"),
        pytest.param("image: {pullPolicy: always}", "pullPolicy", id="wrong choice"),
        pytest.param("replicaCount: two", "replicaCount", id="wrong type"),
        pytest.param("containerPorts: {metrics: 80}", "metrics", id="privileged port"),
        pytest.param("image: {digest: abc}", "digest", id="no digest"),
    ],
)
def test_a_contradiction_or_a_typo_is_refused_with_a_sentence(program, values, sentence, tmp_path):
    done = run(program, "template", "wb", CHART, "--values", write(tmp_path, values), check=False)
    assert done.returncode != 0
    assert sentence in done.stderr
