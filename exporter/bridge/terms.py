"""What alerts are held against under one configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from exporter.bridge import notices
from exporter.bridge.foreseen import foreseen
from exporter.bridge.rulebook import rulebook

if TYPE_CHECKING:
    from exporter.bridge.decided import Decided
    from exporter.bridge.notices import Notice
    from exporter.config import Configuration
    from exporter.policy import Decision, Rulebook
    from exporter.store.incidents import Incident


@dataclass(frozen=True, slots=True)
class Terms:
    """What alerts are held against: the rules, who is told, and when incidents end by themselves (seconds).

    Without the configuration nothing is said of what an observed decision would have run.
    """

    rulebook: Rulebook
    notices: tuple[Notice, ...] = ()
    late_for: float = 300.0
    silent_after: float = 90_000.0
    configuration: Configuration | None = None


def terms(configuration: Configuration) -> Terms:
    """Return the terms of a configuration that was checked."""
    return Terms(
        rulebook(configuration),
        notices.notices(configuration),
        configuration.incidents.late_for,
        configuration.incidents.silent_after,
        configuration,
    )


def foretold(terms: Terms, one: Decided) -> Decided:
    """Return what was decided with exactly what is not run in its sentences: it is told nowhere else."""
    if terms.configuration is None or not any(decision.verdict in _NOT_RUN for decision in one.decisions):
        return one
    return replace(one, decisions=tuple(_step(terms.configuration, d, one.incident) for d in one.decisions))


_NOT_RUN: Final = {"observe": "would have run", "hold": "would run"}


def _step(configuration: Configuration, decision: Decision, incident: Incident) -> Decision:
    if decision.verdict not in _NOT_RUN:
        return decision
    plan = foreseen(configuration, decision, incident, incident.id)
    if plan is None:
        return decision
    said = f"it would fail: {plan}" if isinstance(plan, str) else f"{_NOT_RUN[decision.verdict]}: {plan.sentence}"
    return replace(decision, sentence=f"{decision.sentence}; {said}")
