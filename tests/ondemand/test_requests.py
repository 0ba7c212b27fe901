"""Probes that a request asks for: what is refused, what is reached, and what is told."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from servers.programs import find, run

from exporter import probing
from exporter.blackbox import known
from exporter.blackbox.modules import read_text
from exporter.clock import SystemClock
from exporter.config import Configuration
from exporter.config.options import Choice, Secret
from exporter.exposition import checked
from exporter.guard import Guard
from exporter.ondemand import FAMILIES, OnDemand
from exporter.ondemand.requests import AT_ONCE
from exporter.probes import command, http
from exporter.probes.http.options import BasicAuth
from exporter.services.options import ModuleTiming
from exporter.web.services import ProbeRefusal, ProbeRequest
from exporter.wire import Wire

HOST = "127.0.0.1"


@pytest.fixture
async def server():
    """Give a factory of servers: each answers as it is told and counts who came."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", *, until=None):
            async def talk(reader, writer):
                made.heads.append(await reader.readuntil(b"\r\n\r\n"))
                if until is not None:
                    await until.wait()
                with contextlib.suppress(ConnectionError):
                    writer.write(answer)
                    await writer.drain()
                writer.close()

            made = SimpleNamespace(heads=[])
            listening = await stack.enter_async_context(await asyncio.start_server(talk, HOST, 0, backlog=200))
            made.port = listening.sockets[0].getsockname()[1]
            made.place = f"{HOST}:{made.port}"
            made.url = f"http://{made.place}/"
            return made

        yield start


@pytest.fixture
async def ondemand(tmp_path):
    """Give a factory: modules in blackbox_exporter's words (or choices), what is allowed, and services."""
    wire = Wire()

    def make(modules=None, allow=("127.0.0.0/8",), services=(), choices=None):
        guard = Guard(allow)
        parts = probing.Parts(wire=wire, databases={}, clock=SystemClock(), permits=guard.configured)
        found = read_text(json.dumps({"modules": modules or {}}), "modules", tmp_path)
        assert not found.mistakes

        def named(name, client):
            return [one for one in services if one.name == name and client in (None, one.client)]

        made = known(Configuration()).choices if modules is None and choices is None else found.choices
        return OnDemand({**made, **(choices or {})}, found.refused, named, guard, parts)

    yield make
    await wire.close()


def service(name="web", client="default", **more):
    facts = {"kind": "http", "timeout": 5.0, "slow_after": None, "problem": None}
    return SimpleNamespace(name=name, client=client, **(facts | more))


async def metrics(ondemand, **asked):
    answer = await ondemand.probe(ProbeRequest(**asked))
    assert not isinstance(answer, ProbeRefusal), answer
    families = text_string_to_metric_families(answer.body.decode())
    return {one.name: one.value for family in families for one in family.samples if not one.labels}


async def story(ondemand, **asked):
    answer = await ondemand.probe(ProbeRequest(debug=True, **asked))
    assert answer.content_type == "text/plain; charset=utf-8"
    return answer.body.decode()


async def refusal(ondemand, **asked):
    answer = await ondemand.probe(ProbeRequest(**asked))
    assert isinstance(answer, ProbeRefusal), answer
    assert answer.detail.endswith(".")
    return answer


def test_the_families_may_be_exposed():
    for family in FAMILIES:
        assert checked(family).name.startswith("probe_")


async def test_without_modules_there_is_blackbox_exporters_own(ondemand, server):
    """A request that names none gets it too."""
    site = await server()
    found = await metrics(ondemand(), target=site.url)
    assert found["probe_success"] == 1
    assert found["probe_http_status_code"] == 200
    assert found["probe_timeout_seconds"] == 120
    assert await metrics(ondemand(), module="http_2xx", target=site.place)


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 400, "`target` is missing"),
        ({"target": ""}, 400, "`target` is missing"),
        ({"module": "http_2x", "target": "127.0.0.1"}, 400, "did you mean 'http_2xx'"),
        ({"module": "grpc", "target": "127.0.0.1"}, 400, "gRPC health checks are not carried over"),
        ({"module": "tcp", "target": "127.0.0.1"}, 400, "has no port"),
        ({"module": "program", "target": "127.0.0.1"}, 400, "cannot probe this target"),
        ({"target": "http://127.0.0.1/\r\nX: y"}, 400, "control character"),
        ({"target": "http://127.0.0.1:99999/"}, 400, "no proper host and port"),
        ({"target": "http://127.0.0.1/", "hostname": "a b"}, 400, "space or a control character"),
        ({"target": "http://127.0.0.1/", "hostname": "a" * 300}, 400, "too long"),
        ({"target": "http://127.0.0.1/", "hostname": "http://b.example"}, 400, "more than a host"),
        ({"target": "http://127.0.0.1/", "hostname": "b.example/c"}, 400, "more than a host"),
        ({"target": "http://127.0.0.1/", "hostname": "b.example?c"}, 400, "more than a host"),
        ({"module": "named", "target": "http://127.0.0.1/", "hostname": "b.example"}, 400, "a header Host already"),
        ({"target": "http://0x7f000001/"}, 403, "no canonical address"),
        ({"target": "http://user@127.0.0.1/"}, 403, "a user or a password"),
        ({"target": "file:///etc/passwd"}, 403, "only URLs of http and https"),
        ({"target": "http://192.168.0.1/"}, 403, "is not in `probing: {allow: [...]}`"),
        ({"target": "http://169.254.169.254/latest/"}, 403, "credentials"),
        ({"target": "http://[::ffff:169.254.169.254]/"}, 403, "leads to 169.254.169.254"),
        ({"module": "proxied", "target": "http://web.example/"}, 403, "a proxy looks it up"),
        ({"service": "web"}, 400, "There is no service 'web' here"),
        ({"service": "twice"}, 400, "add client= with one of 'a', 'b'"),
        ({"service": "twice", "client": "c"}, 400, "of the client 'c'"),
        ({"service": "broken"}, 400, "cannot be probed: its key is gone"),
        ({"service": "broken", "target": "127.0.0.1"}, 400, "not both"),
        ({"service": "broken", "module": "http_2xx"}, 400, "not both"),
    ],
)
async def test_what_cannot_be_asked_is_refused_in_words(ondemand, asked, status, words):
    """Before anything is connected to."""
    modules = {
        "http_2xx": {"prober": "http"},
        "grpc": {"prober": "grpc"},
        "tcp": {"prober": "tcp"},
        "named": {"prober": "http", "http": {"headers": {"Host": "a.example"}}},
        "proxied": {"prober": "http", "http": {"proxy_url": "http://127.0.0.1:3128"}},
    }
    program = Choice("command", command.Options(argv=("/bin/true",)), ModuleTiming())
    services = [service("twice", "a"), service("twice", "b"), service("broken", problem="its key is gone")]
    found = await refusal(ondemand(modules, services=services, choices={"program": program}), **asked)
    assert found.status == status
    assert words in found.detail


async def test_a_service_is_probed_whatever_is_allowed(ondemand, server):
    """It is configured: the list is for targets from outside."""
    site = await server()
    services = [service(options=http.Options(url=site.url), timeout=3.0), service("other", options=None)]
    probes = ondemand(allow=(), services=services)
    found = await metrics(probes, service="web")
    assert (found["probe_success"], found["probe_timeout_seconds"]) == (1, 3)
    assert (await metrics(probes, service="web", client="default"))["probe_success"] == 1
    assert (await refusal(probes, target=site.url)).status == 403


async def test_a_configured_service_never_leads_to_metadata(ondemand):
    """Not even by the configuration."""
    services = [service(options=http.Options(url="http://169.254.169.254/"))]
    told = await story(ondemand(services=services), service="web")
    assert "cause refused" in told
    assert "probe_success 0" in told


async def test_a_name_that_leads_elsewhere_is_not_connected_to(ondemand, server):
    """What is connected to counts, not what was asked for."""
    site = await server()
    probes = ondemand(allow=("10.0.0.0/8",))
    target = f"http://localhost:{site.port}/"
    found = await metrics(probes, target=target)
    assert found["probe_success"] == 0
    assert "cause refused" in await story(probes, target=target)
    assert site.heads == []
    assert (await metrics(ondemand(allow=("localhost",)), target=target))["probe_success"] == 1


async def test_an_allowed_name_that_begins_to_lead_to_metadata_is_refused(ondemand, monkeypatch):
    """As when somebody else has come to own the name."""
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry])
    told = await story(ondemand(allow=("web.example",)), target="http://web.example/")
    assert "cause refused" in told
    assert "probe_success 0" in told


@pytest.mark.parametrize(
    ("allow", "success"),
    [(("localhost",), 0), (("localhost", "127.0.0.1"), 1)],
    ids=["only the name", "the address too"],
)
async def test_a_redirect_leads_only_where_a_target_could(ondemand, server, allow, success):
    """An allowed name may be at any address, and still not send us to another host at that address."""
    inside = await server()
    front = await server(f"HTTP/1.1 302 Found\r\nLocation: {inside.url}\r\nContent-Length: 0\r\n\r\n".encode())
    found = await metrics(ondemand(allow=allow), target=f"http://localhost:{front.port}/")
    assert found["probe_success"] == success
    assert len(front.heads) == 1
    assert len(inside.heads) == success


async def test_through_a_proxy_a_redirect_is_not_followed(ondemand, server):
    """Nobody here would see where it leads."""
    proxy = await server(b"HTTP/1.1 302 Found\r\nLocation: http://inside.example/\r\nContent-Length: 0\r\n\r\n")
    modules = {"proxied": {"prober": "http", "http": {"proxy_url": proxy.url.rstrip("/")}}}
    probes = ondemand(modules, allow=("web.example",))
    found = await metrics(probes, module="proxied", target="http://web.example/")
    assert (found["probe_success"], found["probe_http_status_code"]) == (0, 302)
    assert [head.split(b"\r\n")[0] for head in proxy.heads] == [b"GET http://web.example/ HTTP/1.1"]


async def test_a_probe_takes_no_longer_than_the_scrape_leaves_nor_than_the_module_says(ondemand, server):
    """The smaller of the two, and it is shown."""
    never = asyncio.Event()
    site = await server(until=never)
    modules = {"quick": {"prober": "http", "timeout": "100ms"}, "patient": {"prober": "http", "timeout": "1h"}}
    for asked in ({"module": "quick", "timeout": 60.0}, {"module": "quick"}, {"module": "patient", "timeout": 0.1}):
        found = await metrics(ondemand(modules), target=site.url, **asked)
        assert found["probe_success"] == 0
        assert found["probe_timeout_seconds"] == pytest.approx(0.1)
        assert found["probe_duration_seconds"] >= 0.05
    never.set()


async def test_so_many_probes_run_at_once_and_no_more(ondemand, server):
    """The others come again; when one has ended there is room."""
    go = asyncio.Event()
    site = await server(until=go)
    probes = ondemand()
    running = [asyncio.create_task(metrics(probes, target=site.url)) for _ in range(AT_ONCE)]
    async with asyncio.timeout(20):
        while len(site.heads) < AT_ONCE:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
        assert (await refusal(probes, target=site.url)).status == 503
        go.set()
        assert {found["probe_success"] for found in await asyncio.gather(*running)} == {1}
        assert (await metrics(probes, target=site.url))["probe_success"] == 1


async def test_runs_of_one_service_take_turns(ondemand, server):
    """However many ask for it at once: its probe may be a command, and anybody may ask."""
    go = asyncio.Event()
    site = await server(until=go)
    probes = ondemand(services=[service(options=http.Options(url=site.url))])
    running = [asyncio.create_task(metrics(probes, service="web")) for _ in range(5)]
    async with asyncio.timeout(20):
        while not site.heads:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
        assert (await refusal(probes, service="other")).status == 400
        assert len(site.heads) == 1
        go.set()
        assert {found["probe_success"] for found in await asyncio.gather(*running)} == {1}
    assert len(site.heads) == 5


async def test_nobody_waits_for_a_turn_longer_than_a_probe_may_last(ondemand, server):
    """A service that hangs would else hold every place, each for as long as the queue before it."""
    go = asyncio.Event()
    site = await server(until=go)
    probes = ondemand(services=[service(options=http.Options(url=site.url), timeout=20.0)])
    first = asyncio.create_task(metrics(probes, service="web"))
    async with asyncio.timeout(20):
        while not site.heads:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
        late = [refusal(probes, service="web", timeout=0.1) for _ in range(AT_ONCE - 1)]
        assert {one.status for one in await asyncio.gather(*late)} == {503}
        go.set()
        assert (await first)["probe_success"] == 1
        assert (await metrics(probes, service="web"))["probe_success"] == 1
    assert len(site.heads) == 2


async def test_the_story_has_every_step_and_no_secret(ondemand, server):
    """Credentials, bodies and headers stay out of it, also when they are refused."""
    site = await server(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")
    auth = BasicAuth(username="alice", password=Secret("hunter2-hunter2"))
    options = http.Options(
        url="http://target.invalid", basic_auth=auth, body="body-secret", headers={"X-Key": "key-secret"}
    )
    token = replace(options, basic_auth=None, bearer_token=Secret("token-secret"))
    choices = {"basic": Choice("http", options, ModuleTiming()), "token": Choice("http", token, ModuleTiming())}
    for module in choices:
        told = await story(ondemand(choices=choices), module=module, target=f"{site.url}?q=1")
        assert told.startswith(
            f"Probe of the target '{site.url}?q=1' with the module '{module}', kind http, at most 5 s"
        )
        assert "Reading: down, cause status" in told
        assert f"{site.url}" in told.partition("Steps:")[2].partition("Reading:")[0]
        assert "\nprobe_http_status_code 500\n" in told
        for secret in ("hunter2", "body-secret", "key-secret", "token-secret"):
            assert secret not in told
    assert b"YWxpY2U6aHVudGVyMi1odW50ZXIy" in site.heads[0]
    assert b"Bearer token-secret" in site.heads[1]


async def test_a_hostname_is_sent_as_the_host(ondemand, server):
    """As blackbox_exporter's parameter does."""
    site = await server()
    await metrics(ondemand(), target=site.url, hostname="other.example:8080")
    assert b"\r\nHost: other.example:8080\r\n" in site.heads[0]


async def test_the_form_is_negotiated_and_compressed(ondemand, server):
    """As at `/metrics`."""
    site = await server()
    asked = ProbeRequest(
        target=site.url, accept="application/openmetrics-text; version=1.0.0", accept_encoding="gzip, deflate"
    )
    answer = await ondemand().probe(asked)
    assert answer.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert answer.content_encoding == "gzip"
    names = {family.name for family in openmetrics(gzip.decompress(answer.body).decode())}
    assert {"probe_success", "probe_duration_seconds", "probe_http_status_code"} <= names


async def test_promtool_finds_nothing_to_mend(ondemand, server):
    """Prometheus' own check of an exposition."""
    site = await server()
    answer = await ondemand().probe(ProbeRequest(target=site.url))
    told = await asyncio.to_thread(
        run, [find("promtool", "Prometheus"), "check", "metrics"], stdin=answer.body.decode()
    )
    assert told == ""


SCHEMES = st.sampled_from(["", "http://", "https://[", "//", "only.example@", "\\"])
WORDS = st.none() | st.text(max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(scheme=SCHEMES, rest=st.text(max_size=60), module=WORDS, hostname=WORDS)
def test_nothing_that_can_be_asked_breaks_it(ondemand, scheme, rest, module, hostname):
    """Where no network is allowed, every text but the allowed name is refused in words."""
    probes = ondemand({"http_2xx": {"prober": "http"}, "tcp": {"prober": "tcp"}}, allow=("only.example",))
    answer = asyncio.run(probes.probe(ProbeRequest(target=scheme + rest, module=module, hostname=hostname)))
    assert isinstance(answer, ProbeRefusal)
    assert answer.status in {400, 403}
