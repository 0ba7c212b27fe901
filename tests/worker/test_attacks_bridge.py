"""What a reload takes back is not done any more, wherever the item was when it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, new

from exporter.store import backlog

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE = "mode: auto\nqueues: {q: {action: {kind: command, argv: [/bin/echo, did]}}}\n"


@pytest.mark.parametrize(
    ("rule", "state"),
    [("observe", "held"), ("approve", "held"), ("auto", "done")],
)
async def test_a_rule_that_became_stricter_holds_what_waits(place: Callable[..., Any], rule: str, state: str) -> None:
    """The item was stored while the rule might act; the rule's mode of now holds for it, too."""
    here = await place(f"{QUEUE}rules: [{{name: r, action: enqueue, queue: q, mode: {rule}}}]\n")
    now = here.clock.time()
    await enqueue(here.store, [new(due_at=now, rule="r", step=0, mode="auto")], now)
    await here.turn(here.worker())
    (item,) = await backlog.listed(here.store, queue="q")
    assert (item.state, item.hold) == (state, None if state == "done" else "mode")
