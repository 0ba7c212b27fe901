"""What the configuration says of alerts and of what is done about them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 -- the loader reads the types of the fields
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from exporter import matchers, placeholders
from exporter.config.options import Choice, Duration, Kind, Secret, option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Told: TypeAlias = tuple[tuple[str | int, ...], str]

RESTARTS: Final = "restarts"
"""The built-in queue of restarts."""
NOTIFICATIONS: Final = "notifications"
"""The built-in queue of what `notify` tells."""
DEFAULT: Final = "default"
"""The queue of the command line where the configuration has none, or several."""
BUILT_IN: Final = (RESTARTS, NOTIFICATIONS)
QUEUE_PATTERN: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"

_DAY: Final = 86_400
_HOUR: Final = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user and a password."""

    username: str = option(help="The user.", minimum=1)
    password: Secret = option(help="The user's password.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerOptions:
    """Alertmanager on both ways: who may send alerts to us, and where we send alerts and silences to."""

    bearer_token: Secret | None = option(
        None, help="The token that Alertmanager sends with the webhook: `authorization` of its `http_config`."
    )
    url: str | None = option(
        None,
        help="Alertmanager's own URL: to post alerts and silences to.",
        example="http://alertmanager:9093",
        pattern=r"https?://[^\s/?#@]+(/[^\s?#]*)?",
    )
    basic_auth: Login | None = option(None, help="A user and a password for `url`.")
    api_token: Secret | None = option(None, help="A token for `url`, sent as `Authorization: Bearer`.")
    ca_file: Path | None = option(None, help="Certificates (PEM) to trust instead of the system's, for `url`.")
    timeout: Duration = option(Duration(5.0), help="How long a request to `url` may take.", minimum=0.1, maximum=60)

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield credentials that contradict each other or that nobody can send."""
        del configuration
        if self.basic_auth is not None and self.api_token is not None:
            yield ("api_token",), "basic_auth and api_token exclude each other: keep one of them"
        for key, secret in (("bearer_token", self.bearer_token), ("api_token", self.api_token)):
            if secret is not None and not secret.reveal().strip():
                yield (key,), "is blank: make a token with `openssl rand -hex 32`"
            elif secret is not None and (not secret.reveal().isascii() or not secret.reveal().isprintable()):
                yield (key,), "the token holds characters that no header carries: make one of letters and digits"

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield a token that could be guessed."""
        del configuration
        if self.bearer_token is not None and len(self.bearer_token.reveal()) < _SHORT:
            yield ("bearer_token",), "is short enough to be guessed: make one with `openssl rand -hex 32`"


_SHORT: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStep:
    """One thing that a rule leads to."""

    action: Literal["enqueue", "restart", "none"] = option(
        help="enqueue: an item in `queue`; restart: one in the built-in queue restarts, for `service`; none: nothing."
    )
    queue: str | None = option(None, help="The queue of `enqueue`.", example="user-sync", minimum=1)
    key: str | None = option(
        None,
        help="What the item is about: a text, or {label} for the value of a label. Left out: the alert's name.",
        example="{user_id}",
        minimum=1,
        maximum=255,
    )
    service: str | None = option(
        None,
        help="The service it is about: a name, or {label}. What it names must be configured, or the rule refuses.",
        example="{service}",
        minimum=1,
        maximum=255,
    )

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
    action: Literal["enqueue", "restart", "none"] | None = option(
        None,
        help="enqueue: an item in `queue`; restart: one in the built-in queue restarts, for `service`; none: nothing.",
    )
    queue: str | None = option(None, help="The queue of `enqueue`.", example="user-sync", minimum=1)
    key: str | None = option(
        None,
        help="What the item is about: a text, or {label} for the value of a label. Left out: the alert's name.",
        example="{user_id}",
        minimum=1,
        maximum=255,
    )
    service: str | None = option(
        None,
        help="The service it is about: a name, or {label}. What it names must be configured, or the rule refuses.",
        example="{service}",
        minimum=1,
        maximum=255,
    )
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
        yield from _matcher_problems(self.matchers)
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
        """Yield rules that come after one that takes everything."""
        for one in configuration.rules:
            if one is self:
                return
            if not one.matchers and not one.continue_:
                yield (), "is never asked: a rule before it has no matchers and does not `continue`"
                return


def _matcher_problems(texts: tuple[str, ...]) -> Iterator[Told]:
    for index, text in enumerate(texts):
        try:
            if not matchers.parse(text):
                yield ("matchers", index), "holds no matcher, so it matches every alert: leave it out"
        except ValueError as error:
            yield ("matchers", index), str(error)


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
        yield ("queue",), _unknown("queue", step.queue, configuration.queues)
    if (
        step.service is not None
        and placeholders.name(step.service) is None
        and placeholders.problem(step.service) is None
        and step.service not in configuration.services
    ):
        yield ("service",), _unknown("service", step.service, configuration.services)


def _unknown(noun: str, name: str, known: Mapping[str, Any]) -> str:
    from exporter.config.mistakes import nearest, shown  # noqa: PLC0415 - only a mistake needs it

    return f"there is no {noun} {shown(name)}{nearest(name, known) or f': add it below `{noun}s`'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTiming:
    """What stands beside the keys of an action."""

    timeout: Duration = option(
        Duration(30.0), help="How long a run may take; then it is ended and has failed.", minimum=0.1, maximum=_DAY
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyTiming:
    """What stands beside the keys of a probe that verifies."""

    timeout: Duration = option(Duration(5.0), help="How long the probe may take.", minimum=0.05, maximum=_HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many items of a queue may begin in a time."""

    items: int = option(help="How many.", example=10, minimum=1, maximum=1_000_000)
    per: Duration = option(help="In which time.", example="1m", minimum=0.1, maximum=_DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """A queue of the backlog. With an action the server works it off; without one its items wait for a person."""

    action: Annotated[Choice, Kind("actions", ActionTiming)] | None = option(None, help="What is done for each item.")
    attempts: int = option(5, help="How often an item is tried; then it is dead and kept.", minimum=1, maximum=1000)
    backoff: tuple[Duration, ...] = option(
        (Duration(2.0), Duration(4.0), Duration(8.0)),
        help="How long to wait after the first failed attempt, the second and so on; the last holds for later ones.",
        minimum=1,
        maximum=100,
    )
    concurrency: int = option(1, help="Items that run at once, on each replica.", minimum=1, maximum=100)
    rate: Rate | None = option(None, help="A bound on how many items begin in a time, on each replica.")
    mode: Literal["observe", "approve", "auto"] | None = option(
        None, help="How far this queue may go; of it, the rule's and the global `mode` the strictest holds."
    )
    verify: Annotated[Choice, Kind("probes", VerifyTiming)] | None = option(
        None, help="A probe that says whether it was done: after each run, and after one whose end nobody saw."
    )
    interrupted: Literal["dead", "retry"] = option(
        "dead",
        help="What becomes of an item whose run ended unseen (a crash) where no `verify` can tell: dead keeps it for a "
        "person, retry runs it again. Choose retry for what may be done twice.",
    )

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield keys that have no meaning without an action."""
        del configuration
        if self.action is None and (self.verify is not None or self.rate is not None):
            yield (), "has no action, so its items wait for a person: the other keys have no effect"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentsOptions:
    """When incidents end by themselves, and how long they are remembered."""

    silent_after: Duration = option(
        Duration(25.0 * _HOUR),
        help="An incident of which nothing was heard for so long is closed: more than Alertmanager's repeat_interval.",
        minimum=60,
        maximum=365 * _DAY,
    )
    late_for: Duration = option(
        Duration(300.0),
        help="How long an alert is held that fires again with a start from before its incident's end.",
        minimum=0,
        maximum=_DAY,
    )
    retention: Duration = option(
        Duration(90.0 * _DAY),
        help="How long closed incidents and the audit are kept.",
        minimum=_HOUR,
        maximum=3650 * _DAY,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogOptions:
    """The backlog at the command line, and how long finished items are kept."""

    test_mode: bool = option(
        default=True,
        help="Whether `backlog process` only says what it would do; --no-test and --test say otherwise for once.",
    )
    queue: str | None = option(
        None,
        help="The queue of `backlog` commands that name none. Left out: the only one there is, else `default`.",
        pattern=QUEUE_PATTERN,
    )
    log_file: Path | None = option(
        None, help="A file to which each change by the `backlog` commands adds one line.", example="logs/backlog.log"
    )
    retention: Duration = option(
        Duration(30.0 * _DAY),
        help="How long items that are done or cancelled are kept.",
        minimum=_HOUR,
        maximum=3650 * _DAY,
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield a queue that nobody knows."""
        if self.queue not in (None, DEFAULT) and self.queue not in configuration.queues:
            yield ("queue",), _unknown("queue", str(self.queue), configuration.queues)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyOptions:
    """Who is told, of what."""

    name: str | None = option(
        None,
        help="Its name in the backlog. Left out, it is known by what it says: what waits is lost when that changes.",
        example="chat",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}",
    )
    on: Literal["incident", "backlog"] = option(
        help="incident: it opens or closes; backlog: an item is dead, or waits for its release by a person."
    )
    action: Annotated[Choice, Kind("actions", ActionTiming)] = option(help="How they are told.")
    matchers: tuple[str, ...] = option(
        (), help="Only for alerts whose labels all these match, in Alertmanager's syntax.", maximum=100
    )

    @property
    def identity(self) -> str:
        """Return what its items are known by: its name, or a digest of what it says but for secrets.

        Entries that differ in nothing else have the same one: see `notify_identities`.
        """
        if self.name is not None:
            return self.name
        said = [self.on, self.matchers, self.action.kind, repr(self.action.options)]
        return "notify-" + hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with the name and with the matchers."""
        del configuration
        if self.name is not None and re.fullmatch(_NAMELESS, self.name):
            yield ("name",), "is how an entry without a name is known: take another one"
        yield from _matcher_problems(self.matchers)

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield that it is told from another one by its place alone."""
        for one in configuration.notify:
            if one is self:
                return
            if one.identity == self.identity and one.action.options != self.action.options:
                yield (), "is told from one before it by its place alone: give both a `name`, so that they can be moved"
                return


_NAMELESS: Final = r"notify-[0-9a-f]{12}(-[0-9]+)?"


def notify_identities(entries: Iterable[NotifyOptions]) -> Iterator[str]:
    """Yield what the items of each entry of `notify` are known by, wherever it stands in the list.

    Of several that say the same, the second and later ones are told apart by their order.
    """
    seen: Counter[str] = Counter()
    for one in entries:
        identity = one.identity
        seen[identity] += 1
        yield identity if seen[identity] == 1 else f"{identity}-{seen[identity]}"


def notify_mistakes(configuration: Any) -> Iterator[Told]:
    """Yield names of entries of `notify` that are given twice."""
    seen: dict[str, int] = {}
    for index, one in enumerate(configuration.notify):
        if one.name is not None and (first := seen.setdefault(one.name, index)) != index:
            yield ("notify", index, "name"), f"{one.name!r} is the name of entry {first + 1} too: give each its own"


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


def queue_mistakes(configuration: Any) -> Iterator[Told]:
    """Yield names of queues that are ours or that no label should be."""
    for name in configuration.queues:
        if name in BUILT_IN:
            yield ("queues", name), f"{name!r} is a queue of Watchbridge itself: take another name"
        elif not re.fullmatch(QUEUE_PATTERN, name):
            yield ("queues", name), "wanted letters, digits, points, hyphens and underscores, at most 64"
