"""A rollout restart of a Deployment, StatefulSet or DaemonSet, as `kubectl rollout restart` does it.

The API server is asked with the pod's own token. A restart is one change that holds only for the version of the object
that was read before it: of two at once one is refused. It is verified as `kubectl rollout status` judges a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporter import handover
from exporter.config.options import option
from exporter.model import Done, GiveUp, Outcome, Plan, Reading, Retry
from exporter.outbound import urls
from exporter.restarts.kubernetes import api, rollout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import Item, RestartParts
    from exporter.restarts.kubernetes.api import Place

    Told = tuple[tuple[str | int, ...], str]

ON_HOST: Final = False
VERIFIES: Final = True
FENCES: Final = True
"""Of two restarts at once the API server refuses the one that saw the older version."""

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, its namespace and the authorities of its API server."""
SHARE: Final = 0.7
"""The share of the time left that the change itself may take: the rest is for looking whether it took after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is restarted, and the API server that is asked for it."""

    resource: str = option(
        help="What is restarted: deployment/NAME, statefulset/NAME or daemonset/NAME.",
        example="deployment/web",
        pattern=r"(deployment|statefulset|daemonset)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
        maximum=265,
    )
    namespace: str | None = option(
        None,
        help="Its namespace. Left out: the pod's own, from the file `namespace` beside `token_file`.",
        example="shop",
        pattern=api.NAMESPACE,
    )
    server: str | None = option(
        None,
        help="The URL of the API server. Left out: the one of the cluster that this runs in.",
        example="https://10.0.0.1:6443",
    )
    token_file: Path = option(
        ACCOUNT / "token", help="A file with the token to show: read before each request, as tokens are replaced."
    )
    ca_file: Path = option(ACCOUNT / "ca.crt", help="PEM file of the authorities to trust.")

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield a server that cannot be asked, or to which the token would travel in the clear."""
        del configuration
        if self.server is None:
            return
        if told := urls.problem(self.server):
            yield ("server",), told
        elif urls.parse(self.server).scheme != "https":
            yield ("server",), "the token would travel for everybody to read: write https://"


def plan(options: Options) -> Plan:
    """Return the change that restarts it, in words as `kubectl` would be asked for it."""
    namespace = options.namespace or api.OWN
    where = f"-n {namespace}" if options.namespace else "in the namespace of this pod"
    server, path = "the cluster's own", api.path(options.resource, namespace)
    if options.server is not None:
        url = urls.parse(options.server).joined(path)
        server, path = url.origin, url.target
    details = {"method": api.CHANGE, "path": path + api.MANAGER, "server": server}
    return Plan(f"kubectl rollout restart {options.resource} {where}", details)


async def restart(options: Options, item: Item, parts: RestartParts, timeout: float) -> Outcome:
    """Read the object, and change the annotation that makes its controller replace the pods, if it is still the same.

    `Done` says that the rollout was begun, by us or by somebody else at the same moment: then there is no second one.
    """
    del item
    ends = parts.clock.monotonic() + timeout
    place = await api.found(options)
    if isinstance(place, GiveUp):
        return place
    before = api.content(await api.looked(place, parts, timeout), place, parts)
    if not isinstance(before, dict):
        return before
    if told := rollout.obstacle(place.kind, before):
        return Retry(f"{place} {told}") if rollout.is_passing(before) else GiveUp(f"{place} {told}")
    stamp = handover.moment(parts.clock.time()) or "an unknown time"
    answer = await api.stamped(place, before, stamp, parts, (ends - parts.clock.monotonic()) * SHARE)
    if isinstance(answer, Done | GiveUp):
        return answer
    left = max(ends - parts.clock.monotonic(), 0.0)
    after = api.content(await api.looked(place, parts, left), place, parts)
    return _settled(answer, place, (before, after), stamp)


def _settled(failed: Retry, place: Place, seen: tuple[Mapping[str, Any], Any], stamp: str) -> Outcome:
    """Return what a change means of which it is not known whether it took: by what was seen before and after it."""
    before, after = seen
    if not isinstance(after, dict):
        return Retry(f"{failed.detail}; whether it was restarted cannot be seen: {after.detail}", after=failed.after)
    now = rollout.restarted_at(after)
    if now == stamp:
        return Done(f"the rollout of {place} was begun, though its answer was lost")
    if now != rollout.restarted_at(before):
        return Done(f"somebody else restarted {place} at the same time, at {now[:40]}: it is not restarted twice")
    return Retry(f"{failed.detail}; nothing was restarted", failed.output, failed.after)


async def verify(options: Options, parts: RestartParts, timeout: float) -> Reading:
    """Say whether the rollout is complete, as `kubectl rollout status` does, and runs any pod at all."""
    began = parts.clock.monotonic()
    place = await api.found(options)
    if isinstance(place, GiveUp):
        return Reading("unknown", place.detail, parts.clock.monotonic() - began, "config")
    answer = await api.looked(place, parts, timeout)
    duration = parts.clock.monotonic() - began
    found = api.content(answer, place, parts)
    if isinstance(found, dict):
        is_up, reason = rollout.progress(place.kind, found)
        return Reading("up" if is_up else "down", reason, duration, "" if is_up else "health")
    if api.is_absent(answer):
        return Reading("down", found.detail, duration, "absent")
    return Reading("unknown", found.detail, duration, "config" if isinstance(found, GiveUp) else "system")
