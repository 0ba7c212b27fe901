from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest

from exporter.errors import ListenError
from exporter.web.listeners import Web
from exporter.web.options import ListenerOptions

EVERYWHERE = {"/-/healthy": 200, "/-/ready": 200, "/health": 200, "/healthz": 200}


@pytest.mark.parametrize(
    ("serve_words", "here"),
    [
        (("metrics",), {"/metrics": 200}),
        (("page",), {"/": 200, "/static/watchbridge.css": 200}),
        (("api",), {"/-/reload": 405}),
        (("webhook",), {"/api/v1/alerts": 405}),
        (
            ("metrics", "api", "webhook", "page"),
            {"/metrics": 200, "/": 200, "/static/watchbridge.css": 200, "/-/reload": 405, "/api/v1/alerts": 405},
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
async def test_a_listener_answers_what_it_serves_and_nothing_else(serve, serve_words, here):
    (url,) = await serve(serve=serve_words)
    paths = ("/metrics", "/", "/static/watchbridge.css", "/-/reload", "/api/v1/alerts", "/nothing")
    expected = dict.fromkeys(paths, 404) | EVERYWHERE | here
    found = {}
    async with aiohttp.ClientSession() as session:
        for path in expected:
            async with session.get(url + path) as response:
                found[path] = response.status
                if response.status >= 400:
                    assert response.content_type == "application/problem+json"
                    assert (await response.json(content_type=None))["status"] == response.status
    assert found == expected


async def test_several_listeners_each_serve_their_own(serve):
    metrics, page = await serve(
        ListenerOptions(address="127.0.0.1:0", serve=("metrics",)),
        ListenerOptions(address="127.0.0.1:0", serve=("page",)),
    )
    async with aiohttp.ClientSession() as session:
        for url, path, status in ((metrics, "/metrics", 200), (metrics, "/", 404), (page, "/metrics", 404)):
            async with session.get(url + path) as response:
                assert response.status == status
        async with session.get(page) as response:
            assert "/metrics" not in await response.text()


@pytest.mark.parametrize("address", ["localhost:0", ":0", "[::1]:0"])
async def test_names_all_interfaces_and_ipv6_are_listened_on(serve, address):
    if address.startswith("[") and not socket.has_ipv6:
        pytest.skip("this host has no IPv6")
    urls = await serve(ListenerOptions(address=address))
    assert len({url.rpartition(":")[2] for url in urls}) == 1
    for url in urls:
        async with aiohttp.request("GET", url.replace("[::]", "127.0.0.1") + "/-/healthy") as response:
            assert response.status == 200


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", ":0"])
async def test_a_busy_address_is_an_error_that_names_it_and_keeps_no_other(services, serve, address):
    (url, *_) = await serve(ListenerOptions(address=address))
    busy = address[:-1] + url.rpartition(":")[2]
    with socket.create_server(("127.0.0.1", 0)) as free:
        first = free.getsockname()[1]
    web = Web([ListenerOptions(address=f"127.0.0.1:{first}"), ListenerOptions(address=busy)], services)
    with pytest.raises(ListenError, match="in use") as caught:
        await web.start()
    assert busy in str(caught.value)
    assert caught.value.exit_code == 3
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", first)


async def test_a_name_that_does_not_resolve_is_an_error_that_names_it(services):
    with pytest.raises(ListenError, match=r"nowhere\.invalid:0: its name .*; correct the name or give an IP address"):
        await Web([ListenerOptions(address="nowhere.invalid:0")], services).start()


async def test_an_address_of_another_host_is_told_as_such(services):
    """192.0.2.0/24 is for documentation (RFC 5737): no host has it, and nothing can be freed there."""
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:0: this host does not have the address; give one") as caught:
        await Web([ListenerOptions(address="192.0.2.1:0")], services).start()
    assert "with `listen`" in str(caught.value)
    assert "with --web.listen-address" in str(caught.value.by_flag())


async def test_an_address_is_free_again_at_once(services):
    """A restart must not wait for the connections of the run before."""
    web = Web([ListenerOptions(address="127.0.0.1:0")], services)
    await web.start()
    (url,) = web.addresses
    async with aiohttp.request("GET", f"{url}/metrics") as response:
        await response.read()
    await web.stop(1)
    again = Web([ListenerOptions(address=url.removeprefix("http://"))], services)
    await again.start()
    await again.stop(1)


async def test_stopping_answers_what_runs_and_closes_what_is_idle(services, eventually):
    web = Web([ListenerOptions(address="127.0.0.1:0")], services)
    await web.start()
    (url,) = web.addresses
    services.wait = asyncio.Event()
    port = int(url.rpartition(":")[2])
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    async with aiohttp.ClientSession() as session, asyncio.timeout(10):
        running = asyncio.create_task(session.get(f"{url}/metrics"))
        await eventually(lambda: services.scrapes)
        stopping = asyncio.create_task(web.stop(5))
        assert await idle.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not stopping.done()
        services.wait.set()
        response = await running
        assert (response.status, await response.read()) == (200, b"up 1\n")
        await stopping
    idle_writer.close()


@pytest.mark.parametrize("grace", [0.2, 2.0])
async def test_stopping_ends_in_time_whatever_still_runs(grace, services, eventually):
    web = Web([ListenerOptions(address="127.0.0.1:0")], services)
    await web.start()
    services.wait = asyncio.Event()
    async with aiohttp.ClientSession() as session:
        running = asyncio.create_task(session.get(f"{web.addresses[0]}/metrics"))
        await eventually(lambda: services.scrapes)
        async with asyncio.timeout(grace + 2):
            await web.stop(grace)
            with pytest.raises(aiohttp.ClientError):
                await running


async def test_stopping_without_having_started_is_fine(services):
    await Web([ListenerOptions(address="127.0.0.1:0")], services).stop(0)


async def test_stopping_twice_is_fine(services):
    web = Web([ListenerOptions(address="127.0.0.1:0")], services)
    await web.start()
    await web.stop(0)
    await web.stop(0)
