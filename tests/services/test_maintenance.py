"""Who is in a window now and why, by the configuration and by the store, also over the changes of the clocks."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.lives import Faulty
from servers.watched import NOON, FakeClock, service
from sqlalchemy import update

from exporter import config, probing
from exporter.config.options import Duration
from exporter.errors import StoreError
from exporter.schedule import Cron
from exporter.services import maintenance as maintaining
from exporter.services.maintenance import Maintenance
from exporter.services.watch import LOOK_EVERY, Watch
from exporter.store import bridge_tables, windows
from exporter.windows import Window, WindowOptions
from exporter.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.services.service import Service

WEB, SHOP, DATABASE = (
    service(1, name="web", group="front"),
    service(2, name="shop", group="front"),
    service(3, name="db"),
)


def covered(maintenance: Maintenance, now: float, *services: Service) -> set[int]:
    return set(maintenance.covered(services or (WEB, SHOP, DATABASE), now))


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        pytest.param({"services": ("web",)}, {1}, id="a service"),
        pytest.param({"groups": ("front",)}, {1, 2}, id="a group"),
        pytest.param({"all": True}, {1, 2, 3}, id="all"),
        pytest.param({"services": ("db",), "groups": ("front",)}, {1, 2, 3}, id="both"),
        pytest.param({"services": ("other",)}, set(), id="another"),
    ],
)
def test_a_window_covers_what_it_names_while_it_lasts(options: dict[str, object], ids: set[int]) -> None:
    """From its first moment on and not at the moment of its end, also where the clock is set back into it."""
    window = WindowOptions(start="2026-05-01T12:00:00Z", end="2026-05-01T13:00:00Z", **options)  # type: ignore[arg-type]
    maintenance = Maintenance((window,))
    assert covered(maintenance, NOON - 0.001) == set()
    assert covered(maintenance, NOON) == ids
    assert covered(maintenance, NOON + 3599.9) == ids
    assert covered(maintenance, NOON + 3600) == set()
    assert covered(maintenance, NOON + 10) == ids


def test_several_windows_are_one_and_repeat() -> None:
    maintenance = Maintenance(
        (
            WindowOptions(services=("web",), cron="0 3 * * *", duration=Duration(3600.0), timezone="Europe/Bucharest"),
            WindowOptions(services=("db",), cron="30 3 * * *", duration=Duration(3600.0), timezone="Europe/Bucharest"),
        )
    )
    found = []
    for text in ("02:59:59", "03:00:00", "03:30:00", "03:59:59", "04:00:00", "04:29:59", "04:30:00"):
        for day in ("2026-05-02", "2026-05-03"):
            at = datetime.fromisoformat(f"{day}T{text}+03:00").timestamp()
            found.append((day, text, covered(maintenance, at)))
    for text, ids in (("02:59:59", set()), ("03:00:00", {1}), ("03:30:00", {1, 3}), ("03:59:59", {1, 3})):
        assert [one for *_, one in [each for each in found if each[1] == text]] == [ids, ids]
    for text, ids in (("04:00:00", {3}), ("04:29:59", {3}), ("04:30:00", set())):
        assert [one for *_, one in [each for each in found if each[1] == text]] == [ids, ids]


def test_services_that_come_and_go_are_seen_while_a_window_lasts() -> None:
    window = WindowOptions(all=True, start="2026-05-01T12:00:00Z", end="2026-05-01T13:00:00Z")
    maintenance = Maintenance((window,))
    assert covered(maintenance, NOON, WEB) == {1}
    assert covered(maintenance, NOON + 1, SHOP, DATABASE) == {2, 3}


def test_without_windows_nobody_is_in_one() -> None:
    assert covered(Maintenance(()), NOON) == set()


def once(begin: str, end: str, **keys: Any) -> WindowOptions:
    """Return a window of the first of May."""
    return WindowOptions(start=f"2026-05-01T{begin}Z", end=f"2026-05-01T{end}Z", **keys)


UNTIL_13 = "planned maintenance until 2026-05-01 13:00 UTC"
UNTIL_14 = "planned maintenance until 2026-05-01 14:00 UTC: the long one"


@pytest.mark.parametrize(
    ("options", "asked", "reason"),
    [
        pytest.param([once("12:00", "13:00", services=("web",))], ("web", None), UNTIL_13, id="by name"),
        pytest.param([once("12:00", "13:00", groups=("front",))], ("new", "front"), UNTIL_13, id="by group"),
        pytest.param([once("12:00", "13:00", services=("web",))], ("db", "web"), None, id="another"),
        pytest.param([once("12:00", "13:00", all=True)], (None, None), UNTIL_13, id="no service, everything"),
        pytest.param(
            [once("12:00", "13:00", services=("web",), groups=("front",))],
            (None, "front"),
            UNTIL_13,
            id="a group alone",
        ),
        pytest.param([once("12:00", "13:00", services=("web",))], (None, None), None, id="no service"),
        pytest.param([once("12:30", "13:00", all=True)], ("web", None), None, id="not yet"),
        pytest.param([], ("web", None), None, id="no window"),
        *(
            pytest.param(
                [
                    once("12:00", "13:00", **first),
                    once("11:00", "14:00", comment="the long one", **second),
                    once("10:00", "12:30", all=True),
                ],
                ("web", "front"),
                UNTIL_14,
                id=f"of several the one that ends last: {', '.join((*first, *second))}",
            )
            for first in ({"services": ("web",)}, {"groups": ("front",)}, {"all": True})
            for second in ({"services": ("web",)}, {"groups": ("front",)}, {"all": True})
        ),
    ],
)
def test_the_reason_is_that_of_the_window_that_ends_last(
    options: list[WindowOptions], asked: tuple[str | None, str | None], reason: str | None
) -> None:
    """For who covers one and for who asks for one alone."""
    maintenance = Maintenance(options)
    assert maintenance.reason(*asked, NOON) == reason
    if asked[0] is not None:
        found = maintenance.covered([service(7, name=asked[0], group=asked[1])], NOON)
        assert found == ({} if reason is None else {7: reason})


times = st.integers(0, 48).map(lambda half: NOON + half * 1800.0)
subjects = st.fixed_dictionaries(
    {
        "services": st.sets(st.sampled_from(["web", "shop", "db"]), max_size=2).map(frozenset),
        "groups": st.sets(st.just("front")).map(frozenset),
        "everything": st.booleans(),
    }
)
spans = st.tuples(times, st.integers(1, 12)).map(lambda one: {"start": one[0], "end": one[0] + one[1] * 1800.0})
crons = st.tuples(
    st.sampled_from(["0 2 * * *", "30 3 * * 0", "0 */5 * * *", "30 1,2,3 * * *"]),
    st.sampled_from(["UTC", "Europe/Bucharest", "America/New_York", "Australia/Lord_Howe"]),
    st.integers(1, 9),
).map(lambda one: {"cron": Cron.parse(one[0], one[1]), "duration": one[2] * 1800.0})
anything = st.builds(lambda named, when: Window(**named | when), subjects, spans | crons)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(anything, max_size=4),
    st.sampled_from(["2026-05-01", "2026-03-08", "2026-03-29", "2026-04-05", "2026-10-25", "2026-11-01"]),
    st.lists(st.integers(0, 60), min_size=1, max_size=12),
)
def test_what_is_kept_between_two_changes_is_what_the_windows_say(
    planned: list[Window], day: str, offsets: list[int]
) -> None:
    """Several frames in several zones, over the changes of clocks, asked in any order: as each window by itself."""
    maintenance = Maintenance(())
    maintenance._of_store = tuple(planned)
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
    for offset in offsets:
        now = midnight + offset * 1800.0
        told = maintenance.covered((WEB, SHOP, DATABASE), now)
        for one in (WEB, SHOP, DATABASE):
            ends = {
                window.reason(now): window.next_change(now) or 0.0
                for window in planned
                if window.active(now) and window.covers(one.name, one.group)
            }
            assert (one.id in told) is bool(ends)
            assert maintenance.reason(one.name, one.group, now) == told.get(one.id)
            if ends:
                assert ends[told[one.id]] == max(ends.values())
        everything = any(window.active(now) and window.everything for window in planned)
        assert (maintenance.reason(None, None, now) is not None) is everything


def test_a_new_configuration_takes_effect_at_once() -> None:
    maintenance = Maintenance([once("12:00", "13:00", all=True)])
    assert covered(maintenance, NOON) == {1, 2, 3}
    maintenance.configure([once("12:00", "13:00", services=("db",))])
    assert covered(maintenance, NOON) == {3}
    maintenance.configure([])
    assert covered(maintenance, NOON) == set()


async def test_windows_of_the_store_come_and_go_beside_those_of_the_file(
    url: str, open_store: Callable[..., Any]
) -> None:
    """Each look takes what others changed; a reload keeps it; nothing is read where nothing changed."""
    store = await open_store(url)
    maintenance = Maintenance([once("12:00", "13:00", services=("web",))])
    assert not maintenance.known
    await maintenance.look(store, NOON)
    assert maintenance.known
    assert covered(maintenance, NOON) == {1}
    plan = Window(services=frozenset({"db"}), comment="a new disk", start=NOON - 60, end=NOON + 60)
    (one,) = await windows.add(store, [plan], "cli:ann", NOON)
    assert covered(maintenance, NOON) == {1}
    await maintenance.look(store, NOON)
    assert covered(maintenance, NOON) == {1, 3}
    assert maintenance.reason("db", None, NOON) == "planned maintenance until 2026-05-01 12:01 UTC: a new disk"
    maintenance.configure([])
    assert covered(maintenance, NOON) == {3}
    before = maintenance._of_store
    await maintenance.look(store, NOON)
    assert maintenance._of_store is before
    await windows.end(store, one, "cli:ann", NOON + 1)
    await maintenance.look(store, NOON + 1)
    assert covered(maintenance, NOON + 1) == set()


async def test_without_the_store_the_last_known_windows_stay(
    new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    store = await open_store(new_url("sqlite"))
    maintenance = Maintenance(())
    await windows.add(store, [Window(everything=True, start=NOON, end=NOON + 60)], "cli:ann", NOON)
    await maintenance.look(store, NOON)
    async with store.writing() as connection:
        await connection.exec_driver_sql("DROP TABLE windows")
    with pytest.raises(StoreError):
        await maintenance.look(store, NOON + 1)
    assert covered(maintenance, NOON + 59) == {1, 2, 3}
    assert covered(maintenance, NOON + 60) == set()


async def test_a_window_that_cannot_be_kept_is_told_once(
    new_url: Callable[[str], str], open_store: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What is planned there would be taken for a fault: its number and why are in the log, the others are kept."""
    store = await open_store(new_url("sqlite"))
    maintenance = Maintenance(())
    plan = Window(services=frozenset({"db"}), start=NOON, end=NOON + 60)
    _, bad = await windows.add(store, [plan, plan], "cli:ann", NOON)
    async with store.writing() as connection:
        table = bridge_tables.windows
        changed = update(table).where(table.c.id == bad)
        await connection.execute(changed.values(cron="0 2 * * *", timezone="Mars/Base"))
    for _ in range(3):
        await maintenance.look(store, NOON)
        await windows.add(store, [plan], "cli:ann", NOON)
    told = [record.getMessage() for record in caplog.records if record.name == maintaining.__name__]
    assert len(told) == 1
    assert told[0].startswith(f"the window {bad} is not kept: ")
    assert "Mars/Base" in told[0]
    assert covered(maintenance, NOON) == {3}


SERVICES = "services: {web: {group: front, probe: {kind: tcp, address: '127.0.0.1:1'}}}\n"


async def test_a_running_watch_sees_what_another_process_plans_within_its_look(
    url: str, open_store: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Added and ended over another connection: the service is in maintenance and out of it, over a reload too."""
    caplog.set_level(logging.INFO)
    found, clock = config.parse(SERVICES, name="test.yml"), FakeClock()
    store, wire = Faulty(await open_store(url)), Wire(clock=clock)
    other = await open_store(url)
    watch = Watch(store, clock, "me", found, None, "host")  # type: ignore[arg-type]  # a store with a plan
    parts = probing.Parts(wire=wire, databases={}, clock=clock, permits=lambda _: True)
    watch.adopt(found, parts)

    async def states(seconds: float) -> set[str]:
        while seconds > 0:
            clock.pass_(1.0)
            await watch.tick()
            seconds -= 1.0
        return {one.state for one in watch.board}

    assert await states(1) == {"unknown"}
    held = watch.maintenance
    plan = Window(groups=frozenset({"front"}), start=NOON, end=NOON + 3600)
    (number,) = await windows.add(other, [plan], "cli:ann", clock.time())
    assert await states(LOOK_EVERY) == {"maintenance"}
    watch.adopt(found, parts)
    assert await states(1) == {"maintenance"}
    assert watch.maintenance is held
    assert held.reason("web", "front", clock.time()) == UNTIL_13
    assert await windows.end(other, number, "cli:ann", clock.time())
    assert await states(LOOK_EVERY) == {"unknown"}
    assert watch.trouble is None
    await wire.close()
