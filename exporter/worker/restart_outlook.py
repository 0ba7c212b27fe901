"""What the gate of restarts would say now, of several at once: read from the store without a lock, nothing changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from exporter import budgets, circuit, order
from exporter.bridge.plans import PlannedRestart
from exporter.services.overview import overview
from exporter.store import backlog_clock, client_services
from exporter.worker import restart_gate, restart_reading
from exporter.worker.gate import Go
from exporter.worker.restart_gate import Asked, Situation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from exporter.bridge.plans import Verdict
    from exporter.config import Configuration
    from exporter.restarting.strategy import Restartable, Strategy
    from exporter.services.overview import Overview
    from exporter.store.store import Store
    from exporter.worker.gate import Facts, Held


@dataclass(frozen=True, slots=True)
class Ask:
    """A restart that is asked for: by a person, or because something is wrong.

    `released` is False where a person has to release it first: it is told what would become of it then.
    """

    service: str
    facts: Facts
    by_person: bool = False
    released: bool = True


async def read(
    store: Store | None, configuration: Configuration, terms: Restartable, services: Collection[str], now: float
) -> Situation:
    """Return what is known for a decision on services; of those that they need what the store saw last, not a probe.

    `now` is by our clock, in seconds since 1970. StoreError when the store does not answer; without one nothing is
    known.
    """
    if store is None:
        return Situation(now)
    seen = await _seen(store, configuration, terms, services, now)
    up = frozenset(one.service.name for one in seen if one.state in {"up", "degraded"})
    down = {one.service.name: one.reason for one in seen if one.state == "down"}
    async with store.reading(snapshot=True) as connection:
        at: Any = (await connection.execute(select(backlog_clock.now(store)))).scalar_one()
        return await restart_reading.situation(connection, terms, (now, float(at)), up, down)


async def _seen(
    store: Store, configuration: Configuration, terms: Restartable, services: Collection[str], now: float
) -> list[Overview]:
    """Return how the services are that some services need."""
    wanted = {one for name in services for one in order.ancestors(name, terms.parents)} & set(terms.probes)
    if not wanted:
        return []
    keys = {(configuration.services[name].client, name) for name in wanted}
    ids = [one.id for one in await client_services.listed(store) if (one.client, one.name) in keys]
    return await overview(store, now, ids)


def planned(
    asks: Sequence[Ask], configuration: Configuration, terms: Restartable, now: Situation
) -> list[PlannedRestart]:
    """Return what would become of restarts that are asked for together, in the order in which they are given.

    What comes first is taken to help: what waits for it is decided as it is then. `now` is used up.
    """
    caused = {ask.service for ask in asks if not ask.by_person}
    now = replace(now, failing=now.failing | caused, waiting=dict(now.waiting), down=dict(now.down))
    names = order.sorted_by_need((ask.service for ask in asks), terms.parents)
    outlook = _Outlook(configuration, terms, now, {name: number for number, name in enumerate(names, 1)})
    places = sorted(
        range(len(asks)),
        key=lambda place: (outlook.numbers[asks[place].service], not asks[place].released, place),
    )
    found = {place: outlook.of(asks[place]) for place in places}
    return [found[place] for place in range(len(asks))]


@dataclass(slots=True)
class _Outlook:
    """Decides on one after the other; `numbers` is the order of the services."""

    configuration: Configuration
    terms: Restartable
    now: Situation
    numbers: Mapping[str, int]
    known: dict[str, PlannedRestart] = field(default_factory=dict)

    def of(self, ask: Ask) -> PlannedRestart:
        """Return what becomes of the next one."""
        before = self.known.get(ask.service)
        if before is None:
            self.known[ask.service] = found = self._first(ask, self.terms.strategies[ask.service])
            return found
        if before.verdict != "run":
            return before
        sentence = f"another restart of {ask.service} comes before it; where that helps, nothing more is done"
        return replace(before, verdict="held", hold="busy", sentence=sentence)

    def _first(self, ask: Ask, strategy: Strategy) -> PlannedRestart:
        name, now = ask.service, self.now
        needed = order.ancestors(name, self.terms.parents)
        after = tuple(one for one in reversed(needed) if one in self.known and self.known[one].verdict == "run")
        for one in after:
            self._ended_well(self.terms.strategies[one])
        asked = Asked(-self.numbers[name], ask.facts, by_person=ask.by_person)
        states = {called: now.circuit(key).state(now.now) for key, called in restart_gate.keys(strategy)}
        spent = budgets.spent(self.terms.budgets, now.begun, name, strategy.group, now.now)
        dependency = order.barred(name, self.terms.parents, order.Troubles(now.waiting, now.down))
        fleet = None if ask.by_person else budgets.tripped(self.terms.breaker, self.terms.fleet, now.failing)
        verdict = restart_gate.decided(asked, strategy, self.terms, now)
        self._noted(ask, strategy, verdict)
        word, hold, sentence = self._said(ask, strategy, verdict, after)
        return PlannedRestart(
            name,
            self.numbers[name],
            after,
            word,
            hold,
            sentence,
            states,
            ask.facts.window,
            None if spent is None else spent.sentence,
            fleet,
            None if dependency is None else self._named(dependency),
            tuple(self._unseen(ask, needed)),
        )

    def _noted(self, ask: Ask, strategy: Strategy, verdict: Go | Held) -> None:
        """Let what comes next see what becomes of a restart."""
        if isinstance(verdict, Go) and ask.released:
            self.now.begin(-self.numbers[ask.service], strategy)
            return
        hold = verdict.hold if not isinstance(verdict, Go) and ask.released else "mode"
        self._waiting[ask.service] = f"{restart_reading.WHY['held']} ({hold})"

    @property
    def _waiting(self) -> dict[str, str]:
        assert isinstance(self.now.waiting, dict)  # noqa: S101 -- `planned` has made it one
        return self.now.waiting

    def _ended_well(self, strategy: Strategy) -> None:
        """Let the restart of a service be over: it helped."""
        self._waiting.pop(strategy.service, None)
        self.now.running.pop(strategy.service, None)
        self.now.down = {name: why for name, why in self.now.down.items() if name != strategy.service}
        for key, _ in restart_gate.keys(strategy):
            self.now.circuits[key] = circuit.reset(self.now.circuit(key))

    def _said(
        self, ask: Ask, strategy: Strategy, verdict: Go | Held, after: tuple[str, ...]
    ) -> tuple[Verdict, str | None, str]:
        if not isinstance(verdict, Go):
            return ("skipped" if verdict.hold is None else "held"), verdict.hold, self._named(verdict.sentence)
        foreign = strategy.service in self.terms.foreign
        where = f" by the replica of the node {strategy.node}" if foreign else ""
        if not after:
            return "run", None, f"nothing is in the way: it is restarted{where}"
        well = "" if ask.by_person else ", unless it is well by then"
        return "run", None, f"it is restarted{where} after {', '.join(after)}{well}"

    def _named(self, sentence: str) -> str:
        """Return a sentence in which what is only planned is named, and has no number."""
        for name, number in self.numbers.items():
            sentence = sentence.replace(f"(item {-number})", f"(that of {name})")
        return sentence

    def _unseen(self, ask: Ask, needed: Collection[str]) -> Iterator[str]:
        probed = [name for name in needed if name in self.terms.probes]
        if probed:
            yield f"not probed: {', '.join(probed)} (what the store saw last counts)"
        if not ask.by_person and self.configuration.alertmanager.url is not None:
            yield "not asked: the silences of Alertmanager"
