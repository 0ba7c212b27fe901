"""Many rules about many alerts: asked before the transaction, and so that others have their turn meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from exporter.policy import decide
from exporter.store import incidents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.alerts import Delivery
    from exporter.bridge.terms import Terms
    from exporter.policy import Decision
    from exporter.store.store import Store

ASKED: Final = 50_000
"""Alerts times rules from which the rules are asked before the transaction: some tens of milliseconds."""
ASKED_AT_ONCE: Final = 5_000
"""Rules that are asked between two turns of everybody else: some milliseconds."""


async def asked(store: Store, terms: Terms, deliveries: Sequence[Delivery]) -> Mapping[int, tuple[Decision, ...]]:
    """Return decisions by the `id` of the alert; none where there is so little to ask that it does not matter.

    What is known already as open is left out: nothing is asked about it. Raises StoreError.
    """
    rules = len(terms.rulebook.rules)
    firing = [one for delivery in deliveries for one in delivery.alerts if one.status == "firing"]
    if rules * len(firing) <= ASKED:
        return {}
    async with store.reading() as connection:
        known = await incidents.heads(connection, {one.fingerprint for one in firing}, lock=False)
    decided: dict[int, tuple[Decision, ...]] = {}
    spent = 0
    for alert in firing:
        head = known.get(alert.fingerprint)
        if head is not None and head.episode.state == "open" and head.rulebook == terms.rulebook.digest:
            continue
        decided[id(alert)] = decide(alert.labels, terms.rulebook)
        spent += len(terms.rulebook.asked(alert.labels))
        if spent > ASKED_AT_ONCE:
            spent = 0
            await asyncio.sleep(0)
    return decided
