"""Each alarm leads to one restart of its service, however often and by how many it is seen, and is cleared after it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from process_alarms.scenes import Plant, configured, made, plant, ring, service
from servers.backlog import new, put, the
from servers.engines import ServerDatabase
from servers.watched import NOON, FakeClock
from sqlalchemy import select

from exporter.process_alarms import alarms
from exporter.process_alarms.alarms import AGAIN_AFTER, PURGE_EVERY
from exporter.process_alarms.options import AlarmOptions
from exporter.store import audit, backlog, process_alarms, service_restarts
from exporter.store.restart_tables import process_alarms as table
from exporter.store.service_restarts import ServiceRestart

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.engines import EmptyDatabase, FileDatabase
    from servers.mariadb import MariaDB
    from servers.proxy import TcpProxy

    from exporter.store.store import Store

ENGINES = pytest.mark.parametrize(
    ("engine", "url"), [("sqlite", "postgres"), ("postgres", "mariadb"), ("mariadb", "sqlite")], indirect=True
)
"""Each as source and as store, once: they do not know of each other."""
DAY = 86_400.0
PLANT = AlarmOptions(database="monitoring")
CLEARED = "DB UPDATE LOG: Successfully updated alarm status for process_id: 123"


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exporter.process_alarms")


def told(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == level]


async def finish(one: Plant, number: int, state: str = "done", **more: Any) -> None:
    """Let an item end, as the worker writes it."""
    over = {"state": state, "active_key": None, "finished_at": None if state == "dead" else one.clock.time(), **more}
    await put(one.store, number, **over)


@ENGINES
async def test_an_alarm_leads_to_one_item(
    engine: EmptyDatabase, url: str, open_store: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """On every engine as source and as store: pending, with its reason, told in the log and the audit, once."""
    made(engine, {123: "apache2", 4: "mysql", 5: "other"}, {123: 1, 4: 0})
    store = await open_store(url)
    async with plant(store, engine.url, configured("apache2", "mysql")) as one:
        await one.alarms.tick()
        for _ in range(3):
            await one.passes()
        (item,) = await one.items()
        assert (item.queue, item.key, item.service, item.origin) == ("restarts", "apache2", "apache2", "alarm")
        assert (item.state, item.hold, item.mode, item.due_at) == ("pending", None, "auto", NOON)
        assert item.reason == "process 123 (apache2) is in alarm in plant"
        assert item.context["alarm"] == {"source": "plant", "process_id": "123", "service": "apache2"}
        assert item.item.labels == {"alertname": "ProcessAlarm", "source": "plant", "process": "apache2"}
        (alarm,) = await one.standing()
        assert (alarm.process_id, alarm.process, alarm.service) == ("123", "apache2", "apache2")
        assert (alarm.item_id, alarm.item_state, alarm.raised_at, alarm.asked_at) == (item.id, "pending", NOON, NOON)
        assert [entry.verb for entry in await audit.of(store, "alarm", alarm.id)] == ["raised"]
        assert [entry.verb for entry in await audit.of(store, "item", item.id)] == ["added"]
        assert one.wakes == 1
        assert told(caplog) == ["process 123 (apache2) is in alarm in 'plant': waits in restarts for its turn"]


@pytest.mark.parametrize(
    ("overall", "own", "state", "held"),
    [
        ("auto", None, "pending", 0),
        ("auto", "auto", "pending", 0),
        ("auto", "approve", "held", 1),
        ("auto", "observe", "cancelled", 1),
        ("approve", None, "held", 1),
        ("approve", "auto", "held", 1),
        ("observe", "auto", "cancelled", 1),
        (None, None, "cancelled", 1),
    ],
)
async def test_the_stricter_mode_holds(
    store: Store, monitor: FileDatabase, overall: str, own: Any, state: str, held: int
) -> None:
    """What is only observed is over, held and counted once; what a person must release waits for that."""
    made(monitor, {123: "apache2"}, {123: 1})
    configuration = configured("apache2", mode=overall, alarms={"plant": replace(PLANT, mode=own)})
    async with plant(store, monitor.url, configuration) as one:
        await one.alarms.tick()
        for _ in range(30):
            await one.passes()
        (item,) = await one.items()
        assert (item.state, item.hold) == (state, "mode" if held else None)
        assert item.mode == (own if state != "pending" and own in {"observe", "approve"} else overall or "observe")
        assert await one.held("mode") == held
        assert {"pending": "for its turn", "held": "releases it", "cancelled": "`mode` is observe"}[state] in (
            item.explanation or ""
        )
        if state == "held":
            assert await backlog.approve(store, [item.id], actor="cli:ada", now=NOON) == [item.id]


async def test_names_are_compared_letter_by_letter(
    store: Store, monitor: FileDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """What is not configured is refused, once for each alarm, with what to add; nothing of it is ever restarted."""
    names = {1: "apache2", 2: "Apache2", 3: "apache2 ", 4: "nothing", 5: "probed", 6: "moved", 7: "httpd"}
    made(monitor, names, dict.fromkeys(names, 1))
    services = {
        "apache2": service(),
        "probed": service(restart=None),
        "moved": service(alarm="httpd"),
    }
    async with plant(store, monitor.url, configured(services=services)) as one:
        await one.alarms.tick()
        for _ in range(30):
            await one.passes()
        assert sorted((item.key, item.context["alarm"]["process_id"]) for item in await one.items()) == [
            ("apache2", "1"),
            ("moved", "7"),
        ]
        refused = {
            alarm.process_id: (await audit.of(store, "alarm", alarm.id))
            for alarm in await one.standing()
            if alarm.item_id is None
        }
        assert sorted(refused) == ["2", "3", "4", "5", "6"]
        assert {(entry.verb, entry.details["word"]) for (entry,) in refused.values()} == {
            ("refused", "unknown_service")
        }
        warnings = told(caplog, logging.WARNING)
        assert len(warnings) == 5
        assert any("there is 'apache2': upper and lower case count" in sentence for sentence in warnings)
        assert any("no service is named 'nothing'" in sentence and "`restart`" in sentence for sentence in warnings)
        assert any("its service 'probed' has no `restart`" in sentence for sentence in warnings)


async def test_what_is_configured_later_is_restarted_then(store: Store, monitor: FileDatabase) -> None:
    """A reload that names the service is enough, while the alarm stands."""
    made(monitor, {1: "late"}, {1: 1})
    async with plant(store, monitor.url, configured("apache2")) as one:
        await one.alarms.tick()
        assert await one.items() == []
        one.adopt(configured("late"))
        await one.alarms.tick()
        assert await one.states() == [("late", "pending", None)]
        assert [alarm.service for alarm in await one.standing()] == ["late"]


async def test_an_alarm_that_ends_cancels_what_waits(
    url: str, open_store: Callable[..., Any], monitor: FileDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """As for an alert that resolves: what runs is not stopped, and the next alarm leads to the next item."""
    made(monitor, {1: "web", 2: "db"}, {1: 1, 2: 1})
    store = await open_store(url)
    async with plant(store, monitor.url, configured("web", "db")) as one:
        await one.alarms.tick()
        db, web = await one.items()
        await put(store, db.id, state="running", lease_owner="x", lease_until=NOON + DAY)
        ring(monitor, 1, 0)
        ring(monitor, 2, 0)
        await one.passes()
        assert await one.states() == [("db", "running", None), ("web", "cancelled", "resolved")]
        assert (await the(store, web.id)).active_key is None
        assert (await the(store, db.id)).explanation == "its alarm ended while it ran"
        assert await one.held("resolved") == 1
        assert await one.standing() == []
        assert [entry.verb for entry in await audit.of(store, "item", web.id)] == ["added", "cancelled"]
        assert "process 1 (web) is no longer in alarm in 'plant'" in told(caplog)
        ring(monitor, 1)
        await one.passes()
        assert await one.states() == [
            ("db", "running", None),
            ("web", "cancelled", "resolved"),
            ("web", "pending", None),
        ]


@pytest.mark.parametrize(
    ("state", "hold", "again"),
    [
        ("done", None, True),
        ("dead", None, True),
        ("cancelled", "resolved", True),
        ("cancelled", "mode", False),
        ("cancelled", None, False),
        ("running", None, False),
        ("failed", None, False),
        ("held", "window", False),
    ],
)
async def test_an_alarm_that_stands_on_leads_to_another(
    store: Store,
    monitor: FileDatabase,
    state: str,
    hold: str | None,
    again: bool,  # noqa: FBT001
) -> None:
    """Five minutes after its item ended, not before; never where that was observed or a person cancelled it."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web")) as one:
        await one.alarms.tick()
        (first,) = await one.items()
        over = state in {"done", "dead", "cancelled"}
        await put(store, first.id, state=state, hold=hold, **({"active_key": None} if over else {}))
        await one.passes(30.0)
        await one.passes(AGAIN_AFTER - 1)
        assert len(await one.items()) == 1
        await one.passes(30.0)
        await one.passes(30.0)
        assert len(await one.items()) == 1 + again
        if again:
            (alarm,) = await one.standing()
            assert alarm.item_id == (await one.items())[1].id
            assert alarm.raised_at == NOON
            assert one.wakes == 2


async def test_a_clock_that_is_set_changes_nothing(store: Store, monitor: FileDatabase) -> None:
    """Looks are paced, and waits are counted, by the clock that never jumps."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web")) as one:
        await one.alarms.tick()
        (first,) = await one.items()
        await finish(one, first.id)
        await one.passes(30.0)
        for jump in (400 * DAY, -800 * DAY):
            one.clock.set(jump)
            await one.passes(30.0)
            assert len(await one.items()) == 1
        await one.passes(AGAIN_AFTER)
        assert len(await one.items()) == 2


async def test_what_waits_already_is_the_one(store: Store, monitor: FileDatabase) -> None:
    """An item that an alert or a person led to is not doubled; when the alarm ends it is not the alarm's to cancel."""
    made(monitor, {1: "web", 2: "db"}, {1: 1, 2: 1})
    async with store.writing() as connection:
        await backlog.enqueued(connection, [new("web", queue="restarts", service="web", due_at=NOON)], NOON)
    theirs, _ = await backlog.add(store, "restarts", "db", "by hand", actor="cli:ada", now=NOON)
    async with plant(store, monitor.url, configured("web", "db")) as one:
        await one.alarms.tick()
        web, db = await one.items()
        assert (web.origin, db.origin, db.id) == ("rule", "cli", theirs)
        assert {alarm.item_id for alarm in await one.standing()} == {web.id, db.id}
        ring(monitor, 1, 0)
        ring(monitor, 2, 0)
        await one.passes()
        assert [state for _, state, _ in await one.states()] == ["pending", "pending"]


async def test_two_processes_of_one_service_are_one_restart(store: Store, monitor: FileDatabase) -> None:
    """Its item is cancelled when the last of its alarms has ended, and stands for whichever is left."""
    made(monitor, {1: "web", 2: "web"}, {1: 1, 2: 1})
    async with plant(store, monitor.url, configured("web")) as one:
        await one.alarms.tick()
        (item,) = await one.items()
        assert {alarm.item_id for alarm in await one.standing()} == {item.id}
        ring(monitor, int(item.context["alarm"]["process_id"]), 0)
        await one.passes()
        assert await one.states() == [("web", "pending", None)]
        assert one.alarms.standing(item.context) is True
        ring(monitor, 1, 0)
        ring(monitor, 2, 0)
        await one.passes()
        assert await one.states() == [("web", "cancelled", "resolved")]
        assert one.alarms.standing(item.context) is False


async def test_a_number_with_another_name_is_another_process(store: Store, monitor: FileDatabase) -> None:
    """The alarm of the one before has ended, and its item with it."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web", "db")) as one:
        await one.alarms.tick()
        (item,) = await one.items()
        monitor.execute("UPDATE PROCESE SET process_name = 'db'")
        await one.passes()
        assert await one.states() == [("web", "cancelled", "resolved"), ("db", "pending", None)]
        assert one.alarms.standing(item.context) is False
        assert [(alarm.process, alarm.process_id) for alarm in await one.standing()] == [("db", "1")]


@ENGINES
async def test_replicas_that_look_at_once_lead_to_one_item(
    engine: EmptyDatabase, url: str, open_store: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever comes second finds what the first has stored: items, alarms, warnings and counts are once."""
    known = {number: f"service-{number}" for number in range(20)}
    made(engine, {**known, 99: "unknown"}, dict.fromkeys([*known, 99], 1))
    store = await open_store(url)
    configuration = configured(*known.values(), mode="approve")
    async with (
        plant(store, engine.url, configuration) as first,
        plant(store, engine.url, configuration) as second,
        plant(store, engine.url, configuration) as third,
    ):
        every = (first, second, third)
        for _ in range(3):
            await asyncio.gather(*(one.alarms.tick() for one in every))
            assert [one.alarms.trouble for one in every] == [None, None, None]
            for one in every:
                one.clock.pass_(30.0)
        assert Counter(item.key for item in await first.items()) == Counter(known.values())
        assert len(await first.standing()) == 21
        assert sum([await one.held("mode") for one in every]) == 20
        assert len(told(caplog, logging.WARNING)) == 1
        engine.execute("UPDATE STATUS_PROCESS SET alarma = 0")
        await asyncio.gather(*(one.alarms.tick() for one in every))
        assert {state for _, state, _ in await first.states()} == {"cancelled"}
        assert sum([await one.held("resolved") for one in every]) == 20


async def test_a_source_that_fails_leaves_alarms_as_they_are(
    store: Store, monitor: FileDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither ended nor raised; said once, and once when it is over; it is no trouble of ours."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web")) as one:
        await one.alarms.tick()
        (item,) = await one.items()
        monitor.execute("ALTER TABLE STATUS_PROCESS RENAME TO elsewhere")
        for _ in range(3):
            await one.passes()
        assert await one.states() == [("web", "pending", None)]
        assert len(await one.standing()) == 1
        assert one.alarms.standing(item.context) is None
        assert "STATUS_PROCESS" in one.alarms.failing["plant"]
        (error,) = told(caplog, logging.ERROR)
        assert error.startswith("the process alarms of 'plant' cannot be read: ")
        monitor.execute("ALTER TABLE elsewhere RENAME TO STATUS_PROCESS; UPDATE STATUS_PROCESS SET alarma = 0")
        await one.passes()
        assert await one.states() == [("web", "cancelled", "resolved")]
        assert "the process alarms of 'plant' can be read again" in told(caplog)
        assert one.alarms.failing == {}


async def test_one_source_does_not_wait_for_another(store: Store, monitor: FileDatabase) -> None:
    """Sources are read side by side, each at its own pace."""
    made(monitor, {1: "web"}, {1: 1})
    sources = {
        "away": AlarmOptions(database="nowhere"),
        "plant": replace(PLANT, every=PLANT.every),
    }
    async with plant(
        store, monitor.url, configured("web", alarms=sources), nowhere="postgresql://u:p@127.0.0.1:1/db"
    ) as one:
        await one.alarms.tick()
        assert await one.states() == [("web", "pending", None)]
        assert list(one.alarms.failing) == ["away"]
        assert one.alarms.trouble is None


@pytest.mark.parametrize("fault", ["before", "during", "lost"])
async def test_a_store_that_fails_is_asked_again(store: Store, monitor: FileDatabase, fault: str) -> None:
    """It is our trouble until it works; then the alarm leads to its item, once, without another look."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web")) as one:
        one.store.plan.append(fault)
        await one.alarms.tick()
        assert one.alarms.trouble is not None
        one.clock.pass_(1.0)
        await one.alarms.tick()
        assert one.alarms.trouble is None
        assert await one.states() == [("web", "pending", None)]
        assert len(await one.standing()) == 1


async def test_looks_are_as_often_as_configured(store: Store, monitor: FileDatabase) -> None:
    """Nothing is read between two looks; a pause of ours leaves looks out, it does not make up for them."""
    made(monitor, {1: "web"}, {1: 0})
    async with plant(store, monitor.url, configured("web")) as one:
        await one.alarms.tick()
        assert one.alarms.next_look_at == one.clock.ticks + 30.0
        ring(monitor, 1)
        await one.passes(29.0)
        assert await one.items() == []
        await one.passes(1.0)
        assert len(await one.items()) == 1
        await one.passes(1000.0)
        assert one.alarms.next_look_at is not None
        assert 0.0 < one.alarms.next_look_at - one.clock.ticks <= 30.0


async def test_who_decides_sees_the_tables_of_now(store: Store, monitor: FileDatabase) -> None:
    """`refresh` looks at most once a second, whoever asks; what it finds is stored by the next tick."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web")) as one:
        await one.alarms.tick()
        (item,) = await one.items()
        assert one.alarms.standing(item.context) is True
        ring(monitor, 1, 0)
        await one.alarms.refresh()
        assert one.alarms.standing(item.context) is True, "a look of less than a second ago"
        one.clock.pass_(1.0)
        await asyncio.gather(*(one.alarms.refresh() for _ in range(5)))
        assert one.alarms.standing(item.context) is False
        await one.alarms.tick()
        assert await one.states() == [("web", "cancelled", "resolved")]


async def test_what_cannot_be_known_is_not_said(store: Store, monitor: FileDatabase) -> None:
    """Before the first look, of a source that is not configured, and of what is no alarm."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web")) as one:
        context = {"alarm": {"source": "plant", "process_id": "1", "service": "web"}}
        assert one.alarms.standing(context) is None
        await one.alarms.refresh()
        assert one.alarms.standing(context) is True
        assert one.alarms.standing({"alarm": {"source": "plant", "process_id": "1"}}) is True
        assert one.alarms.standing({"alarm": {"source": "plant", "process_id": "2"}}) is False
        for other in ({}, {"alarm": None}, {"alarm": {"source": "gone", "process_id": "1"}}, {"alarm": ["x"]}):
            assert one.alarms.standing(other) is None


@ENGINES
async def test_a_verified_restart_clears_the_alarm(
    engine: EmptyDatabase, url: str, open_store: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """In every source where the service is in alarm, with the words of the process monitor; others stay."""
    made(engine, {123: "apache2", 124: "apache2", 5: "other"}, {123: 1, 124: 0, 5: 1})
    store = await open_store(url)
    async with plant(store, engine.url, configured("apache2", "other")) as one:
        await one.alarms.tick()
        assert {alarm.process_id for alarm in await one.standing()} == {"123", "5"}
        caplog.clear()
        assert await one.alarms.clear("apache2") == []
        assert told(caplog) == [CLEARED]
        assert [alarm.process_id for alarm in await one.standing()] == ["5"]
        assert await one.alarms.clear("apache2") == []
        assert await one.alarms.clear("nobody") == []
        await one.passes()
        assert [alarm.process_id for alarm in await one.standing()] == ["5"]
        ended = await everything(store)
        assert [(row.process_id, row.ended_by, row.head) for row in ended if row.ended_at] == [("123", "restart", None)]


async def test_what_could_not_be_cleared_is_cleared_later(
    store: Store, monitor: FileDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Its service is well after the restart, so there is no other one for it; what others wait for is not put off."""
    made(monitor, {1: "web", 2: "db"}, {1: 1, 2: 1})
    async with plant(store, monitor.url, configured("web", "db")) as one:
        await one.alarms.tick()
        items = {item.key: item.id for item in await one.items()}
        attempt = ServiceRestart("web", None, items["web"], 1, one.scope, "command", "rule", one.clock.time())
        async with store.writing() as connection:
            await service_restarts.begun(connection, [attempt])
            end = service_restarts.AttemptEnd(items["web"], acted=True, verified=True, detail="")
            await service_restarts.ended(connection, [end], one.clock.time())
        await finish(one, items["web"])
        monitor.execute(
            "CREATE TRIGGER stays BEFORE UPDATE OF alarma ON STATUS_PROCESS WHEN NEW.process_id = 1"
            " BEGIN SELECT RAISE(ABORT, 'not now'); END"
        )
        await one.passes()
        await one.passes(AGAIN_AFTER / 2)
        await finish(one, items["db"])
        await one.passes()
        await one.passes(AGAIN_AFTER / 2)
        assert "web is well after its restart, and stays in alarm: the alarm of process 1 in 'plant'" in caplog.text
        assert "not now" in caplog.text
        monitor.execute("DROP TRIGGER stays")
        caplog.clear()
        await one.passes(AGAIN_AFTER / 2)
        assert sorted(item.key for item in await one.items()) == ["db", "db", "web"], "web's failing put off db's"
        assert CLEARED.replace("123", "1") not in told(caplog), "it is tried again after as long as the first time"
        await one.passes(AGAIN_AFTER / 2)
        assert [line for line in told(caplog) if "Successfully" in line] == [CLEARED.replace("123", "1")]
        assert [alarm.process_id for alarm in await one.standing()] == ["2"]
        assert {row.process_id: row.ended_by for row in await everything(store)} == {"1": "restart", "2": None}


async def everything(store: Store) -> list[Any]:
    """Return every alarm that is remembered, the oldest first."""
    async with store.reading() as connection:
        return list(await connection.execute(select(table).order_by(table.c.id)))


async def test_what_waits_for_a_cleared_alarm_is_cancelled(store: Store, monitor: FileDatabase) -> None:
    """The restart that an alert led to has mended it: the alarm's own would be one too many."""
    made(monitor, {123: "apache2"}, {123: 1})
    async with plant(store, monitor.url, configured("apache2")) as one:
        await one.alarms.tick()
        assert await one.alarms.clear("apache2") == []
        assert await one.states() == [("apache2", "cancelled", "resolved")]
        assert await one.held("resolved") == 1


async def test_an_alarm_that_nobody_had_seen_is_cleared_too(store: Store, monitor: FileDatabase) -> None:
    """It is looked for in the table, not in what was seen last."""
    made(monitor, {123: "apache2"}, {123: 0})
    async with plant(store, monitor.url, configured("apache2")) as one:
        await one.alarms.tick()
        ring(monitor, 123)
        assert await one.alarms.clear("apache2") == []
        await one.passes()
        assert (await one.items(), await one.standing()) == ([], [])


async def test_an_observed_source_is_never_written_to(
    store: Store, monitor: FileDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever was restarted for whichever reason."""
    made(monitor, {123: "apache2"}, {123: 1})
    configuration = configured("apache2", alarms={"plant": replace(PLANT, mode="observe")})
    async with plant(store, monitor.url, configuration) as one:
        await one.alarms.tick()
        assert await one.alarms.clear("apache2") == []
        await one.passes()
        assert len(await one.standing()) == 1
        assert CLEARED not in told(caplog)


async def test_what_cannot_be_cleared_is_said_and_stays(
    store: Store, monitor: FileDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that nobody may change, and a source that is away: a sentence each, and the alarm stands."""
    made(monitor, {123: "apache2"}, {123: 1})
    monitor.execute(
        "CREATE TRIGGER no BEFORE UPDATE ON STATUS_PROCESS BEGIN SELECT RAISE(ABORT, 'not by anybody'); END"
    )
    async with plant(store, monitor.url, configured("apache2")) as one:
        await one.alarms.tick()
        (sentence,) = await one.alarms.clear("apache2")
        assert sentence.startswith("the alarm of process 123 in 'plant' was not cleared: ")
        assert "not by anybody" in sentence
        await one.passes()
        assert len(await one.standing()) == 1
        monitor.execute("ALTER TABLE STATUS_PROCESS RENAME TO elsewhere")
        (sentence,) = await one.alarms.clear("apache2")
        assert sentence.startswith("the alarm of 'apache2' in 'plant' was not cleared: ")
        assert "STATUS_PROCESS" in sentence
        assert await one.alarms.clear("other") == [], "nobody has seen it in alarm there"
        assert CLEARED not in told(caplog)


async def test_a_network_that_swallows_everything_holds_nobody_up(
    store: Store, mariadb: MariaDB, tcp_proxy: Callable[[int], TcpProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who decides waits so long and no longer, and knows nothing then; clearing ends with a sentence."""
    monkeypatch.setattr(alarms, "REFRESH_SECONDS", 0.2)
    monkeypatch.setattr(alarms, "CLEAR_SECONDS", 0.5)
    engine = ServerDatabase(mariadb, "mysql")
    made(engine, {123: "apache2"}, {123: 1})
    proxy = tcp_proxy(mariadb.port)
    async with plant(store, proxy.url(engine.url), configured("apache2")) as one:
        await one.alarms.tick()
        (item,) = await one.items()
        proxy.mode = "blackhole"
        one.clock.pass_(5.0)
        await one.alarms.refresh()
        assert one.alarms.standing(item.context) is None
        (sentence,) = await one.alarms.clear("apache2")
        assert sentence.startswith("the alarm of 'apache2' in 'plant' was not cleared: ")
        assert await one.states() == [("apache2", "pending", None)]
        await one.alarms.close()
        proxy.mode = "pass"
    async with plant(store, proxy.url(engine.url), configured("apache2")) as one:
        await one.alarms.refresh()
        assert one.alarms.standing(item.context) is True


async def test_a_store_that_is_away_while_clearing_is_said(store: Store, monitor: FileDatabase) -> None:
    """The table is cleared; the next look notes that the alarm has ended."""
    made(monitor, {123: "apache2"}, {123: 1})
    async with plant(store, monitor.url, configured("apache2")) as one:
        await one.alarms.tick()
        one.store.plan.append("before")
        (sentence,) = await one.alarms.clear("apache2")
        assert "as planned" in sentence
        await one.passes()
        assert await one.standing() == []
        assert [row.ended_by for row in await everything(store)] == ["monitor"]


async def test_looks_and_clearing_do_not_cross(store: Store, monitor: FileDatabase) -> None:
    """Whatever runs at once, an alarm that was cleared is not raised again by a look from before."""
    names = {number: f"service-{number}" for number in range(8)}
    made(monitor, names, dict.fromkeys(names, 1))
    async with plant(store, monitor.url, configured(*names.values())) as one:
        await one.alarms.tick()
        one.clock.pass_(30.0)
        work = [one.alarms.clear(name) for name in names.values()]
        ticks = [one.alarms.tick() for _ in range(8)]
        found = await asyncio.gather(*(each for pair in zip(work, ticks, strict=True) for each in pair))
        assert [each for each in found if each] == []
        await one.passes()
        assert len(await one.items()) == 8
        assert {row.ended_by for row in await everything(store)} == {"restart"}
        assert len(await everything(store)) == 8


async def test_hostile_names_lead_to_nothing_but_a_warning(
    store: Store, monitor: FileDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """NUL, what is no UTF-8, a megabyte, ends of lines: nobody's service, stored and logged all the same."""
    monitor.execute(
        "CREATE TABLE PROCESE (process_id, process_name); CREATE TABLE STATUS_PROCESS (process_id, alarma);"
        "INSERT INTO PROCESE VALUES (1, CAST(x'77656200' AS TEXT)), (2, CAST(x'eda080' AS TEXT)),"
        " (3, printf('%.*c', 1048576, 'x')), (4, 'web' || char(10) || 'FAKE LOG LINE'), (5, NULL),"
        " (printf('%.*c', 1048576, '9'), 'long'), (printf('%.*c', 1048577, '9'), 'longer'), ('6' || char(10), 'web');"
        "INSERT INTO STATUS_PROCESS SELECT process_id, 1 FROM PROCESE"
    )
    async with plant(store, monitor.url, configured("web")) as one:
        await one.alarms.tick()
        await one.passes()
        assert len(await one.standing()) == 8
        assert len({alarm.head for alarm in await one.standing()}) == 8
        (item,) = await one.items()
        assert item.reason == "process 6\ufffd (web) is in alarm in plant"
        messages = [one.getMessage() for one in caplog.records]
        assert len(messages) == 8
        assert all(message.isprintable() and len(message) < 1000 for message in messages)
        assert await one.alarms.clear("web") == []
        monitor.execute("UPDATE STATUS_PROCESS SET alarma = 0")
        await one.passes()
        assert await one.standing() == []


async def test_a_storm_is_worked_through(store: Store, monitor: FileDatabase, caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand alarms: each configured one leads to its item, and the log tells of few and the number."""
    names = {number: f"service-{number}" for number in range(10_000)}
    made(monitor, names, dict.fromkeys(names, 1))
    configured_names = [names[number] for number in range(0, 10_000, 10)]
    async with plant(store, monitor.url, configured(*configured_names)) as one:
        await one.alarms.tick()
        assert one.alarms.trouble is None
        assert Counter(item.key for item in await one.items()) == Counter(configured_names)
        assert len(await one.standing()) == 10_000
        assert len(caplog.records) == 51
        monitor.execute("UPDATE STATUS_PROCESS SET alarma = 0")
        await one.passes()
        assert await one.standing() == []
        assert {state for _, state, _ in await one.states()} == {"cancelled"}


async def test_a_source_that_is_configured_no_more_has_no_alarms(store: Store, monitor: FileDatabase) -> None:
    """Nobody would ever see their end: what waits for them is cancelled."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web")) as one:
        await one.alarms.tick()
        one.adopt(configured("web", alarms={}))
        await one.alarms.tick()
        assert await one.standing() == []
        assert await one.states() == [("web", "cancelled", "resolved")]
        assert one.alarms.next_look_at is None


async def test_old_alarms_are_forgotten(store: Store, monitor: FileDatabase) -> None:
    """Those that ended so long ago; one that stands is kept, however old."""
    made(monitor, {1: "web", 2: "db"}, {1: 1, 2: 1})
    async with plant(store, monitor.url, configured("web", "db")) as one:
        await one.alarms.tick()
        ring(monitor, 1, 0)
        await one.passes()
        await one.passes(PURGE_EVERY)
        assert len(await everything(store)) == 2
        await one.passes(366 * DAY)
        assert [row.process for row in await everything(store)] == ["db"]


async def test_it_looks_by_itself_until_it_is_closed(store: Store, monitor: FileDatabase) -> None:
    """From start to close, and at once when a configuration comes."""
    made(monitor, {1: "web"}, {1: 1})
    async with plant(store, monitor.url, configured("web", alarms={})) as one:
        one.alarms.start()
        async with asyncio.timeout(20):
            while one.alarms.next_look_at is not None:  # noqa: ASYNC110 - it begins
                await asyncio.sleep(0.01)
            one.adopt(configured("web"))
            while not await one.items():  # noqa: ASYNC110 - another loop does it
                await asyncio.sleep(0.01)
            await one.alarms.close()
        assert await one.states() == [("web", "pending", None)]


async def test_alarms_outlive_a_restart_of_ours(store: Store, monitor: FileDatabase) -> None:
    """The next process finds what stands, with its item, and ends it when it is over."""
    made(monitor, {1: "web"}, {1: 1})
    clock = FakeClock()
    async with plant(store, monitor.url, configured("web"), clock=clock) as one:
        await one.alarms.tick()
    clock.pass_(3600.0)
    async with plant(store, monitor.url, configured("web"), clock=clock) as one:
        await one.alarms.tick()
        assert len(await one.items()) == 1
        ring(monitor, 1, 0)
        await one.passes()
        assert await one.states() == [("web", "cancelled", "resolved")]
    assert await process_alarms.sources(store) == []
