"""A rollout restart is one change of one object's very version, and its rollout is judged as kubectl judges one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from restarts.configured import ITEM, PARTS, mistakes, options
from servers.badhttp import RAW, BadHttp, answer, serving
from servers.kubernetes import OLD, Cluster, cluster, restart_by_hand
from servers.tls import Authority, server_context
from servers.tls import serving as talking

from exporter.model import Done, GiveUp, Outcome, Plan, Reading, Retry
from exporter.outbound.requests import MESSAGE
from exporter.restarts import kubernetes
from exporter.restarts.kubernetes import api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KINDS = ["deployment/web", "statefulset/db", "daemonset/agent"]
ANNOTATION = "kubectl.kubernetes.io/restartedAt"
WEB = "deployment/web in the namespace shop"
TOOK = Done(f"the rollout of {WEB} was begun")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Give a cluster with a deployment `web`, and the files of a pod in the namespace `shop`."""
    async with cluster(tmp_path) as started:
        started.add("deployment/web")
        yield started


def made(shop: Cluster, resource: str = "deployment/web", **keys: Any) -> Any:
    """Return options for an object of the cluster."""
    files = {"token_file": str(shop.token_file), "ca_file": str(shop.ca_file)}
    given = {"kind": "kubernetes", "resource": resource, "server": shop.url, **files, **keys}
    return options({key: value for key, value in given.items() if value is not None})


async def restart(shop: Cluster, resource: str = "deployment/web", *, timeout: float = 10.0, **keys: Any) -> Outcome:
    """Restart an object."""
    return await kubernetes.restart(made(shop, resource, **keys), ITEM, PARTS, timeout)


async def verify(shop: Cluster, resource: str = "deployment/web", **keys: Any) -> Reading:
    """Look at an object."""
    return await kubernetes.verify(made(shop, resource, **keys), PARTS, 10.0)


def web(shop: Cluster) -> Any:
    """Return the deployment as the cluster has it."""
    return shop.objects["/apis/apps/v1/namespaces/shop/deployments/web"]


def annotation(found: Any) -> str | None:
    """Return when an object was restarted."""
    at: str | None = found["spec"]["template"]["metadata"].get("annotations", {}).get(ANNOTATION)
    return at


@pytest.mark.parametrize("resource", KINDS)
async def test_a_restart_is_one_change_and_its_rollout_is_followed(shop: Cluster, resource: str) -> None:
    """It is not up before the controller has seen it, nor with old pods, nor with new ones that are not ready."""
    found = shop.add(resource)
    assert (await verify(shop, resource)).state == "up"
    assert await restart(shop, resource) == Done(f"the rollout of {resource} in the namespace shop was begun")
    assert found["metadata"]["generation"] == 2
    assert (await verify(shop, resource)).reason == "its controller has not seen the change yet"
    for updated, good, reason in ((0, 0, "0 of 2 pods are new"), (1, 1, "1 of 2 pods are new"), (2, 1, "1 of 2 pods")):
        shop.roll(found, updated, good)
        seen = await verify(shop, resource)
        assert (seen.state, seen.cause) == ("down", "health")
        assert seen.reason.startswith(reason)
    shop.roll(found, 2)
    seen = await verify(shop, resource)
    word = "ready" if resource.startswith("stateful") else "available"
    assert (seen.state, seen.reason, seen.cause) == ("up", f"all 2 pods are new and {word}", "")


async def test_what_is_sent_is_what_is_planned(shop: Cluster) -> None:
    """The annotation of kubectl, for the version that was read, with our name in the managed fields."""
    version = web(shop)["metadata"]["resourceVersion"]
    assert await restart(shop) == TOOK
    planned = kubernetes.plan(made(shop, namespace="shop"))
    read, change = shop.heard
    assert (change.method, change.path) == (planned.details["method"], planned.details["path"])
    assert (read.method, read.path) == ("GET", change.path.partition("?")[0])
    assert change.headers["Content-Type"] == "application/strategic-merge-patch+json"
    template = {"metadata": {"annotations": {ANNOTATION: annotation(web(shop))}}}
    assert json.loads(change.body) == {"metadata": {"resourceVersion": version}, "spec": {"template": template}}
    [managed] = web(shop)["metadata"]["managedFields"]
    fields = {"f:template": {"f:metadata": {"f:annotations": {f"f:{ANNOTATION}": {}}}}}
    assert (managed["manager"], managed["fieldsV1"]) == ("watchbridge", {"f:spec": fields})


def test_the_plan_is_told_as_kubectl_would_be() -> None:
    server = "https://10.0.0.1:6443"
    found = options({"kind": "kubernetes", "resource": "deployment/web", "namespace": "shop", "server": server})
    path = "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=watchbridge"
    details = {"method": "PATCH", "path": path, "server": server}
    assert kubernetes.plan(found) == Plan("kubectl rollout restart deployment/web -n shop", details)
    proxied = options(
        {"kind": "kubernetes", "resource": "deployment/web", "namespace": "shop", "server": f"{server}/k8s/c1/"}
    )
    assert kubernetes.plan(proxied).details == {**details, "path": f"/k8s/c1{path}"}
    found = options({"kind": "kubernetes", "resource": "statefulset/db"})
    planned = kubernetes.plan(found)
    assert planned.sentence == "kubectl rollout restart statefulset/db in the namespace of this pod"
    assert planned.details["path"].startswith("/apis/apps/v1/namespaces/{namespace of this pod}/statefulsets/db?")
    assert planned.details["server"] == "the cluster's own"


async def test_a_pod_knows_its_cluster_and_its_namespace(shop: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its environment and its files, read when it is restarted; the configuration names another namespace."""
    host, _, port = shop.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    assert await restart(shop, server=None) == TOOK
    shop.add("deployment/web", namespace="other")
    assert await restart(shop, namespace="other") == Done(
        "the rollout of deployment/web in the namespace other was begun"
    )


async def test_outside_a_pod_it_must_be_told(shop: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is asked of anybody."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    unknown = "it is not known where deployment/web is: "
    assert await restart(shop, server=None) == GiveUp(f"{unknown}this runs in no pod: set `server`")
    alone = str(tmp_path / "alone" / "token")
    outcome = await restart(shop, token_file=alone)
    assert isinstance(outcome, GiveUp)
    assert outcome.detail.startswith(f"{unknown}the file '{tmp_path / 'alone' / 'namespace'}' does not exist")
    seen = await verify(shop, token_file=alone)
    assert (seen.state, seen.cause) == ("unknown", "config")
    assert shop.heard == []


async def test_a_file_that_holds_no_namespace_is_no_path(shop: Cluster) -> None:
    (shop.folder / "namespace").write_text("../../../api/v1/namespaces/x")
    outcome = await restart(shop)
    assert isinstance(outcome, GiveUp)
    assert "holds no name of a namespace: set `namespace`" in outcome.detail
    assert shop.heard == []


def test_a_server_with_an_address_of_ipv6_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert api._cluster() == "https://[fd00::1]:443"


async def test_the_token_is_read_before_each_request(shop: Cluster) -> None:
    """A cluster replaces it; one that it does not take is another attempt."""
    shop.token = "the-next"
    refused = await restart(shop)
    assert refused == Retry(
        f"{shop.url}/… does not take the token in '{shop.token_file}': Unauthorized", "Unauthorized"
    )
    shop.token_file.write_text("the-next")
    assert await restart(shop) == TOOK


TOKENS = [
    pytest.param("", "is empty", id="empty"),
    pytest.param("a\nb", "the token holds characters that no header carries", id="two lines"),
    pytest.param("x" * 70_000, "is larger than 64 KiB", id="huge"),
    pytest.param(None, "does not exist", id="missing"),
]


@pytest.mark.parametrize(("text", "sentence"), TOKENS)
async def test_a_token_that_cannot_be_shown_is_another_attempt(shop: Cluster, text: str | None, sentence: str) -> None:
    shop.token_file.unlink() if text is None else shop.token_file.write_text(text)
    outcome = await restart(shop)
    assert isinstance(outcome, Retry)
    assert f"'{shop.token_file}'" in outcome.detail
    assert sentence in outcome.detail
    assert shop.heard == []
    assert (await verify(shop)).state == "unknown"


@pytest.mark.parametrize("verbs", [{"patch"}, {"get"}, set()], ids=["get", "patch", "both"])
async def test_a_missing_right_is_told_as_the_role_that_is_wanted(shop: Cluster, verbs: set[str]) -> None:
    """A further attempt would end the same; nothing was changed."""
    shop.verbs = verbs
    outcome = await restart(shop)
    assert isinstance(outcome, GiveUp)
    assert 'deployments.apps "web" is forbidden: User "system:serviceaccount:shop:watchbridge" cannot' in outcome.detail
    role = "a Role in shop with the verbs get and patch on deployments of the API group apps, bound to this service"
    assert role in outcome.detail
    assert annotation(web(shop)) is None
    if "get" not in verbs:
        seen = await verify(shop)
        assert (seen.state, seen.cause) == ("unknown", "config")
        assert role in seen.reason


async def test_an_object_that_is_not_there_is_given_up(shop: Cluster) -> None:
    told = 'there is no deployment/shop in the namespace shop: deployments.apps "shop" not found'
    outcome = await restart(shop, "deployment/shop")
    assert (type(outcome), outcome.detail) == (GiveUp, told)
    seen = await verify(shop, "deployment/shop")
    assert (seen.state, seen.reason, seen.cause) == ("down", told, "absent")


OBSTACLES = [
    pytest.param("deployment/web", {"paused": True}, Retry, "is paused, so nothing is rolled out: resume", id="paused"),
    pytest.param(
        "statefulset/db", {"updateStrategy": {"type": "OnDelete"}}, GiveUp, "has the update strategy OnDelete", id="sts"
    ),
    pytest.param(
        "daemonset/agent", {"updateStrategy": {"type": "OnDelete"}}, GiveUp, "has the update strategy OnDelete", id="ds"
    ),
    pytest.param(
        "statefulset/db",
        {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
        GiveUp,
        "has a partition that leaves all of its pods as they are",
        id="partition",
    ),
]


@pytest.mark.parametrize(("resource", "spec", "kind", "sentence"), OBSTACLES)
async def test_a_change_that_would_restart_nothing_is_not_made(
    shop: Cluster, resource: str, spec: dict[str, Any], kind: type, sentence: str
) -> None:
    """As kubectl refuses it, or its status would never end."""
    found = shop.add(resource, **spec)
    outcome = await restart(shop, resource)
    assert type(outcome) is kind
    assert outcome.detail.startswith(f"{resource} in the namespace shop {sentence}")
    assert found["metadata"]["generation"] == 1
    seen = await verify(shop, resource)
    assert (seen.state, seen.reason[: len(sentence) + 3]) == ("down", f"it {sentence}")


async def test_of_several_restarts_at_once_one_is_made(shop: Cluster) -> None:
    """All have read the same version; the others see that there was one, and make no second."""
    together, reads = asyncio.Barrier(4), iter(range(4))

    async def until_all_read() -> None:
        if next(reads, None) is not None:
            await together.wait()

    shop.before_read = until_all_read
    async with asyncio.timeout(8):
        outcomes = await asyncio.gather(*(restart(shop) for _ in range(4)))
    assert web(shop)["metadata"]["generation"] == 2
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert outcomes.count(TOOK) == 1


async def test_a_restart_by_somebody_else_at_the_same_time_is_not_made_twice(shop: Cluster) -> None:
    def by_hand(found: Any) -> None:
        restart_by_hand(found)
        shop.touched(found)

    shop.before_patch = by_hand
    outcome = await restart(shop)
    assert outcome == Done(f"somebody else restarted {WEB} at the same time, at {OLD}: it is not restarted twice")
    assert (annotation(web(shop)), web(shop)["metadata"]["generation"]) == (OLD, 2)


async def test_any_other_change_at_the_same_time_is_another_attempt(shop: Cluster) -> None:
    """The controller writes the status of what is in trouble often."""
    shop.before_patch = shop.touched
    assert await restart(shop) == Retry(
        f"{WEB} was changed by somebody else at the same time; nothing was restarted",
        'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your '
        "changes to the latest version and try again",
    )
    assert annotation(web(shop)) is None
    shop.before_patch = None
    assert await restart(shop) == TOOK


async def test_a_lost_answer_is_looked_up(shop: Cluster) -> None:
    """The change took: a further attempt would restart everything once more."""
    shop.loses = True
    assert await restart(shop) == Done(f"the rollout of {WEB} was begun, though its answer was lost")
    assert web(shop)["metadata"]["generation"] == 2


FAILURES = [
    pytest.param("PATCH", 500, Retry, "answered 500 Internal Server Error: etcd is slow; nothing was", id="500"),
    pytest.param("PATCH", 504, Retry, "answered 504 Gateway Timeout: etcd is slow; nothing was restarted", id="504"),
    pytest.param("PATCH", 429, Retry, "answered 429 Too Many Requests: etcd is slow; nothing was", id="429"),
    pytest.param("PATCH", 422, GiveUp, "answered 422 Unprocessable", id="422"),
    pytest.param("PATCH", 302, GiveUp, "answered 302 Found, and redirects are not followed", id="302"),
    pytest.param("GET", 500, Retry, "answered 500 Internal Server Error: etcd is slow", id="read 500"),
    pytest.param("GET", 503, Retry, "answered 503 Service Unavailable: etcd is slow", id="read 503"),
    pytest.param("GET", 400, GiveUp, "answered 400 Bad Request: etcd is slow", id="read 400"),
]


@pytest.mark.parametrize(("method", "code", "kind", "sentence"), FAILURES)
async def test_a_failure_of_the_server_is_told(
    shop: Cluster, method: str, code: int, kind: type, sentence: str
) -> None:
    shop.answers = {method: (code, "etcd is\nslow")}
    outcome = await restart(shop)
    assert type(outcome) is kind
    assert outcome.detail.startswith(f"{shop.url}/… {sentence}")
    assert annotation(web(shop)) is None
    seen = await verify(shop)
    assert seen.state == ("unknown" if method == "GET" else "up")


async def test_the_token_is_in_no_word_that_comes_back(shop: Cluster) -> None:
    """Though the server sends back what it was sent; a long message is cut."""
    shop.answers = {"GET": (500, f"bad header: Bearer {shop.token}!")}
    outcome = await restart(shop)
    assert outcome.detail.endswith("bad header: Bearer <secret>!")
    assert shop.token not in repr(outcome) + repr(await verify(shop)) + repr(made(shop))
    shop.answers = {"GET": (500, "x" * 395 + shop.token * 100)}
    outcome = await restart(shop)
    assert shop.token[:6] not in repr(outcome)
    assert len(outcome.detail) < MESSAGE + 200


async def test_an_answer_that_is_no_object_is_another_attempt(shop: Cluster) -> None:
    for raw in (b"[]", b"{", b"[" * 100_000, b"\xff", b'{"a": "' + b"x" * api.DOCUMENT + b'"}'):
        shop.raw = {"GET": raw}
        told = f"{shop.url}/… answered with something that is no whole JSON object"
        assert await restart(shop) == Retry(told)
        assert (await verify(shop)).reason == told
    shop.raw = {"GET": b"{}"}
    assert isinstance(await restart(shop), GiveUp)
    assert (await verify(shop)).state == "down"
    assert all(heard.method == "GET" for heard in shop.heard)


BROKEN = [
    pytest.param(b"", "closed the connection without an answer", id="closed"),
    pytest.param(RAW["/garbage"], "answered with something that is no HTTP", id="garbage"),
    pytest.param(RAW["/cut-body"], "answered with something that is no whole JSON object", id="cut"),
    pytest.param(answer(b'{"metadata": {}}', length=400), "answered with something that is no whole", id="short"),
]


@pytest.mark.parametrize(("raw", "sentence"), BROKEN)
async def test_a_broken_answer_is_another_attempt(tmp_path: Path, raw: bytes, sentence: str) -> None:
    """In our words."""
    async with _broken(tmp_path) as (bad, found):
        bad.extra["/apis/apps/v1/namespaces/shop/deployments/web"] = raw
        outcome = await kubernetes.restart(found, ITEM, PARTS, 5.0)
        seen = await kubernetes.verify(found, PARTS, 5.0)
    assert isinstance(outcome, Retry)
    assert outcome.detail.startswith(f"https://127.0.0.1:{bad.port}/… {sentence}")
    assert (seen.state, seen.reason, seen.cause) == ("unknown", outcome.detail, "system")


@pytest.mark.parametrize("path", ["/silent", "/trickle", "/endless-continue", "/endless-body"])
async def test_a_slow_server_costs_no_more_than_the_timeout(tmp_path: Path, path: str) -> None:
    async with asyncio.timeout(8), _broken(tmp_path, path) as (_, found):
        assert isinstance(await kubernetes.restart(found, ITEM, PARTS, 0.5), Retry)
        assert (await kubernetes.verify(found, PARTS, 0.5)).state == "unknown"


async def test_a_change_that_is_not_answered_in_time_is_looked_up(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of the time is kept for that."""
    monkeypatch.setattr(kubernetes, "SHARE", 0.1)
    shop.answers_late = True
    outcome = await restart(shop, timeout=12.0)
    assert outcome == Done(f"the rollout of {WEB} was begun, though its answer was lost")


@contextlib.asynccontextmanager
async def _broken(folder: Path, path: str = "") -> AsyncIterator[tuple[BadHttp, Any]]:
    """Give a server with TLS that answers badly, and options for a deployment there."""
    authority = Authority()
    for name, text in (("ca.crt", authority.root.pem()), ("token", b"t0ken"), ("namespace", b"shop")):
        (folder / name).write_bytes(text)
    async with serving(server_context(authority.leaf(), folder)) as bad:
        keys = {"server": bad.url(path), "token_file": "token", "ca_file": "ca.crt"}
        yield bad, options({"kind": "kubernetes", "resource": "deployment/web", **keys}, folder)


async def test_a_certificate_is_always_checked(shop: Cluster, tmp_path: Path) -> None:
    """Nothing is shown to a server that another authority vouches for."""
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority().root.pem())
    outcome = await restart(shop, ca_file=str(stranger))
    assert isinstance(outcome, Retry)
    assert "has a certificate that is not trusted: check its name, or `ca_file`" in outcome.detail
    assert shop.heard == []


async def test_an_address_that_is_not_permitted_is_never_reached(shop: Cluster) -> None:
    asked: list[str] = []
    refusing = replace(PARTS, permits=lambda address: bool(asked.append(address)))
    outcome = await kubernetes.restart(made(shop), ITEM, refusing, 5.0)
    assert isinstance(outcome, GiveUp)
    assert (asked, shop.heard) == (["127.0.0.1"], [])


async def test_cancelling_closes_the_connection(tmp_path: Path) -> None:
    """The server reads the end of it."""
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set()
        with contextlib.suppress(OSError):
            while await reader.read(65536):
                pass
        ended.set()
        writer.close()

    taken = asyncio.Event()
    async with asyncio.timeout(8), _broken(tmp_path) as (_, found), talking(handle) as port:
        slow = replace(found, server=f"https://127.0.0.1:{port}")
        task = asyncio.create_task(kubernetes.restart(slow, ITEM, PARTS, 60.0))
        await taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()


WRONG = [
    *(
        pytest.param({"resource": text}, "resource: ", id=repr(text))
        for text in ("web", "pod/web", "deployment/", "deployment/Web", "deployment/../x", "deployment/a/b", "job/x\n")
    ),
    *(
        pytest.param({"namespace": text}, "namespace: ", id=f"namespace {text!r}")
        for text in ("", "Shop", "a/b", "..", "-a", "a.b", "x" * 64)
    ),
    pytest.param({"server": "http://10.0.0.1"}, "server: the token would travel for everybody to read", id="no TLS"),
    pytest.param({"server": "10.0.0.1:6443"}, "server: ", id="no URL"),
    pytest.param({"server": "https://me:pw@10.0.0.1"}, "server: a user or a password", id="a password"),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG)
def test_a_mistake_in_the_configuration_has_its_sentence(keys: dict[str, Any], sentence: str) -> None:
    [told] = mistakes({"kind": "kubernetes", "resource": "deployment/web", **keys})
    assert told.startswith(sentence)
