from __future__ import annotations

import base64

import aiohttp
import pytest

from exporter.errors import ConfigurationError

ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice:wonderland").decode()}


@pytest.fixture
async def url(serve, tmp_path, hashed):
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users: {{alice: {hashed}}}\n")
    return (await serve(web_config=path))[0]


async def post(url, headers=None, data=None):
    async with aiohttp.request("POST", f"{url}/-/reload", headers=headers, data=data) as response:
        return response.status, await response.text()


async def test_a_user_may_reload(url, services):
    assert (await post(url, ALICE, b"ignored"))[0] == 200
    assert services.reloads == 1


async def test_without_any_credential_configured_nobody_may_and_is_told_the_other_way(serve, services):
    (url,) = await serve()
    status, body = await post(url, ALICE)
    assert (status, services.reloads) == (401, 0)
    assert "SIGHUP" in body


async def test_a_bad_configuration_is_500_with_every_mistake(url, services):
    services.error = ConfigurationError(reason="w.yml:3:1: unknown key 'a'\nw.yml:4:1: unknown key 'b'")
    status, body = await post(url, ALICE)
    assert status == 500
    assert "w.yml:3:1" in body
    assert "w.yml:4:1" in body


async def test_get_reloads_nothing(url, services):
    async with aiohttp.request("GET", f"{url}/-/reload", headers=ALICE) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
    assert services.reloads == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "CROSS-SITE"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://{host}"}, 403),
        ({"Origin": "http://{host}.evil.example"}, 403),
        ({"Origin": "http://[bad"}, 403),
        ({"Origin": "http://{host}"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://{host}"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
    ids=str,
)
async def test_pages_of_other_sites_cannot_reload(url, services, headers, status):
    host = url.removeprefix("http://")
    given = {name: value.replace("{host}", host) for name, value in headers.items()}
    assert (await post(url, {**ALICE, **given}))[0] == status
    assert services.reloads == (status == 200)
