"""What would become of a payload, without doing any of it: the same decisions over the same facts."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from exporter import alerts
from exporter.bridge import booking
from exporter.bridge.foreseen import foreseen
from exporter.bridge.options import RESTARTS
from exporter.bridge.plans import PlannedAlert, PlannedStep
from exporter.bridge.rulebook import rulebook
from exporter.bridge.terms import terms
from exporter.model import Plan
from exporter.policy import decide
from exporter.restarting.strategy import restartable
from exporter.store import incidents
from exporter.worker import restart_outlook
from exporter.worker.gate import Facts
from exporter.worker.restart_outlook import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.alerts import Alert, Delivery
    from exporter.bridge.plans import Outcome, PlannedRestart, Verdict
    from exporter.config import Configuration
    from exporter.policy import Decision
    from exporter.restarting.strategy import Restartable
    from exporter.store.incidents import Head
    from exporter.store.store import Store

    Windows = Callable[[str | None, str | None], str | None]
    """Why a service (and its group) is in planned maintenance now, or None."""


async def planned(
    store: Store | None, configuration: Configuration, body: bytes, now: float, windows: Windows | None = None
) -> list[PlannedAlert]:
    """Return what becomes of each alert of a payload that comes now; nothing is changed.

    Without a store it is planned as if nothing had ever been received. Raises StoreError.
    """
    try:
        delivery = alerts.parse(body, now)
    except alerts.PayloadError as error:
        return [PlannedAlert(-1, "", {}, "refused", None, error.sentence)]
    found: Mapping[str, Head] = {}
    if store is not None and delivery.alerts:
        async with store.reading() as connection:
            found = await incidents.heads(connection, {one.fingerprint for one in delivery.alerts}, lock=False)
    plans = _Planning(configuration, found, now, windows).of(delivery)
    return await _with_restarts(store, configuration, plans, now, windows)


async def _with_restarts(
    store: Store | None, configuration: Configuration, plans: list[PlannedAlert], now: float, windows: Windows | None
) -> list[PlannedAlert]:
    """Return the plans in which each restart is decided as the worker decides it."""
    terms = restartable(configuration, socket.gethostname())
    asks = {
        (place, number): _ask(step, terms, now, windows)
        for place, alert in enumerate(plans)
        for number, step in enumerate(alert.steps)
        if step.queue == RESTARTS and step.verdict in {"run", "wait", "held"} and step.service in terms.strategies
    }
    if not asks:
        return plans
    services = {ask.service for ask in asks.values()}
    situation = await restart_outlook.read(store, configuration, terms, services, now)
    found = restart_outlook.planned(tuple(asks.values()), configuration, terms, situation)
    known = dict(zip(asks, found, strict=True))
    return [
        replace(
            alert,
            steps=tuple(
                _with_restart(step, known[place, number], terms) if (place, number) in known else step
                for number, step in enumerate(alert.steps)
            ),
        )
        for place, alert in enumerate(plans)
    ]


def _ask(step: PlannedStep, terms: Restartable, now: float, windows: Windows | None) -> Ask:
    service = step.service or ""
    group = terms.strategies[service].group
    window = None if windows is None else windows(service, group)
    return Ask(service, Facts(now, ("auto",), window=window), released=step.verdict == "run")


def _with_restart(step: PlannedStep, one: PlannedRestart, terms: Restartable) -> PlannedStep:
    """Return a step with what becomes of its restart; where something else comes first, that stays its verdict."""
    sentence = one.sentence if one.verdict == "run" else f"{one.verdict}: {one.sentence}"
    verdict = one.verdict
    if step.verdict != "run":
        verdict, sentence = step.verdict, f"{step.sentence}; then {sentence}"
    if step.plan is None:
        sentence = f"{sentence}; it would fail: {terms.strategies[one.service].plan()}"
    return replace(step, verdict=verdict, sentence=sentence, restart=one)


class _Planning:
    """Plans one delivery after the other alerts of it."""

    def __init__(
        self, configuration: Configuration, found: Mapping[str, Head], now: float, windows: Windows | None
    ) -> None:
        self._configuration = configuration
        self._windows = windows
        book = rulebook(configuration)
        self._book = book
        self._batch = booking.Batch(terms(configuration), now, found)

    def of(self, delivery: Delivery) -> list[PlannedAlert]:
        """Return the plans in the order of the payload."""
        plans = [
            PlannedAlert(one.position, "", {}, "quarantined", None, f"{one.word}: {one.sentence}")
            for one in delivery.quarantined
        ]
        taken = {one.position for one in delivery.quarantined}
        places = (place for place in range(len(delivery.alerts) + len(taken)) if place not in taken)
        plans += [self._alert(place, alert, delivery) for place, alert in zip(places, delivery.alerts, strict=False)]
        return sorted(plans, key=lambda one: one.position)

    def _alert(self, place: int, alert: Alert, delivery: Delivery) -> PlannedAlert:
        before = self._state(alert.fingerprint)
        result = self._batch.take(alert, delivery.receiver)
        record = self._batch.newest[alert.fingerprint]
        number = None if record.found is None else record.found.id
        outcome, sentence = _told(alert, before, result, number)
        steps: tuple[PlannedStep, ...] = ()
        if record.decisions is not None and outcome in {"opens", "duplicate"} and record.alert is alert:
            steps = tuple(self._steps(record.decisions, alert, number))
        elif outcome == "late":
            steps = tuple(self._steps(decide(alert.labels, self._book), alert, number, late=True))
        return PlannedAlert(place, alert.name, alert.labels, outcome, number, sentence, steps)

    def _state(self, fingerprint: str) -> str | None:
        """Return how the newest incident of an alert stands before it is taken."""
        if (record := self._batch.newest.get(fingerprint)) is not None:
            return record.episode.state
        head = self._batch.found.get(fingerprint)
        return None if head is None else head.episode.state

    def _steps(
        self, decisions: Sequence[Decision], alert: Alert, number: int | None, *, late: bool = False
    ) -> list[PlannedStep]:
        if not decisions:
            return [PlannedStep(None, "none", None, None, None, self._book.mode, "skipped", "no rule matches it")]
        return [self._step(one, alert, number, late=late) for one in decisions]

    def _step(self, one: Decision, alert: Alert, number: int | None, *, late: bool) -> PlannedStep:
        verdict, sentence = self._verdict(one)
        plan, told = self._plan(one, alert, number) if one.verdict != "refuse" else (None, None)
        if one.queue == RESTARTS:
            told = None if verdict in {"run", "wait"} else told
            sentence = "waits for its turn" if verdict == "run" else sentence
        if late and verdict in {"run", "wait", "held"}:
            verdict, sentence = "held", f"held as late; if it opens after that: {sentence}"
        return PlannedStep(
            one.rule,
            one.action,
            one.queue or None,
            one.key or None,
            one.service,
            one.mode,
            verdict,
            f"{sentence}; {told}" if told else sentence,
            plan,
        )

    def _verdict(self, one: Decision) -> tuple[Verdict, str]:
        if one.verdict in {"refuse", "nothing", "observe"}:
            return ("refused" if one.verdict == "refuse" else "skipped"), one.sentence
        if one.queue == RESTARTS:
            return self._verdict_of_restart(one)
        queue = self._configuration.queues.get(one.queue)
        if one.verdict == "hold" or queue is None or queue.action is None:
            return "wait", one.sentence
        if self._windows is not None and (why := self._windows(one.service, self._group(one.service))) is not None:
            return "held", f"held: {why}"
        return "run", one.sentence

    def _verdict_of_restart(self, one: Decision) -> tuple[Verdict, str]:
        """Return what the rule says of a restart: what else speaks against it is asked of all of them together."""
        options: Any = self._configuration.services.get(one.service or "")
        if options is None or options.restart is None:
            return "wait", f"{one.service} has no `restart` in the configuration: it waits for a person"
        return ("wait" if one.verdict == "hold" else "run"), one.sentence

    def _group(self, service: str | None) -> str | None:
        options: Any = self._configuration.services.get(service or "")
        return None if options is None else options.group

    def _plan(self, one: Decision, alert: Alert, number: int | None) -> tuple[Plan | None, str | None]:
        """Return exactly what would be run, or why it cannot be said."""
        found = foreseen(self._configuration, one, alert, number)
        return (found, None) if found is None or isinstance(found, Plan) else (None, f"it would fail: {found}")


def _told(alert: Alert, before: str | None, result: str, number: int | None) -> tuple[Outcome, str]:
    named = "an incident" if number is None else f"incident {number}"
    if alert.status == "resolved":
        if result == "accepted" and before in {"open", "late"}:
            return "resolves", f"resolves {named}"
        return "unmatched", "resolved, and no incident of it is open"
    if result == "late":
        return "late", "it began before the end of its last incident: held, then it opens a new one unless resolved"
    if result == "duplicate":
        return "duplicate", f"known already as {named}"
    return "opens", "opens a new incident" if before != "late" else f"opens {named}"
