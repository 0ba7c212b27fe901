"""The same targets and the same file of modules, asked by blackbox_exporter and by us."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl

import pytest
import trustme
from aiohttp import web
from servers.blackbox import Blackbox
from servers.dns import NameServer, serving
from servers.fixtures import _needed
from servers.programs import short_folder

from exporter import probing
from exporter.blackbox.modules import read
from exporter.clock import SystemClock
from exporter.guard import Guard
from exporter.ondemand import OnDemand
from exporter.web.services import ProbeRequest
from exporter.wire import Wire

HOST = "127.0.0.1"
MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def folder(authority):
    """Give a folder with the certificate of the authority, which blackbox_exporter may read."""
    with short_folder() as made:
        authority.cert_pem.write_to_path(str(made / "ca.pem"))
        (made / "password").write_text("wonderland", encoding="utf-8")
        yield made


@pytest.fixture(scope="session")
def modules_file(folder):
    """Give modules that use what blackbox_exporter 0.23 knows; JSON is YAML."""
    tls = {"tls_config": {"ca_file": str(folder / "ca.pem"), "server_name": "web.example"}}
    four = {"preferred_ip_protocol": "ip4"}
    http = {
        "http_2xx": {},
        "post": {"method": "POST", "body": "hello", "headers": {"Content-Type": "text/plain"}},
        "not_found": {"valid_status_codes": [404, 410]},
        "stay": {"follow_redirects": False},
        "old_stay": {"no_follow_redirects": True},
        "moved": {"follow_redirects": False, "valid_status_codes": [302]},
        "found": {"fail_if_body_not_matches_regexp": ["[Hh]ello", "world$"]},
        "forbidden": {"fail_if_body_matches_regexp": ["world"]},
        "header": {"fail_if_header_not_matches": [{"header": "content-type", "regexp": "^text/"}]},
        "header_wrong": {"fail_if_header_not_matches": [{"header": "Content-Type", "regexp": "^image/"}]},
        "header_forbidden": {
            "fail_if_header_matches": [{"header": "Last-Modified", "regexp": ".", "allow_missing": True}]
        },
        "header_absent": {"fail_if_header_matches": [{"header": "X-Missing", "regexp": "."}]},
        "header_may_miss": {"fail_if_header_matches": [{"header": "X-Missing", "regexp": ".", "allow_missing": True}]},
        "basic": {"basic_auth": {"username": "alice", "password_file": str(folder / "password")}},
        "bearer": {"bearer_token": "let-me-in"},
        "authorization": {"authorization": {"credentials": "let-me-in"}},
        "gzip": {
            "compression": "gzip",
            "headers": {"Accept-Encoding": "gzip"},
            "fail_if_body_not_matches_regexp": ["world"],
        },
        "limited": {"body_size_limit": "5B"},
        "limited_enough": {"body_size_limit": "1KB"},
        "only_tls": {"fail_if_not_ssl": True},
        "no_tls": {"fail_if_ssl": True, **tls},
        "trusting": tls,
        "careless": {"tls_config": {"insecure_skip_verify": True}},
        "version": {"valid_http_versions": ["HTTP/1.1"]},
        "version_wrong": {"valid_http_versions": ["HTTP/1.0"]},
    }
    tcp = {
        "tcp": {},
        "banner": {"query_response": [{"expect": "^SSH-2.0-"}]},
        "banner_wrong": {"query_response": [{"expect": "^220 "}]},
        "groups": {"query_response": [{"expect": "^SSH-2.0-(.*)$", "send": "HELLO ${1}"}, {"expect": "^HELLO tests$"}]},
        "tcp_tls": {"tls": True, **tls},
        "tcp_untrusted": {"tls": True},
    }
    dns = {
        "dns_a": {"query_name": "www.example.org", "query_type": "A"},
        "dns_any": {"query_name": "www.example.org"},
        "dns_tcp": {"query_name": "www.example.org", "query_type": "A", "transport_protocol": "tcp"},
        "dns_soa": {"query_name": "example.org", "query_type": "SOA"},
        "dns_missing": {"query_name": "missing.example.org", "query_type": "A"},
        "dns_missing_wanted": {"query_name": "missing.example.org", "query_type": "A", "valid_rcodes": ["NXDOMAIN"]},
        "dns_checked": {
            "query_name": "www.example.org",
            "query_type": "A",
            "validate_answer_rrs": {"fail_if_not_matches_regexp": ["192\\.0\\.2\\.1$"]},
        },
        "dns_wrong": {
            "query_name": "www.example.org",
            "query_type": "A",
            "validate_answer_rrs": {"fail_if_matches_regexp": ["192\\.0\\.2\\.1$"]},
        },
    }
    made = {name: {"prober": "http", "timeout": "5s", "http": {**four, **one}} for name, one in http.items()}
    made |= {name: {"prober": "tcp", "timeout": "2s", "tcp": {**four, **one}} for name, one in tcp.items()}
    made |= {name: {"prober": "dns", "timeout": "5s", "dns": {**four, **one}} for name, one in dns.items()}
    made["icmp"] = {"prober": "icmp", "timeout": "5s", "icmp": four}
    path = folder / "blackbox.yml"
    path.write_text(json.dumps({"modules": made}), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def theirs(folder, modules_file):
    """Give a running blackbox_exporter."""
    with _needed():
        server = Blackbox(folder, modules_file)
    yield server
    server.stop()


@pytest.fixture
async def ours(modules_file):
    """Give what our `/probe` answers, without the web around it."""
    found = read(modules_file)
    wire = Wire()
    guard = Guard(("127.0.0.0/8", "::1", "localhost"))
    parts = probing.Parts(wire=wire, databases={}, clock=SystemClock(), permits=guard.configured)
    ondemand = OnDemand(found.choices, found.refused, lambda *_: (), guard, parts)

    async def probe(**parameters):
        answer = await ondemand.probe(ProbeRequest(**parameters))
        return answer.body.decode()

    yield probe
    await wire.close()


async def _page(request):
    if request.method == "POST" and await request.text() != "hello":
        return web.Response(status=400)
    return web.Response(text="Hello world", headers={"Last-Modified": MODIFIED})


async def _status(request):
    return web.Response(status=int(request.match_info["code"]), text="said")


async def _redirect(request):
    left = int(request.match_info["left"])
    return web.Response(status=302, headers={"Location": f"/redirect/{left - 1}" if left else "/"})


async def _secret(request):
    allowed = ("Basic YWxpY2U6d29uZGVybGFuZA==", "Bearer let-me-in")
    return web.Response(status=200 if request.headers.get("Authorization") in allowed else 401)


async def _gzipped(_):
    return web.Response(body=gzip.compress(b"Hello world"), headers={"Content-Encoding": "gzip"})


async def _named(request):
    return web.Response(status=200 if request.headers["Host"] == "other.example" else 404)


@pytest.fixture
async def site(authority):
    """Give the URLs of a site, plain and over TLS."""
    app = web.Application()
    app.router.add_route("*", "/", _page)
    app.router.add_get("/status/{code}", _status)
    app.router.add_get("/redirect/{left}", _redirect)
    app.router.add_get("/secret", _secret)
    app.router.add_get("/gzip", _gzipped)
    app.router.add_get("/named", _named)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("web.example").configure_cert(context)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    sites = [web.TCPSite(runner, HOST, 0), web.TCPSite(runner, HOST, 0, ssl_context=context)]
    for one in sites:
        await one.start()
    ports = [one._server.sockets[0].getsockname()[1] for one in sites]
    yield {"http": f"http://{HOST}:{ports[0]}", "https": f"https://{HOST}:{ports[1]}"}
    await runner.cleanup()


@pytest.fixture
async def peers(authority):
    """Give the addresses of TCP servers by name: a banner, silence over TLS, and nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("web.example").configure_cert(context)

    async def banner(reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(b"SSH-2.0-tests\r\n")
            writer.write(await reader.readline())
            await writer.drain()
        writer.close()

    async def silence(reader, writer):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await reader.read()
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        found = {}
        for name, talk, tls in (("banner", banner, None), ("tls", silence, context)):
            server = await stack.enter_async_context(await asyncio.start_server(talk, HOST, 0, ssl=tls))
            found[name] = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        nobody = await asyncio.start_server(silence, HOST, 0)
        found["nobody"] = f"{HOST}:{nobody.sockets[0].getsockname()[1]}"
        nobody.close()
        await nobody.wait_closed()
        yield found


@pytest.fixture
async def name_server():
    """Give a name server with the records of a small zone."""
    soa = "ns.example.org. admin.example.org. 2026010203 7200 3600 1209600 300"
    zone = {
        ("www.example.org.", "A"): ["192.0.2.1"],
        ("www.example.org.", "ANY"): [],
        ("example.org.", "SOA"): [soa],
    }
    async with serving(NameServer(zone=zone, authority=["example.org. NS ns.example.org."])) as started:
        yield started
