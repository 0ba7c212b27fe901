"""Requests to the API server: where it is, whose token is shown, and what its answers mean."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from exporter import handover
from exporter.config import files
from exporter.config.options import Secret
from exporter.model import Done, GiveUp, Retry
from exporter.outbound import requests, urls
from exporter.outbound.requests import Answer, Request
from exporter.restarts.kubernetes.rollout import ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter.model import RestartParts
    from exporter.outbound.urls import Url

NAMESPACE: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""What the name of a namespace is (RFC 1123)."""
CHANGE: Final = "PATCH"
MANAGER: Final = "?fieldManager=watchbridge"
"""Who is named as the owner of what is changed, in the object's managedFields."""
OWN: Final = "{namespace of this pod}"
"""What stands for a namespace that only a pod knows."""
DOCUMENT: Final = 8 * 1024 * 1024
"""Bytes that are read of an object: an API server keeps at most 1.5 MiB of one, which grows when it becomes JSON."""

_FILE: Final = 64 * 1024
_HIDDEN: Final = b"<secret>"
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 401, 403, 404, 409


@dataclass(frozen=True, slots=True)
class Place:
    """An object of the API, and how it is asked for."""

    kind: str
    name: str
    namespace: str
    url: Url
    token_file: Path
    ca_file: Path

    def __str__(self) -> str:
        return f"{self.kind}/{self.name} in the namespace {self.namespace}"


def path(resource: str, namespace: str) -> str:
    """Return the path of an object."""
    kind, _, name = resource.partition("/")
    return f"/apis/apps/v1/namespaces/{namespace}/{kind}s/{name}"


async def found(options: Any) -> Place | GiveUp:
    """Return where the object of the options is; GiveUp says what only a pod would know."""
    kind, _, name = options.resource.partition("/")
    namespace = options.namespace
    try:
        server = urls.parse(options.server or _cluster())
        if namespace is None:
            namespace = await asyncio.to_thread(_own_namespace, options.token_file.parent / "namespace")
    except ValueError as error:
        return GiveUp(f"it is not known where {options.resource} is: {error}")
    url = server.joined(path(options.resource, namespace))
    return Place(kind, name, namespace, url, options.token_file, options.ca_file)


def _cluster() -> str:
    """Return the URL of the API server of the cluster that this runs in, as every pod is told it."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{name}", "") for name in ("HOST", "PORT"))
    if not host or not port:
        raise ValueError("this runs in no pod: set `server`")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _own_namespace(file: Path) -> str:
    """Return the namespace of this pod."""
    if not re.fullmatch(NAMESPACE, said := _text(file)):
        raise ValueError(f"the file {str(file)!r} holds no name of a namespace: set `namespace`")
    return said


def _text(file: Path) -> str:
    """Return what a small file says; ValueError names it."""
    try:
        said = files.text(files.read(file, _FILE).data).strip()
    except ValueError as error:
        raise ValueError(f"the file {str(file)!r} {error}") from None
    if not said:
        raise ValueError(f"the file {str(file)!r} is empty")
    return said


async def looked(place: Place, parts: RestartParts, timeout: float) -> Answer | Retry | GiveUp:
    """Return what the API server answers to who reads the object, or why it does not."""
    return await _asked(_read(place), place, parts, timeout)


def is_absent(answer: Any) -> bool:
    """Return whether an answer says that there is no such object."""
    return isinstance(answer, Answer) and answer.code == _NOT_FOUND


def content(answer: Answer | Retry | GiveUp, place: Place, parts: RestartParts) -> dict[str, Any] | Retry | GiveUp:
    """Return the object that an answer holds, or why it holds none."""
    if not isinstance(answer, Answer):
        return answer
    outcome = _judged(_read(place), answer, place, parts)
    if not isinstance(outcome, Done):
        return outcome
    try:
        return answer.document()
    except ValueError as error:
        return Retry(f"{place.url.brief} {error}")


def _read(place: Place) -> Request:
    return Request(method="GET", url=place.url, headers={"Accept": "application/json"}, ca_file=place.ca_file)


async def stamped(
    place: Place, seen: Mapping[str, Any], stamp: str, parts: RestartParts, timeout: float
) -> Done | Retry | GiveUp:
    """Change the annotation of the pods' template, if the object is still the one that was seen.

    Retry says that it did not take, or that this is not known.
    """
    metadata = seen.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version:
        return GiveUp(f"{place.url.brief} says no resourceVersion of {place}: check that it is an API server")
    pods = {"metadata": {"annotations": {ANNOTATION: stamp}}}
    request = Request(
        method=CHANGE,
        url=replace(place.url, target=place.url.target + MANAGER),
        headers={"Accept": "application/json", "Content-Type": "application/strategic-merge-patch+json"},
        body=handover.encoded({"metadata": {"resourceVersion": version}, "spec": {"template": pods}}),
        ca_file=place.ca_file,
    )
    answer = await _asked(request, place, parts, max(timeout, 0.0))
    return _judged(request, answer, place, parts) if isinstance(answer, Answer) else answer


async def _asked(request: Request, place: Place, parts: RestartParts, timeout: float) -> Answer | Retry | GiveUp:
    """Send a request with the token, of which nothing is left in the answer."""
    from exporter.outbound.sending import asked  # noqa: PLC0415 - options must be cheap to load

    try:
        token = Secret(await asyncio.to_thread(_text, place.token_file))
    except ValueError as error:
        return Retry(str(error))
    if told := requests.token_problem(token):
        return Retry(f"the file {str(place.token_file)!r}: {told}")
    request = replace(request, headers={**request.headers, **requests.authorization(None, token)})
    answer = await asked(request, parts, timeout, limit=DOCUMENT)
    if isinstance(answer, Answer):
        answer.body = answer.body.replace(token.reveal().encode(), _HIDDEN)
    return answer


def _judged(request: Request, answer: Answer, place: Place, parts: RestartParts) -> Done | Retry | GiveUp:
    """Return what an answer means; the server's own message is told behind it."""
    message = answer.message()
    said = f": {message}" if message else ""
    if answer.code == _UNAUTHORIZED:
        return Retry(f"{request.where} does not take the token in {str(place.token_file)!r}{said}", message)
    if answer.code == _FORBIDDEN:
        return GiveUp(f"{request.where} forbids it{said} ({_role(place)})", message)
    if answer.code == _NOT_FOUND:
        return GiveUp(f"there is no {place}{said}", message)
    if answer.code == _CONFLICT:
        return Retry(f"{place} was changed by somebody else at the same time", message)
    outcome = requests.judged(request, answer, parts.clock.time())
    if isinstance(outcome, Done):
        return Done(f"the rollout of {place} was begun")
    return replace(outcome, detail=f"{outcome.detail}{said}", output=message)


def _role(place: Place) -> str:
    return (
        f"wanted: a Role in {place.namespace} with the verbs get and patch on {place.kind}s of the API group apps, "
        "bound to this service account"
    )
