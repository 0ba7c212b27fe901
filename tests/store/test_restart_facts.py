"""What the gate asks the store for: what is to be restarted, and what the end of a restart makes due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from servers.backlog import enqueue, new

from exporter.model import HOLDS, ITEM_STATES
from exporter.store import backlog, restart_facts
from exporter.store.backlog_rows import UNFINISHED, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from exporter.store.store import Store

NOON: Final = 1_777_636_800.0


def item(key: str, **changes: Any) -> Any:
    return new(key, **{"queue": "restarts", "service": key, "due_at": NOON} | changes)


async def wanted(store: Store, since: float = NOON - 600) -> dict[str, restart_facts.Wanted]:
    async with store.reading() as connection:
        return {one.service: one for one in await restart_facts.wanted(connection, "restarts", since)}


async def test_what_is_to_be_restarted_or_was_of_late(url: str, open_store: Callable[..., Any]) -> None:
    """What is not over, however old it is; of what is over only what something wrong led to, and no person."""
    store = await open_store(url)
    old, late = NOON - 600.0, NOON - 599.0
    for now, age in ((old, "old"), (late, "late")):
        await enqueue(store, [item(f"{age}-{state}", state=state) for state in ITEM_STATES], now)
        await enqueue(store, [item(f"{age}-{origin}", state="done", origin=origin) for origin in ("alarm", "cli")], now)
    await enqueue(store, [item("elsewhere", queue="q"), item("nobody", service=None)], late)
    expected = {f"old-{state}" for state in UNFINISHED} | {f"late-{state}" for state in ITEM_STATES} | {"late-alarm"}
    found = await wanted(store)
    assert set(found) == expected
    await enqueue(store, [item("why", state="held", hold="window", explanation="upgrade", origin="alarm")], NOON)
    one = (await wanted(store))["why"]
    assert (one.state, one.hold, one.origin) == ("held", "window", "alarm")


async def test_the_services_of_which_something_is_due(
    new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """Each once; what runs or is over is not due."""
    store = await open_store(new_url("sqlite"))
    await enqueue(store, [item(state, state=state) for state in ITEM_STATES])
    await enqueue(store, [item("pending"), item("later", due_at=NOON + 1), item("q", queue="q")])
    assert await restart_facts.due(store, "restarts", NOON) == set(WAITING)
    assert await restart_facts.due(store, "restarts", NOON + 1) == {*WAITING, "later"}


async def test_what_the_end_of_a_restart_may_have_freed_is_due_at_once(
    url: str, open_store: Callable[..., Any]
) -> None:
    """What waited for it, not what waits for a person or for a window; and what its circuit bars from now on."""
    store = await open_store(url)
    held = [item(hold, state="held", hold=hold, due_at=NOON + 60) for hold in HOLDS]
    failed = [item(name, state="failed", due_at=NOON + 60) for name in ("opened", "other")]
    await enqueue(store, [*held, *failed, item("q", queue="q", state="held", hold="busy", due_at=NOON + 60)])
    await enqueue(store, [item("due", state="held", hold="busy", due_at=NOON - 60)])
    numbers = {one.key: one.id for one in await backlog.listed(store)}
    async with store.writing() as connection:
        assert await restart_facts.made_due(connection, "restarts", NOON, {numbers["opened"]}) == 5
    due = {one.key: one.due_at for one in await backlog.listed(store)}
    assert {key for key, at in due.items() if at == NOON} == {"busy", "circuit", "dependency", "budget", "opened"}
    assert due["due"] == NOON - 60


async def test_what_runs_is_known_however_many_wait(
    open_store: Callable[..., Any], new_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a second item of its service would begin beside it (I3), and its trial would be none (I4)."""
    monkeypatch.setattr(restart_facts, "MOST", 3)
    store = await open_store(new_url("sqlite"))
    await enqueue(store, [item("web", state="running")])
    await enqueue(store, [item("web") for _ in range(5)])
    await enqueue(store, [item(f"pending-{number}") for number in range(5)])
    async with store.reading() as connection:
        found = await restart_facts.wanted(connection, "restarts", NOON)
    assert ("web", "running") in {(one.service, one.state) for one in found}
    assert len({one.service for one in found}) == 6
