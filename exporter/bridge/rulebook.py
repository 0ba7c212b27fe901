"""From the options of a configuration to the rules as the policy reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter import matchers
from exporter.bridge.options import RESTARTS
from exporter.policy import Rule, Rulebook, Step

if TYPE_CHECKING:
    from exporter.bridge.options import RuleOptions, RuleStep
    from exporter.config import Configuration


def rulebook(configuration: Configuration) -> Rulebook:
    """Return the rules of a configuration that was checked."""
    mode: Any = configuration.mode or "observe"
    return Rulebook(
        rules=tuple(_rule(one, configuration) for one in configuration.rules),
        services=frozenset(configuration.services),
        mode=mode,
        restartable=frozenset(name for name, one in configuration.services.items() if one.restart is not None),
    )


def _rule(options: RuleOptions, configuration: Configuration) -> Rule:
    steps = tuple(_step(one, configuration) for one in options.steps)
    return Rule(options.identity, matchers.compiled(options.matchers), steps, options.mode or "auto", options.continue_)


def _step(options: RuleStep, configuration: Configuration) -> Step:
    if options.action == "restart":
        return Step("restart", RESTARTS, service=options.service, acts=True, number=options.number)
    if options.action == "none":
        return Step("none", number=options.number)
    queue = configuration.queues[options.queue or ""]
    return Step(
        "enqueue",
        options.queue or "",
        options.key,
        options.service,
        acts=queue.action is not None,
        mode=queue.mode or "auto",
        number=options.number,
    )
