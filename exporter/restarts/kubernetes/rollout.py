"""What an object of the API says of its rollout: rules of `kubectl rollout status`, without reading anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ANNOTATION: Final = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` changes in the template of the pods."""

_STUCK: Final = ["Progressing", "ProgressDeadlineExceeded"]
_REPLICAS: Final = 1
"""Pods of an object that does not say how many: the API's own default."""


def restarted_at(found: Mapping[str, Any]) -> str:
    """Return when somebody last restarted it, as that was written; empty where nobody did."""
    return str(_of(found, "spec", "template", "metadata", "annotations").get(ANNOTATION, ""))


def is_passing(found: Mapping[str, Any]) -> bool:
    """Return whether what is in the way of a restart may end by itself, or by a person's hand."""
    return _of(found, "spec").get("paused") is True


def obstacle(kind: str, found: Mapping[str, Any]) -> str | None:
    """Return why a restart would do nothing, to be put behind the object's name; None where it would."""
    spec = _of(found, "spec")
    if kind == "deployment":
        return "is paused, so nothing is rolled out: resume it" if spec.get("paused") is True else None
    if _of(spec, "updateStrategy").get("type") == "OnDelete":
        return "has the update strategy OnDelete, so its pods stay until somebody deletes them: set RollingUpdate"
    if 0 < _number(spec, "replicas", _REPLICAS) <= _partition(spec):
        return "has a partition that leaves all of its pods as they are: set a smaller one"
    return None


def progress(kind: str, found: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether the rollout is complete and has pods, and the reason in words."""
    if told := obstacle(kind, found):
        return False, f"it {told}"
    status = _of(found, "status")
    observed = _number(status, "observedGeneration")
    if not observed or observed < _number(_of(found, "metadata"), "generation"):
        return False, "its controller has not seen the change yet"
    return _KINDS[kind](_of(found, "spec"), status)


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[bool, str]:
    wanted, updated = _number(spec, "replicas", _REPLICAS), _number(status, "updatedReplicas")
    conditions = status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, dict) and [condition.get(key) for key in ("type", "reason")] == _STUCK:
            return False, "the rollout took longer than its progressDeadlineSeconds"
    old = _number(status, "replicas") - updated
    if updated >= wanted and old > 0:
        return False, f"{old} old pods are still to end"
    # More are updated than wanted while it is scaled down: those that end may be the ones that are available.
    return _counted(wanted and max(wanted, updated), updated, _number(status, "availableReplicas"), "available")


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[bool, str]:
    wanted, ready = _number(spec, "replicas", _REPLICAS), _number(status, "readyReplicas")
    partition, updated = _partition(spec), _number(status, "updatedReplicas")
    if wanted and ready >= wanted and partition > 0 and updated >= wanted - partition:
        return True, f"{updated} of {wanted} pods are new, as its partition of {partition} leaves the others"
    return _counted(wanted, updated, ready, "ready")


def _partition(spec: Mapping[str, Any]) -> int:
    """Return the number of a StatefulSet's pods, from the first, that a rollout leaves."""
    return _number(_of(spec, "updateStrategy", "rollingUpdate"), "partition")


def _daemon_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[bool, str]:
    del spec
    wanted = _number(status, "desiredNumberScheduled")
    return _counted(wanted, _number(status, "updatedNumberScheduled"), _number(status, "numberAvailable"), "available")


_KINDS: Final = {"deployment": _deployment, "statefulset": _stateful_set, "daemonset": _daemon_set}


def _counted(wanted: int, updated: int, good: int, word: str) -> tuple[bool, str]:
    if not wanted:
        return False, "no pod of it is to run: it is scaled to 0, or no node fits"
    if updated < wanted:
        return False, f"{updated} of {wanted} pods are new"
    if good < wanted:
        return False, f"{good} of {wanted} pods are {word}"
    return True, f"all {wanted} pods are new and {word}"


def _of(value: Any, *names: str) -> Mapping[str, Any]:
    """Return the mapping below some names; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _number(values: Mapping[str, Any], name: str, otherwise: int = 0) -> int:
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise
