"""Which incidents lead to what."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter import placeholders
from exporter.bridge.options.words import matcher_problems, unknown
from exporter.config.options import option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.bridge.options.words import Told


# What a rule leads to stands in the rule itself, or in each entry of its `actions`.
_ACTION: Final[dict[str, Any]] = {
    "help": "enqueue: an item in `queue`; restart: one in the built-in queue restarts, for `service`; none: nothing."
}
_QUEUE: Final[dict[str, Any]] = {"help": "The queue of `enqueue`.", "example": "user-sync", "minimum": 1}
_KEY: Final[dict[str, Any]] = {
    "help": "What the item is about: a text, or {label} for the value of a label. Left out: the alert's name.",
    "example": "{user_id}",
    "minimum": 1,
    "maximum": 255,
}
_SERVICE: Final[dict[str, Any]] = {
    "help": "The service it is about: a name, or {label}. What it names must be configured, or the rule refuses.",
    "example": "{service}",
    "minimum": 1,
    "maximum": 255,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStep:
    """One thing that a rule leads to."""

    action: Literal["enqueue", "restart", "none"] = option(**_ACTION)
    queue: str | None = option(None, **_QUEUE)
    key: str | None = option(None, **_KEY)
    service: str | None = option(None, **_SERVICE)

    @property
    def number(self) -> int:
        """Return what its items are known by beside their rule: what it says, whatever its place among the others."""
        said = json.dumps([self.action, self.queue, self.key, self.service])
        return int.from_bytes(hashlib.sha256(said.encode()).digest()[:4], "big") >> 1

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield queues and services that are not configured, and keys that the action does not have."""
        yield from step_problems(self, configuration)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions:
    """Which incidents lead to what. The first rule whose matchers all match decides, and no further one is asked."""

    name: str | None = option(
        None,
        help="Its name in the log, the backlog and `replay`. Left out, it is known by what it says.",
        example="user-sync",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}",
    )
    matchers: tuple[str, ...] = option(
        (),
        help="Matchers over the alert's labels in Alertmanager's syntax; all must match. None at all match every one.",
        example=['alertname="UserSyncFailed"', 'severity=~"critical|page"'],
        maximum=100,
    )
    action: Literal["enqueue", "restart", "none"] | None = option(None, **_ACTION)
    queue: str | None = option(None, **_QUEUE)
    key: str | None = option(None, **_KEY)
    service: str | None = option(None, **_SERVICE)
    actions: tuple[RuleStep, ...] = option(
        (), help="Several things to do, instead of `action` and the keys that go with it.", maximum=20
    )
    mode: Literal["observe", "approve", "auto"] | None = option(
        None, help="How far this rule may go; of it and the global `mode` the stricter holds."
    )
    continue_: bool = option(default=False, help="Whether the rules after this one are asked too.")

    @property
    def steps(self) -> tuple[RuleStep, ...]:
        """Return what it leads to, in order."""
        if self.action is None:
            return self.actions
        return (RuleStep(action=self.action, queue=self.queue, key=self.key, service=self.service),)

    @property
    def identity(self) -> str:
        """Return what its items are known by: its name, or a digest of what it does, whatever its place in the list.

        A rule that is moved must not act a second time for the incidents that it knows.
        """
        if self.name is not None:
            return self.name
        said = [self.matchers, [(one.action, one.queue, one.key, one.service) for one in self.steps]]
        return "rule-" + hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with the matchers and with what it leads to."""
        yield from matcher_problems(self.matchers)
        if self.action is None and not self.actions:
            yield (), "leads to nothing: give `action` (enqueue, restart or none)"
        elif self.action is not None and self.actions:
            yield ("actions",), "give `action` or `actions`, not both"
        elif self.action is not None:
            yield from step_problems(self.steps[0], configuration)
        elif self.queue or self.key or self.service:
            yield (), "`queue`, `key` and `service` stand in each entry of `actions`: move them there"
        numbers = [one.number for one in self.steps]
        for index, number in enumerate(numbers):
            if number in numbers[:index]:
                yield ("actions", index), "says the same as an entry before it: remove one"

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield rules that come after one that takes everything, and restarts of what has none."""
        for step in self.steps:
            known = configuration.services.get(step.service or "") if step.action == "restart" else None
            if known is not None and known.restart is None:
                yield (), f"the service {step.service!r} has no `restart`, so its items wait for a person: give it one"
        for one in configuration.rules:
            if one is self:
                return
            if not one.matchers and not one.continue_:
                yield (), "is never asked: a rule before it has no matchers and does not `continue`"
                return


def step_problems(step: RuleStep, configuration: Any) -> Iterator[Told]:
    """Yield what is wrong with one thing that a rule leads to; paths are those of its keys."""
    wanted = {"enqueue": ("queue",), "restart": ("service",), "none": ()}[step.action]
    allowed = {"enqueue": ("queue", "key", "service"), "restart": ("service",), "none": ()}[step.action]
    for key in ("queue", "key", "service"):
        value: str | None = getattr(step, key)
        if value is None:
            if key in wanted:
                yield ("action",), f"{step.action} needs `{key}`: say which"
        elif key not in allowed:
            yield (key,), f"has no meaning with {step.action}: leave it out"
        elif key != "queue" and (told := placeholders.problem(value)):
            yield (key,), told
    if step.queue is not None and "queue" in allowed and step.queue not in configuration.queues:
        yield ("queue",), unknown("queue", step.queue, configuration.queues)
    if (
        step.service is not None
        and placeholders.name(step.service) is None
        and placeholders.problem(step.service) is None
        and step.service not in configuration.services
    ):
        yield ("service",), unknown("service", step.service, configuration.services)


def mistakes(configuration: Any) -> Iterator[Told]:
    """Yield names of rules that are given twice, of queues that are ours, and a webhook that anybody could reach."""
    seen: dict[str, int] = {}
    for index, rule in enumerate(configuration.rules):
        if (first := seen.setdefault(rule.identity, index)) != index:
            what = (
                f"{rule.name!r} is the name of rule {first + 1} too"
                if rule.name
                else f"says the same as rule {first + 1}"
            )
            yield ("rules", index), f"{what}: give each its own, or remove one"
