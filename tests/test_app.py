"""The life of the process: it starts or says why not, reloads or keeps what it had, and ends cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter import config
from exporter.app import Application
from exporter.errors import InvalidConfigurationError, ListenError, StoreBusyError, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from exporter.web.services import SourceState

CONFIGURATION = """\
listen: [{{address: "127.0.0.1:0"}}]
store: "sqlite:///{folder}/store/watchbridge.db"
log: {{level: error}}
databases:
  registry: {{url: "sqlite:///{folder}/packages.db"}}
packages:
  npm: {{database: registry}}
"""


class Home:
    """A folder with a configuration and a package database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "watchbridge.yml"
        self.write(CONFIGURATION)
        with contextlib.closing(sqlite3.connect(folder / "packages.db")) as database, database:
            database.execute("CREATE TABLE packages (status TEXT, updated_at TEXT)")
            database.execute("INSERT INTO packages VALUES ('Approved', '2026-01-01 00:00:00')")

    def write(self, text: str) -> None:
        self.path.write_text(text.format(folder=self.folder))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Application, str]]:
        """Run the program until the block ends, and see that it ends."""
        urls: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        application = Application(lambda: config.load(self.path), started=urls.set_result)
        task = asyncio.create_task(application.run())
        await asyncio.wait({task, urls}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        try:
            yield application, urls.result()[0]
        finally:
            application.stop()
            async with asyncio.timeout(15):
                await task


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


async def scraped(url: str) -> dict[tuple[str, ...], float]:
    """Return each sample by name and sorted labels."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        assert response.status == 200
        text = await response.text()
    return {
        (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


APPROVED = ("watchbridge_packages", "source=npm", "status=Approved")
SUCCESS = ("watchbridge_collector_success", "collector=packages", "source=npm")
LAST = ("watchbridge_collector_last_success_timestamp_seconds", "collector=packages", "source=npm")
RELOADED = ("watchbridge_config_last_reload_successful",)
RELOADED_AT = ("watchbridge_config_last_reload_success_timestamp_seconds",)


async def reloaded(application: Application, url: str, *, good: bool) -> dict[tuple[str, ...], float]:
    """Ask for a reload as SIGHUP does, and wait until the metric says how it went and the lock is free."""
    before = (await scraped(url)).get(("watchbridge_config_last_reload_success_timestamp_seconds",), 0.0)
    application._reload_soon()
    async with asyncio.timeout(10):
        while True:
            found = await scraped(url)
            moment = found[("watchbridge_config_last_reload_success_timestamp_seconds",)]
            if (moment > before) if good else (found[RELOADED] == 0.0):
                return found
            await asyncio.sleep(0.02)


async def test_it_serves_what_the_configuration_names(home: Home) -> None:
    """One scrape after the start has the rows of the table."""
    async with home.running() as (_, url):
        found = await scraped(url)
    assert (found[APPROVED], found[SUCCESS], found[RELOADED]) == (1.0, 1.0, 1.0)


async def test_a_good_reload_takes_effect_and_a_bad_one_changes_nothing(home: Home) -> None:
    """The old configuration stays in force, and the metric says that the new one is not."""
    async with home.running() as (application, url):
        home.write(CONFIGURATION + "  other: {{database: registry, terminal: [Approved]}}\n")
        found = await reloaded(application, url, good=True)
        assert found[("watchbridge_packages", "source=other", "status=Approved")] == 1.0
        for nothing in ("", "\n", "# being written\n", "---\n"):
            home.write(nothing)
            with pytest.raises(InvalidConfigurationError, match="says nothing"):
                await application._running.reload()
            found = await scraped(url)
            assert (found[RELOADED], found[("watchbridge_packages", "source=other", "status=Approved")]) == (0.0, 1.0)
        home.write("pakages: {{}}\n")
        found = await reloaded(application, url, good=False)
        assert found[("watchbridge_packages", "source=other", "status=Approved")] == 1.0
        home.write(CONFIGURATION)
        found = await reloaded(application, url, good=True)
        assert ("watchbridge_packages", "source=other", "status=Approved") not in found
        assert (found[APPROVED], found[RELOADED]) == (1.0, 1.0)


async def test_a_reload_under_scrapes_loses_none_of_them(home: Home) -> None:
    """Every scrape before, during and after answers with the packages."""
    async with home.running() as (application, url):
        done = asyncio.Event()

        async def keep_scraping() -> int:
            count = 0
            while not done.is_set():
                assert (await scraped(url))[APPROVED] == 1.0
                count += 1
            return count

        scrapers = [asyncio.create_task(keep_scraping()) for _ in range(3)]
        for n in range(5):
            home.write(CONFIGURATION.replace("{folder}/packages.db", "{folder}/packages.db" + "?n=1" * (n % 2)))
            await reloaded(application, url, good=True)
        done.set()
        assert min(await asyncio.gather(*scrapers)) > 0


async def test_the_last_success_survives_a_restart(home: Home) -> None:
    """A database that is gone after the restart was still read before it."""
    async with home.running() as (_, url):
        before = (await scraped(url))[LAST]
    (home.folder / "packages.db").unlink()
    async with home.running() as (_, url):
        found = await scraped(url)
    assert found[LAST] == before
    assert found[SUCCESS] == 0.0
    assert APPROVED not in found


async def test_a_second_program_on_the_same_store_is_refused(home: Home) -> None:
    """One data directory has one server; the first goes on."""
    async with home.running() as (_, url):
        with pytest.raises(StoreBusyError, match="held by another running Watchbridge"):
            async with home.running():
                pytest.fail("the second one started")
        assert (await scraped(url))[APPROVED] == 1.0


async def test_a_busy_address_is_said_and_nothing_stays_held(home: Home) -> None:
    """The sentence names the address; the store is free again for the next try."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    good = home.path.read_text()
    home.path.write_text(good.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    with pytest.raises(ListenError, match=f"127.0.0.1:{port}"):
        async with home.running():
            pytest.fail("it started")
    server.close()
    home.path.write_text(good)
    async with home.running() as (_, url):
        assert (await scraped(url))[APPROVED] == 1.0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("pakages: {{}}", InvalidConfigurationError, id="an unknown key"),
        pytest.param("store: sqlite:////proc/none/w.db", StoreError, id="a store that cannot be made"),
    ],
)
async def test_what_keeps_it_from_starting_is_raised(home: Home, text: str, error: type[Exception]) -> None:
    """Before anything listens."""
    home.write(text)
    with pytest.raises(error):
        async with home.running():
            pytest.fail("it started")


async def test_health_says_which_source_cannot_be_read(home: Home) -> None:
    """Degraded is still 200: restarting Watchbridge would not mend the database."""
    (home.folder / "packages.db").unlink()
    async with home.running() as (_, url), aiohttp.ClientSession() as session:
        await scraped(url)
        async with session.get(f"{url}/health") as response:
            body = await response.json()
    assert (response.status, body["status"]) == (200, "degraded")
    assert body["details"]["packages/npm"] == "degraded"


async def test_a_store_that_is_deleted_is_noticed(home: Home) -> None:
    """What is written into an unlinked file is lost, so nothing pretends that it is not."""
    async with home.running() as (_, url), aiohttp.ClientSession() as session:
        for path in (home.folder / "store").iterdir():
            path.unlink()
        async with session.get(f"{url}/health") as response:
            body = await response.json()
        assert (response.status, body["status"]) == (503, "unhealthy")
        assert "deleted or replaced" in body["error"]
        async with session.get(f"{url}/-/ready") as response:
            assert response.status == 503


async def test_a_store_that_can_be_read_but_not_written_stays_not_ready(home: Home) -> None:
    """A health check that reads does not speak for the disk that is full."""
    async with home.running() as (application, url), aiohttp.ClientSession() as session:
        await scraped(url)
        with contextlib.closing(sqlite3.connect(home.folder / "store" / "watchbridge.db")) as other, other:
            other.execute(
                "CREATE TRIGGER full BEFORE INSERT ON collector_runs BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
            )
        assert application._running is not None
        await application._running.remember()
        for path in ("/health", "/-/ready", "/health"):
            async with session.get(f"{url}{path}") as response:
                assert response.status == 503, path
        with contextlib.closing(sqlite3.connect(home.folder / "store" / "watchbridge.db")) as other, other:
            other.execute("DROP TRIGGER full")
        await application._running.remember()
        async with session.get(f"{url}/health") as response:
            assert response.status == 200


async def test_a_reload_that_breaks_in_an_unforeseen_way_is_on_the_metric(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong, the old configuration stays in force, and that is said."""
    async with home.running() as (application, url):
        monkeypatch.setattr("exporter.running.generation", lambda *_: 1 / 0)
        found = await reloaded(application, url, good=False)
    assert (found[RELOADED], found[APPROVED]) == (0.0, 1.0)


async def renamed(home: Home, table: str, other: str) -> None:
    """Rename a table of the store; in a thread, since the program that may be writing runs on this loop."""

    def rename() -> None:
        with contextlib.closing(sqlite3.connect(home.folder / "store" / "watchbridge.db")) as connection, connection:
            connection.execute(f"ALTER TABLE {table} RENAME TO {other}")

    await asyncio.to_thread(rename)


async def test_readiness_follows_the_store_by_itself(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask for the health first: a kubelet asks for readiness alone."""
    monkeypatch.setattr("exporter.app.LOOK_EVERY", 0.05)
    async with home.running() as (_, url), aiohttp.ClientSession() as session:

        async def becomes(status: int) -> None:
            async with asyncio.timeout(10):
                while True:
                    async with session.get(f"{url}/-/ready") as response:
                        if response.status == status:
                            return
                    await asyncio.sleep(0.02)

        await becomes(200)
        await renamed(home, "collector_runs", "gone")
        await becomes(503)
        await renamed(home, "gone", "collector_runs")
        await becomes(200)


async def test_readiness_follows_the_store(home: Home) -> None:
    """A store that does not answer makes us unhealthy and not ready, and its return makes us ready again."""
    async with home.running() as (_, url), aiohttp.ClientSession() as session:
        await renamed(home, "collector_runs", "gone")
        async with session.get(f"{url}/health") as response:
            assert (response.status, (await response.json())["status"]) == (503, "unhealthy")
        async with session.get(f"{url}/-/ready") as response:
            assert response.status == 503
        async with session.get(f"{url}/-/healthy") as response:
            assert response.status == 200
        assert (await scraped(url))[APPROVED] == 1.0, "a scrape does not need the store"
        await renamed(home, "gone", "collector_runs")
        async with session.get(f"{url}/health") as response:
            assert (response.status, (await response.json())["status"]) == (200, "healthy")
        async with session.get(f"{url}/-/ready") as response:
            assert response.status == 200


def npm(application: Application) -> SourceState:
    """Return what the page is told of the source `npm`."""
    assert application._running is not None
    (state,) = (state for state in application._running.sources() if state.source == "npm")
    return state


async def test_the_page_says_when_each_source_was_read_and_why_it_cannot_be(home: Home) -> None:
    """The sentence is the log's, and known secrets are taken out of it as they are there."""
    home.write(
        CONFIGURATION.replace("packages.db", "{secret}.db").replace("{secret}", "canary")
        + "email: {{host: h, username: u, password: canary, tls: true}}\n"
    )
    async with home.running() as (application, url), aiohttp.ClientSession() as session:
        state = npm(application)
        assert (state.success, state.read_at, state.reason) == (None, None, None)
        await scraped(url)
        async with session.get(url) as response:
            text = await response.text()
    assert "could not be read: The database &#x27;registry&#x27; does not exist at" in text
    assert "&lt;secret&gt;.db" in text
    assert "canary" not in text


async def test_a_source_that_was_read_says_when(home: Home) -> None:
    """The time is the one of the metric, also after a restart that has not read yet."""
    async with home.running() as (application, url):
        moment = (await scraped(url))[LAST]
        state = npm(application)
        assert (state.success, state.read_at, state.reason) == (True, moment, None)
    async with home.running() as (application, _):
        state = npm(application)
        assert (state.success, state.read_at) == (None, moment)


@pytest.mark.parametrize("reloads", [True, False], ids=["serve", "demo"])
async def test_a_hangup_reloads_or_ends(home: Home, reloads: bool) -> None:  # noqa: FBT001
    """What belongs to a terminal ends with it; a service reads its file again and lives on."""
    urls: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
    application = Application(lambda: config.load(home.path), started=urls.set_result, reloads=reloads)
    task = asyncio.create_task(application.run())
    async with asyncio.timeout(20):
        (url,) = await urls
        before = (await scraped(url))[RELOADED_AT]
        os.kill(os.getpid(), signal.SIGHUP)
        if reloads:
            while (await scraped(url))[RELOADED_AT] == before:  # noqa: ASYNC110 - a metric gives no event
                await asyncio.sleep(0.02)
            application.stop()
        await task
