from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import aiohttp
import pytest
import trustme

from exporter.errors import WebConfigError
from exporter.web.tls import is_allowed

PAIR = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
VERIFY = PAIR + "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
OPTIONAL = VERIFY.replace("RequireAndVerify", "Verify").replace("ClientCert\n", "ClientCertIfGiven\n")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure(serve, tmp_path, authority):
    """Start one listener with this web configuration and return its URL."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))

    def issue(name="localhost"):
        made = authority.issue_cert(name, "127.0.0.1")
        made.cert_chain_pems[0].write_to_path(str(tmp_path / "server.crt"))
        made.private_key_pem.write_to_path(str(tmp_path / "server.key"))

    async def start(text):
        issue()
        path = tmp_path / "web.yml"
        path.write_text(text)
        return (await serve(web_config=path))[0]

    start.issue = issue
    return start


@pytest.fixture
def client(authority):
    """Make a client's context, with a certificate for `names` when there are any."""

    def make(*names, of=None, lowest=None, highest=None):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if names:
            (of or authority).issue_cert(*names).configure_cert(context)
        if lowest:
            context.minimum_version = lowest
        if highest:
            context.maximum_version = highest
        return context

    return make


async def get(url, context, path="/metrics"):
    async with aiohttp.request("GET", url + path, ssl=context) as response:
        await response.read()
        return response.status, response.headers


async def test_https_is_answered_and_asks_browsers_to_stay(secure, client):
    url = await secure(PAIR)
    assert url.startswith("https://")
    status, headers = await get(url, client())
    assert status == 200
    assert headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("text", "version", "works"),
    [
        (PAIR, ssl.TLSVersion.TLSv1_2, True),
        (PAIR, ssl.TLSVersion.TLSv1_3, True),
        (PAIR, ssl.TLSVersion.TLSv1_1, False),
        (PAIR + "  min_version: TLS13\n", ssl.TLSVersion.TLSv1_2, False),
        (PAIR + "  max_version: TLS12\n", ssl.TLSVersion.TLSv1_3, False),
        (PAIR + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", ssl.TLSVersion.TLSv1_2, False),
    ],
)
async def test_only_the_configured_versions_are_spoken(secure, client, text, version, works):
    url = await secure(text)
    context = client(lowest=version, highest=version)
    if works:
        assert (await get(url, context))[0] == 200
        return
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(url, context)


async def test_the_named_ciphers_are_the_only_ones_of_tls_1_2(secure, client):
    names = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    url = await secure(PAIR + f"  cipher_suites: [{names}]\n")
    port = int(url.rpartition(":")[2])

    def cipher():
        context = client(highest=ssl.TLSVersion.TLSv1_2)
        with (
            socket.create_connection(("127.0.0.1", port), 5) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            return wrapped.cipher()[0]

    assert (await asyncio.to_thread(cipher)).endswith("AES256-GCM-SHA384")


def knows_x25519():
    """Older Pythons can name only curves that OpenSSL has as elliptic curve keys."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve("X25519")
    except (ValueError, ssl.SSLError):
        return False
    return True


@pytest.mark.parametrize("curve", ["CurveP256", "CurveP384", "CurveP521", "X25519"])
async def test_each_curve_can_be_preferred(secure, client, curve):
    if curve == "X25519" and not knows_x25519():
        with pytest.raises(WebConfigError, match="does not know a cipher suite or a curve"):
            await secure(PAIR + f"  curve_preferences: [{curve}]\n")
        return
    url = await secure(PAIR + f"  curve_preferences: [{curve}]\n")
    assert (await get(url, client()))[0] == 200


@pytest.mark.parametrize(
    ("text", "names", "stranger", "status"),
    [
        (VERIFY, ("prometheus",), False, 200),
        (VERIFY, (), False, None),
        (VERIFY, ("prometheus",), True, None),
        (OPTIONAL, (), False, 200),
        (OPTIONAL, ("prometheus",), False, 200),
        (OPTIONAL, ("prometheus",), True, None),
        (VERIFY + "  client_allowed_sans: [prometheus, 10.0.0.1]\n", ("prometheus",), False, 200),
        (VERIFY + "  client_allowed_sans: [prometheus, 10.0.0.1]\n", ("10.0.0.1",), False, 200),
        (VERIFY + "  client_allowed_sans: [me@example.org]\n", ("me@example.org",), False, 200),
        (VERIFY + "  client_allowed_sans: ['2001:db8::1']\n", ("2001:db8::1",), False, 200),
        (VERIFY + "  client_allowed_sans: [prometheus]\n", ("grafana",), False, None),
        (VERIFY + "  client_allowed_sans: [prometheus]\n", ("prometheus.evil.example",), False, None),
    ],
)
async def test_client_certificates_are_asked_for_as_configured(secure, client, text, names, stranger, status):
    url = await secure(text)
    context = client(*names, of=trustme.CA() if stranger else None)
    if status is None:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await get(url, context)
        return
    assert (await get(url, context))[0] == status


@pytest.mark.parametrize(("names", "status"), [(("prometheus",), 200), ((), 401)])
async def test_a_verified_certificate_may_reload_and_none_may_not(secure, client, services, names, status):
    url = await secure(OPTIONAL)
    async with aiohttp.request("POST", f"{url}/-/reload", ssl=client(*names)) as response:
        assert response.status == status
    assert services.reloads == (status == 200)


async def test_a_renewed_certificate_is_used_by_the_next_connection(secure, client, monkeypatch):
    monkeypatch.setattr("exporter.web.access._LOOK_EVERY", 0.0)
    url = await secure(PAIR)
    port = int(url.rpartition(":")[2])

    def names():
        with (
            socket.create_connection(("127.0.0.1", port), 5) as raw,
            client().wrap_socket(raw, server_hostname="127.0.0.1") as wrapped,
        ):
            return {value for kind, value in wrapped.getpeercert()["subjectAltName"] if kind == "DNS"}

    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/-/healthy", ssl=client()) as response:
            await response.read()
        assert await asyncio.to_thread(names) == {"localhost"}
        secure.issue("renewed.example")
        assert await asyncio.to_thread(names) == {"renewed.example"}
        async with session.get(f"{url}/-/healthy", ssl=client()) as response:
            assert response.status == 200


async def test_plain_http_to_a_tls_port_is_closed_without_an_answer(secure, talk):
    url = await secure(PAIR)
    answer = await talk(url, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP/1.1" not in answer


async def test_a_handshake_that_is_never_finished_is_closed(secure, talk, monkeypatch):
    monkeypatch.setattr("exporter.web.acceptor._HANDSHAKE_SECONDS", 0.5)
    url = await secure(PAIR)
    with contextlib.suppress(ConnectionResetError):
        assert await talk(url, b"\x16\x03\x01") == b""


async def test_handshakes_count_as_connections(secure, monkeypatch):
    monkeypatch.setattr("exporter.web.limits.CONNECTIONS", 4)
    url = await secure(PAIR)
    port = int(url.rpartition(":")[2])
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    for _, each in (*held, (reader, writer)):
        each.close()


async def test_who_does_not_read_over_tls_is_cut_too(secure, eventually, serve, services, client, monkeypatch):
    monkeypatch.setattr("exporter.web.limits.WRITE_DEADLINE", 0.5)
    monkeypatch.setattr("exporter.web.limits.SWEEP_EVERY", 0.1)
    services.answer = type(services.answer)(b"x" * 20_000_000, "text/plain")
    url = await secure(PAIR)
    raw = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    _, writer = await asyncio.open_connection(sock=raw, ssl=client(), server_hostname="localhost", limit=1024)
    writer.transport.pause_reading()
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    connections = serve.web._listeners[0]._connections
    await eventually(lambda: services.scrapes and not len(connections))
    writer.transport.abort()


@pytest.mark.parametrize(
    ("peer", "allowed", "expected"),
    [
        (None, frozenset(), True),
        (None, frozenset({"a"}), False),
        ({}, frozenset({"a"}), False),
        ({"subjectAltName": (("DNS", "a"),)}, frozenset({"a"}), True),
        ({"subjectAltName": (("DNS", "*.a"),)}, frozenset({"b.a"}), False),
        ({"subjectAltName": (("URI", "spiffe://x/y"),)}, frozenset({"spiffe://x/y"}), True),
        ({"subjectAltName": (("IP Address", "0:0:0:0:0:0:0:1"),)}, frozenset({"::1"}), True),
        ({"subject": ((("commonName", "a"),),)}, frozenset({"a"}), False),
    ],
)
def test_a_certificate_is_allowed_by_an_exact_alternative_name(peer, allowed, expected):
    assert is_allowed(peer, allowed) is expected
