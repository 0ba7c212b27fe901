"""A rollout is judged as `kubectl rollout status` judges it, by what the object says; odd objects are not up."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.restarts.kubernetes import rollout


def _object(kind: str, spec: Any, status: Any, generation: Any = 3) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": generation}, "spec": spec, "status": status}


SEEN = {"observedGeneration": 3}
ROLLING = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, "replicas": 3}
STUCK = [{"type": "Available"}, {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]
ROLLOUTS = [
    pytest.param(
        "deployment",
        {"replicas": 2},
        {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 2},
        "1 old pods are still to end",
        id="old pods",
    ),
    pytest.param(
        "deployment",
        {"replicas": 1},
        {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1},
        "1 of 2 pods are available",
        id="scaled down meanwhile",
    ),
    pytest.param(
        "deployment", {}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, None, id="one is the default"
    ),
    pytest.param("deployment", {"replicas": 0}, {}, "no pod of it is to run", id="scaled to 0"),
    pytest.param(
        "deployment",
        {"replicas": 1},
        {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "conditions": STUCK},
        "the rollout took longer than its progressDeadlineSeconds",
        id="stuck",
    ),
    pytest.param(
        "deployment",
        {"replicas": 1},
        {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "conditions": [7, {"type": []}]},
        None,
        id="odd conditions",
    ),
    pytest.param("statefulset", ROLLING, {"readyReplicas": 3, "updatedReplicas": 1}, "1 of 3 pods", id="partition"),
    pytest.param("statefulset", ROLLING, {"readyReplicas": 2, "updatedReplicas": 3}, "2 of 3 pods are", id="not ready"),
    pytest.param("daemonset", {}, {"desiredNumberScheduled": 0}, "no pod of it is to run", id="no node"),
    pytest.param("daemonset", {}, {"desiredNumberScheduled": "2"}, "no pod of it is to run", id="no number"),
    pytest.param("daemonset", 7, [], "its controller has not seen the change yet", id="no objects"),
]


@pytest.mark.parametrize(("kind", "spec", "status", "reason"), ROLLOUTS)
def test_a_rollout_is_judged_as_kubectl_does(kind: str, spec: Any, status: Any, reason: str | None) -> None:
    """And nothing that runs no pod is up."""
    full = {**SEEN, **status} if isinstance(status, dict) else status
    is_up, told = rollout.progress(kind, _object(kind, spec, full))
    assert is_up is (reason is None)
    assert reason is None or told.startswith(reason)


def test_a_partition_is_told_of_what_is_up() -> None:
    is_up, told = rollout.progress(
        "statefulset", _object("", ROLLING, {**SEEN, "readyReplicas": 3, "updatedReplicas": 2})
    )
    assert (is_up, told) == (True, "2 of 3 pods are new, as its partition of 1 leaves the others")


@pytest.mark.parametrize("generation", [4, 4.0, None, True])
def test_a_change_that_no_controller_has_seen_is_not_up(generation: Any) -> None:
    """Nor an object of which nobody says which version the controller has seen."""
    status = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    observed = SEEN if generation == 4 and isinstance(generation, int) else {}
    is_up, told = rollout.progress("deployment", _object("", {}, {**status, **observed}, generation))
    assert (is_up, told) == (False, "its controller has not seen the change yet")
