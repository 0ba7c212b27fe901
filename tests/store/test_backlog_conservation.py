"""No item is lost and none appears, whatever happens to the backlog (I9)."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.backlog import BEGIN, enqueue, incident, new, put

from exporter.store import backlog, backlog_claims, backlog_takeover
from exporter.store.action_runs import Ended
from exporter.store.backlog_claims import Finish, Holder, KeepBack, Wish
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.backlog_rows import BacklogItem

HOLDERS = [Holder(f"w{place}#1", f"w{place}", 30.0) for place in range(2)]
WHO: dict[str, Any] = {"actor": "cli:ann", "now": 200.0}
_names = itertools.count()

STEPS = st.one_of(
    st.tuples(st.just("enqueue"), st.integers(1, 4)),
    st.tuples(st.just("add"), st.integers(0, 2)),
    st.tuples(st.just("claim"), st.integers(0, 1)),
    st.tuples(st.just("hold"), st.integers(0, 1)),
    st.tuples(st.just("finish"), st.sampled_from(["done", "failed", "dead", None])),
    st.tuples(st.sampled_from(["expire", "resolve", "approve", "retry", "clear", "mark", "purge"]), st.none()),
)


class History:
    """One history of a queue of its own, and how many items it must hold."""

    def __init__(self, store: Store, queue: str, incident_: int) -> None:
        self.store, self.queue, self.incident = store, queue, incident_
        self.expected = 0
        self.claims: list[tuple[Holder, BacklogItem]] = []
        self.fences: dict[int, int] = {}

    async def step(self, verb: str, argument: Any) -> None:
        """Let one thing happen."""
        await getattr(self, verb)(argument)

    async def enqueue(self, count: int) -> None:
        """Let a rule lead to items, of which some may be there."""
        items = [
            new(f"r{place}", queue=self.queue, incident_id=self.incident, rule=self.queue, step=place)
            for place in range(count)
        ]
        self.expected += await enqueue(self.store, items)

    async def add(self, place: int) -> None:
        """Let a person add one, which may be there."""
        self.expected += (await backlog.add(self.store, self.queue, f"a{place}", "", **WHO))[1]

    async def resolve(self, _: Any) -> None:
        """Let the alert resolve."""
        async with self.store.writing() as connection:
            await backlog.cancelled_by_resolve(connection, [self.incident], 200.0)

    async def approve(self, _: Any) -> None:
        """Let a person release what is held."""
        await backlog.approve(self.store, await self.ids(), **WHO)

    async def retry(self, _: Any) -> None:
        """Let a person try all again."""
        await backlog.retry(self.store, await self.ids(), **WHO)

    async def clear(self, _: Any) -> None:
        """Let a person cancel what waits."""
        await backlog.clear(self.store, self.queue, **WHO)

    async def mark(self, _: Any) -> None:
        """Let a person have done one."""
        await backlog.mark_processed(self.store, self.queue, "a0", **WHO)

    async def purge(self, _: Any) -> None:
        """Forget what was over first."""
        self.expected -= await backlog.purge(self.store, 1e11, 1)

    async def ids(self) -> list[int]:
        """Return all there is."""
        return [item.id for item in await backlog.listed(self.store, queue=self.queue)]

    async def hold(self, place: int) -> None:
        """Hold two items for the mode."""
        await self.claim(place, KeepBack("mode", "", 150.0))

    async def claim(self, place: int, decision: Any = BEGIN) -> None:
        """Claim two items."""
        holder = HOLDERS[place]
        async with self.store.writing() as connection:
            found = await backlog_claims.claimed(
                connection, self.store, holder, Wish(self.queue, 2), lambda *_: decision
            )
        for item in found.begun:
            assert item.fence > self.fences.get(item.id, 0)
            self.fences[item.id] = item.fence
        self.claims += [(holder, item) for item in found.begun]

    async def finish(self, state: Any) -> None:
        """End the oldest claim, which may be somebody else's by now."""
        if not self.claims:
            return
        holder, item = self.claims.pop(0)
        async with self.store.writing() as connection:
            if state is None:
                ours = await backlog_claims.released(connection, holder.owner, [item])
            else:
                end = Finish(item, state, "", 150.0, Ended(item.id, item.fence, "done", "", "", 150.0))
                ours = await backlog_claims.finished(connection, holder.owner, [end])
        assert ours == ({item.id} if self.fences[item.id] == item.fence else set())

    async def expire(self, _: Any) -> None:
        """Let the leases end, and another take the items over."""
        for number in await self.ids():
            await put(self.store, number, lease_until=1.0)
        async with self.store.writing() as connection:
            taken, _ = await backlog_takeover.overdue(connection, self.store, HOLDERS[0], queues=[self.queue])
        for item in taken:
            self.fences[item.id] = item.fence
        self.claims += [(HOLDERS[0], item) for item in taken]

    async def check(self) -> None:
        """Every item is in one state, one that runs has an owner and no other has."""
        counts = await backlog.counts(self.store)
        assert sum(count for (queue, _), count in counts.items() if queue == self.queue) == self.expected
        for item in await backlog.listed(self.store, queue=self.queue):
            assert (item.state == "running") == (item.lease_owner is not None)
            assert (item.finished_at is not None) == (item.state in {"done", "cancelled"})


def test_what_was_enqueued_is_in_some_state(new_url: Callable[[str], str]) -> None:
    """Enqueued is pending, held, running, done, failed, dead or cancelled, or was purged, after any history."""
    url = StoreOptions.from_scalar(new_url("sqlite"))

    async def live(steps: list[tuple[str, Any]]) -> None:
        store = await Store.open(url, time, exclusive=False)
        try:
            name = f"q{next(_names)}"
            history = History(store, name, await incident(store, name))
            for verb, argument in steps:
                await history.step(verb, argument)
                await history.check()
            await backlog.clear(store, None, **WHO)
            async with store.writing() as connection:
                await backlog_claims.strays(connection, HOLDERS[0].owner, [])
            await backlog.purge(store, 1e11, 1000)
        finally:
            await store.close()

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(STEPS, max_size=15))
    def lives(steps: list[tuple[str, Any]]) -> None:
        asyncio.run(live(steps))

    lives()
