"""Who may send alerts, and which listeners do not begin without a credential: S01 and S13 of the specification."""

from __future__ import annotations

import ast
import asyncio
import base64
import inspect
import itertools
import logging
import ssl
import textwrap
from types import SimpleNamespace

import aiohttp
import bcrypt
import pytest
import trustme

from exporter import config
from exporter.config.options import Secret
from exporter.errors import InvalidConfigurationError
from exporter.web import auth
from exporter.web.access import WatchedAccess
from exporter.web.auth import is_token
from exporter.web.options import PARTS, ListenerOptions, is_loopback
from exporter.web.routes import Served, application

TOKEN = "correct-horse-battery-staple"
PATH = "/api/v1/alerts"
BODY = b'{"version": "4", "alerts": []}'
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"
GIVEN = f"{TLS}, client_ca_file: ca.crt, client_auth_type: VerifyClientCertIfGiven}}\n"
REQUIRED = GIVEN.replace("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


async def post(url, header=None, context=None, path=PATH):
    headers = {} if header is None else {"Authorization": header}
    async with aiohttp.request("POST", url + path, data=BODY, headers=headers, ssl=context or True) as response:
        await response.read()
        return response


@pytest.fixture
def users(tmp_path, hashed):
    path = tmp_path / "users.yml"
    path.write_text(f"basic_auth_users: {{alice: {hashed}}}\n")
    return path


SENT = {
    "nothing": (None, None),
    "the token": (f"Bearer {TOKEN}", "token"),
    "the token in other words": (f"bEARER   {TOKEN} ", "token"),
    "a user": (basic("alice:wonderland"), "user:alice"),
    "a wrong token": ("Bearer correct-horse", None),
    "more than the token": (f"Bearer {TOKEN}x", None),
    "the token twice": (f"Bearer {TOKEN}, Bearer {TOKEN}", None),
    "an empty token": ("Bearer ", None),
    "no token": ("Bearer", None),
    "the token alone": (TOKEN, None),
    "the token as a password": (basic(f"alice:{TOKEN}"), None),
    "the token as a user": (basic(f"{TOKEN}:"), None),
    "a user as a token": ("Bearer alice:wonderland", None),
    "a wrong password": (basic("alice:wonder"), None),
    "nobody": (basic("mallory:wonderland"), None),
    "another scheme": (f"Token {TOKEN}", None),
    "a surrogate": ("Bearer \udcff", None),
}


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT.keys())
@pytest.mark.parametrize("has_token", [True, False], ids=["token", "no token"])
@pytest.mark.parametrize("has_users", [True, False], ids=["users", "no users"])
async def test_whoever_proves_one_of_the_credentials_may_send(serve, services, users, sent, has_token, has_users):
    """The token works beside users, who are asked for everywhere else; what is not configured lets nobody in."""
    header, sender = sent
    services.webhook_secret = Secret(TOKEN) if has_token else None
    (url,) = await serve(web_config=users if has_users else None)
    response = await post(url, header)
    may = (sender == "token" and has_token) or (sender == "user:alice" and has_users)
    assert response.status == (200 if may else 401)
    assert services.received == ([(BODY, sender)] if may else [])
    assert services.delivered == [response.status]
    if not may:
        schemes = [challenge.split()[0] for challenge in response.headers.getall("WWW-Authenticate")]
        assert schemes == (["Bearer", "Basic"] if has_users else ["Bearer"])


@pytest.mark.parametrize("secret", [None, Secret("")], ids=["none", "empty"])
async def test_without_any_credential_it_is_401_and_says_what_to_configure(serve, services, secret):
    services.webhook_secret = secret
    (url,) = await serve()
    async with aiohttp.request("POST", url + PATH, data=BODY, headers={"Authorization": "Bearer "}) as response:
        told = await response.json(content_type=None)
    assert (told["status"], told["code"]) == (401, "unauthorized")
    assert "set alertmanager.bearer_token_file" in told["detail"]


async def test_a_reload_changes_the_token_for_the_next_request(serve, services):
    (url,) = await serve()
    found = []
    for secret in (None, Secret("one-of-sixteen-letters"), Secret(TOKEN), None):
        services.webhook_secret = secret
        found.append((await post(url, f"Bearer {TOKEN}")).status)
    assert found == [401, 401, 200, 401]


async def test_the_token_opens_nothing_else(serve, services, users):
    services.webhook_secret = Secret(TOKEN)
    (url,) = await serve(web_config=users)
    assert (await post(url, f"Bearer {TOKEN}", path="/-/reload")).status == 401
    async with aiohttp.request("GET", f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        assert response.status == 401
    assert services.reloads == 0


@pytest.mark.parametrize("header", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}], ids=str)
async def test_a_page_of_another_site_delivers_nothing(serve, services, header):
    services.webhook_secret = Secret(TOKEN)
    (url,) = await serve()
    headers = {"Authorization": f"Bearer {TOKEN}", **header}
    async with aiohttp.request("POST", url + PATH, data=BODY, headers=headers) as response:
        assert response.status == 403
    assert (services.received, services.delivered) == ([], [403])


async def test_refusals_are_one_line_in_a_while_without_what_was_given(serve, services, users, caplog):
    services.webhook_secret = Secret(TOKEN)
    (url,) = await serve(web_config=users)
    for header in (None, "Bearer guessed-token", basic("alice:hunter2"), basic("secret-as-user:")) * 5:
        assert (await post(url, header)).status == 401
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.fields == {"client": "127.0.0.1", "credential": "none"}
    for word in ("guessed-token", "hunter2", "secret-as-user", TOKEN):
        assert word not in caplog.text + str([record.__dict__ for record in caplog.records])


async def test_a_flood_of_wrong_passwords_is_503_and_the_token_still_gets_in(serve, services, tmp_path, monkeypatch):
    monkeypatch.setattr(auth, "_PATIENCE", 0.2)
    services.webhook_secret = Secret(TOKEN)
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users: {{eve: {bcrypt.hashpw(b'other', bcrypt.gensalt(11)).decode()}}}\n")
    (url,) = await serve(web_config=path)
    async with asyncio.timeout(30):
        flood = [asyncio.create_task(post(url, basic(f"eve:{n}"))) for n in range(60)]
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        assert (await post(url, f"Bearer {TOKEN}")).status == 200
        answers = await asyncio.gather(*flood)
    assert {answer.status for answer in answers} == {401, 503}
    assert {answer.headers["Retry-After"] for answer in answers if answer.status == 503} == {"5"}
    assert len(services.delivered) == 61


async def test_the_rate_limit_of_the_web_configuration_is_503_never_429(serve, services, tmp_path):
    """Alertmanager gives up on 429."""
    services.webhook_secret = Secret(TOKEN)
    path = tmp_path / "web.yml"
    path.write_text("rate_limit: {burst: 2, interval: 1m}\n")
    (url,) = await serve(web_config=path)
    answers = [await post(url, f"Bearer {TOKEN}") for _ in range(3)]
    assert [answer.status for answer in answers] == services.delivered == [200, 200, 503]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 61
    async with aiohttp.request("GET", f"{url}/metrics") as response:
        assert response.status == 429


# --- client certificates ---


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def folder(tmp_path, authority):
    """Return a folder with a certificate, its key, and who is trusted."""
    made = authority.issue_cert("localhost", "127.0.0.1")
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "server.crt"))
    made.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    return tmp_path


CERTIFIED = [
    (REQUIRED, True, None, "certificate"),
    (REQUIRED, True, f"Bearer {TOKEN}", "certificate"),
    (GIVEN, True, None, "certificate"),
    (GIVEN, False, None, None),
    (GIVEN, False, f"Bearer {TOKEN}", "token"),
    (TLS + "}\n", True, None, None),
    (TLS + "}\n", False, f"Bearer {TOKEN}", "token"),
]


@pytest.mark.parametrize("case", CERTIFIED, ids=lambda case: f"{'Given' in case[0]}-{case[1]}-{case[3]}")
async def test_a_verified_certificate_may_send(serve, services, folder, authority, case):
    text, has_certificate, header, sender = case
    services.webhook_secret = Secret(TOKEN)
    path = folder / "web.yml"
    path.write_text(text)
    (url,) = await serve(web_config=path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if has_certificate:
        authority.issue_cert("alertmanager").configure_cert(context)
    assert (await post(url, header, context)).status == (200 if sender else 401)
    assert services.received == ([(BODY, sender)] if sender else [])


# --- comparing: S13 ---


def test_s13_digests_of_the_same_length_are_compared_in_constant_time():
    tree = ast.parse(textwrap.dedent(inspect.getsource(is_token)))
    (compared,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest"
    ]
    assert len(compared.args) == 2
    assert ast.unparse(tree).count("hashlib.sha256(") == 2
    plainly = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert plainly == ["scheme.lower() != 'bearer'"]


# --- nothing that acts is reachable without a credential: S01 ---


def _acting():
    """Return each route of a listener with everything that is not there to be read, from the router itself."""
    services = SimpleNamespace(clock=SimpleNamespace(monotonic=float), count_delivery=None)
    app = application(ListenerOptions(), services, WatchedAccess(None, services.clock), Served())
    found = {(route.method, route.resource.canonical) for route in app.router.routes()}
    return sorted(one for one in found if one[0] not in ("GET", "HEAD"))


def test_s01_the_routes_that_act_are_those_we_know():
    """A new one stands here, and is asked below like the others."""
    assert _acting() == [("POST", "/-/reload"), ("POST", PATH)]


@pytest.mark.parametrize(("method", "path"), _acting(), ids=str)
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", basic("mallory:x"), basic(":"), "Negotiate x"])
async def test_s01_no_route_that_acts_answers_without_a_credential(serve, services, users, method, path, header):
    headers = {} if header is None else {"Authorization": header}
    for secret, web_config in itertools.product((None, Secret(""), Secret(TOKEN)), (None, users)):
        services.webhook_secret = secret
        (url,) = (await serve(web_config=web_config))[-1:]
        async with aiohttp.request(method, url + path, data=BODY, headers=headers) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"]
    assert (services.received, services.reloads) == ([], 0)


# --- refusing to start ---


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.255.255.254:1", True),
        ("[::1]:1", True),
        ("[0:0:0:0:0:0:0:1]:1", True),
        ("localhost:1", True),
        ("LocalHost:1", True),
        (":1", False),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("[::ffff:127.0.0.1]:1", False),
        ("10.0.0.1:1", False),
        ("128.0.0.1:1", False),
        ("localhost.example:1", False),
        ("monitor:1", False),
        ("0x7f000001:1", False),
    ],
)
def test_loopback_is_what_only_this_host_reaches(address, expected):
    assert is_loopback(address) is expected


def told(listener, token):
    alertmanager = SimpleNamespace(bearer_token=None if token is None else Secret(token))
    found = listener.problems(SimpleNamespace(listen=(listener,), alertmanager=alertmanager))
    return [sentence for path, sentence in found if path == ("serve",)]


REFUSED = {
    "everything, everywhere": (":1", PARTS, None, None, True),
    "the webhook alone": ("10.0.0.1:1", ("webhook",), None, None, True),
    "an empty token": (":1", PARTS, None, "", True),
    "TLS that asks for no certificate": (":1", PARTS, TLS + "}\n", None, True),
    "a rate limit": (":1", PARTS, "rate_limit: {burst: 1, interval: 1s}\n", None, True),
    "a token": (":1", PARTS, None, TOKEN, False),
    "no webhook": (":1", ("metrics", "api", "page"), None, None, False),
    "loopback": ("127.0.0.1:1", PARTS, None, None, False),
    "users": (":1", PARTS, "basic_auth_users: {alice: HASHED}\n", None, False),
    "required certificates": (":1", PARTS, REQUIRED, None, False),
    "certificates if given": (":1", PARTS, GIVEN, None, False),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_a_webhook_that_others_reach_without_a_credential_is_refused(folder, hashed, case):
    address, serve_words, web_config, token, refused = case
    path = folder / "web.yml"
    path.write_text((web_config or "").replace("HASHED", hashed))
    options = ListenerOptions(address=address, serve=serve_words, web_config=path if web_config else None)
    found = told(options, token)
    assert len(found) == refused
    assert all("set alertmanager.bearer_token_file, or" in sentence for sentence in found)


def test_the_refusal_says_how_to_do_without():
    (sentence,) = told(ListenerOptions(address=":1", serve=("api", "webhook", "page")), None)
    assert sentence.endswith("or take webhook out of serve (serve: [api, page])")
    (sentence,) = told(ListenerOptions(address=":1", serve=("webhook",)), None)
    assert sentence.endswith("or listen on 127.0.0.1")


def test_a_bad_web_configuration_or_address_is_told_and_nothing_else(tmp_path):
    """Nobody can tell whether there are users in the one, and whom the other would let in."""
    assert told(ListenerOptions(address=":1", web_config=tmp_path / "absent.yml"), None) == []
    assert told(ListenerOptions(address="here"), None) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "listen: [{address: '0.0.0.0:10900'}]\n",
            ["f:1:10: listen[0].serve: webhook would be served at 0.0.0.0:10900"],
        ),
        ("listen: [{address: ':1', serve: [page, webhook]}]\n", ["f:1:33: listen[0].serve: webhook would be served"]),
        ("listen: [{address: ':1'}]\nalertmanager: {bearer_token: short-but-there}\n", []),
        ("listen: [{address: ':1'}]\nalertmanager: {bearer_tokens: x}\n", ["f:2:16: alertmanager: unknown key"]),
        ("alertmanager: {}\n", []),
    ],
    ids=["words left out", "words", "a token", "a mistake of the token alone", "the default listener"],
)
def test_the_configuration_tells_it_with_its_place(text, expected):
    if not expected:
        assert config.parse(text, name="f", environ={})
        return
    with pytest.raises(InvalidConfigurationError) as caught:
        config.parse(text, name="f", environ={})
    assert len(caught.value.problems) == len(expected)
    for problem, beginning in zip(caught.value.problems, expected, strict=True):
        assert problem.startswith(beginning)
