"""A small Kubernetes API server over TLS: objects of the group apps with versions, managed fields and rollouts.

It does what the real one does with a read and with a patch of an object: tokens and roles are checked, a patch with a
resourceVersion that is not the newest is a conflict, each change counts resourceVersion on, and each change of the
spec counts generation on. Controllers run when a test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from servers.tls import HOST, Authority, server_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

ACCOUNT = "system:serviceaccount:shop:watchbridge"
PATCHES = {"application/strategic-merge-patch+json", "application/merge-patch+json"}
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
OLD = "2026-01-01T00:00:00Z"

Object = dict[str, Any]


@dataclass
class Heard:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Cluster:
    """The server, and the files that a pod would have.

    Attributes:
        token: the token that is taken now; the file of the pod may hold another.
        verbs: what the role lets the account do.
        heard: the requests that came.
        before_read: awaited before a read is answered.
        before_patch: called with the object before a patch is looked at: what somebody else does at that moment.
        loses: whether the answers of patches are lost: they take, and the connection is closed.
        answers_late: whether patches take and are not answered as long as anybody waits.
        answers: code and message that a method is answered with instead; a patch does not take then.
        raw: bytes of a body that a method is answered with instead, with the code 200.

    """

    folder: Path
    url: str = ""
    token: str = "token-5ecret.of-the_pod"
    verbs: set[str] = field(default_factory=lambda: {"get", "patch"})
    heard: list[Heard] = field(default_factory=list)
    objects: dict[str, Object] = field(default_factory=dict)
    before_read: Callable[[], Awaitable[None]] | None = None
    before_patch: Callable[[Object], object] | None = None
    loses: bool = False
    answers_late: bool = False
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)
    version: int = 1000

    @property
    def token_file(self) -> Path:
        """Return the file with the pod's token, beside which its namespace stands."""
        return self.folder / "token"

    @property
    def ca_file(self) -> Path:
        """Return the file with the authority of the server's certificate."""
        return self.folder / "ca.crt"

    def add(self, resource: str, namespace: str = "shop", pods: int = 2, **spec: Any) -> Object:
        """Add an object whose rollout is complete."""
        kind, _, name = resource.partition("/")
        strategy: dict[str, Any] = {} if kind == "deployment" else {"updateStrategy": {"type": "RollingUpdate"}}
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        if kind != "daemonset":
            strategy["replicas"] = pods
        made: Object = {
            "apiVersion": "apps/v1",
            "kind": KINDS[kind],
            "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1},
            "spec": {**strategy, "template": template, **spec},
            "status": {},
        }
        made["metadata"]["managedFields"] = []
        self.objects[f"/apis/apps/v1/namespaces/{namespace}/{kind}s/{name}"] = made
        self.roll(made, pods)
        return made

    def touched(self, found: Object) -> None:
        """Count the version of an object on, as any change of it does."""
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)

    def roll(self, found: Object, updated: int, good: int | None = None, **status: Any) -> None:
        """Be the object's controller: it has seen the newest spec, and so many pods are new, and available."""
        pods = found["spec"].get("replicas", 2)
        good = updated if good is None else good
        counts = {
            "Deployment": {"replicas": pods, "updatedReplicas": updated, "availableReplicas": good},
            "StatefulSet": {"replicas": pods, "updatedReplicas": updated, "readyReplicas": good},
            "DaemonSet": {"desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": good},
        }[found["kind"]]
        found["status"] = {"observedGeneration": found["metadata"]["generation"], **counts, **status}
        self.touched(found)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request as the API server does."""
        body = await request.read()
        self.heard.append(Heard(request.method, request.path_qs, dict(request.headers), body))
        if refused := self._refused(request):
            return refused
        found = self.objects[request.path]
        if request.method == "GET":
            answer = web.json_response(found)
            if self.before_read is not None:
                await self.before_read()
            return answer
        answer = self._patch(request, found, json.loads(body))
        if self.answers_late:
            await asyncio.Event().wait()
        return answer

    def _refused(self, request: web.Request) -> web.Response | None:
        """Return the answer to who may not ask, or asks for what there is not, and what a test put in its place."""
        plural, name, namespace = (request.match_info[word] for word in ("plural", "name", "namespace"))
        verb = {"GET": "get", "PATCH": "patch"}[request.method]
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized", "Unauthorized")
        if verb not in self.verbs:
            where = f'resource "{plural}" in API group "apps" in the namespace "{namespace}"'
            told = f'{plural}.apps "{name}" is forbidden: User "{ACCOUNT}" cannot {verb} {where}'
            return _status(403, "Forbidden", told)
        if request.method in self.answers:
            code, message = self.answers[request.method]
            return _status(code, "InternalError", message)
        if request.method in self.raw:
            return web.Response(body=self.raw[request.method], content_type="application/json")
        return None if request.path in self.objects else _status(404, "NotFound", f'{plural}.apps "{name}" not found')

    def _patch(self, request: web.Request, found: Object, patch: Object) -> web.Response:
        if request.content_type not in PATCHES:
            return _status(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        if self.before_patch is not None:
            self.before_patch(found)
        metadata = found["metadata"]
        if patch.get("metadata", {}).get("resourceVersion", metadata["resourceVersion"]) != metadata["resourceVersion"]:
            told = "the object has been modified; please apply your changes to the latest version and try again"
            plural, name = request.match_info["plural"], request.match_info["name"]
            return _status(409, "Conflict", f'Operation cannot be fulfilled on {plural}.apps "{name}": {told}')
        before = copy.deepcopy(found)
        _merge(found, patch)
        if found["spec"] != before["spec"]:
            metadata["generation"] += 1
        if found != before:
            manager = {"manager": request.query["fieldManager"], "operation": "Update", "fieldsType": "FieldsV1"}
            metadata["managedFields"].append({**manager, "fieldsV1": _fields({"spec": patch.get("spec", {})})})
            self.touched(found)
        if self.loses:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(found)


def restart_by_hand(found: Object, at: str = OLD) -> None:
    """Do what `kubectl rollout restart` does to an object; its version is counted on by the caller."""
    metadata = found["spec"]["template"]["metadata"]
    metadata["annotations"] = {"kubectl.kubernetes.io/restartedAt": at}
    found["metadata"]["generation"] += 1


def _merge(found: Object, patch: Object) -> None:
    """Merge as RFC 7386 says; what is patched here has no lists, so that it is the strategic merge too."""
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            _merge(found.setdefault(key, {}), value)
        else:
            found[key] = value


def _fields(patch: Object) -> Object:
    return {f"f:{key}": _fields(value) if isinstance(value, dict) else {} for key, value in patch.items()}


def _status(code: int, reason: str, message: str) -> web.Response:
    told = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
    return web.json_response({**told, "reason": reason, "message": message}, status=code)


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Start a server whose pod's files are in a folder, and end it."""
    authority = Authority()
    made = Cluster(folder)
    made.ca_file.write_bytes(authority.root.pem())
    made.token_file.write_text(f"{made.token}\n")
    (folder / "namespace").write_text("shop")
    application = web.Application()
    path = "/apis/apps/v1/namespaces/{namespace}/{plural}/{name}"
    application.router.add_get(path, made.handle, allow_head=False)
    application.router.add_patch(path, made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0, ssl_context=server_context(authority.leaf(), folder))
        await site.start()
        made.url = f"https://{HOST}:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()
