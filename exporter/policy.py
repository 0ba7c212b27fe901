"""Which incident leads to what: rules in their order, each step with a verdict and the reason in words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

from exporter import placeholders
from exporter.matchers import Matcher, every
from exporter.model import MODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import Mode

Verdict = Literal["enqueue", "hold", "observe", "refuse", "nothing"]
"""enqueue: an item that waits for its turn, or for a person; hold: one that a person must release; observe: one that
tells what would have been done; refuse: none, what the alert names is not configured; nothing: none is wanted."""

KEY_LENGTH: Final = 255
RESTARTS: Final = "restarts"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a rule leads to. `acts`: somebody works its queue off, so that the mode matters.

    `number` tells it from the other steps of its rule, by what it says; 0 stands for its place.
    """

    action: Literal["enqueue", "restart", "none"]
    queue: str = ""
    key: str | None = None
    service: str | None = None
    acts: bool = False
    mode: Mode = "auto"
    number: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that has been read. `follow`: the rules after it are asked as well."""

    id: str
    matchers: tuple[Matcher, ...]
    steps: tuple[Step, ...]
    mode: Mode = "auto"
    follow: bool = False


@dataclass(frozen=True)
class Rulebook:
    """All rules, what they may name, and how far they may go; `restartable` are the services that have a restart."""

    rules: tuple[Rule, ...] = ()
    services: frozenset[str] = field(default=frozenset())
    mode: Mode = "observe"
    restartable: frozenset[str] | None = None

    def asked(self, labels: Mapping[str, str]) -> tuple[Rule, ...]:
        """Return the rules that may match an alert, in their order: most rules name one alert alone."""
        return self._of_name.get(labels.get("alertname", ""), self._of_any)

    @cached_property
    def _of_any(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if _named(rule) is None)

    @cached_property
    def _of_name(self) -> Mapping[str, tuple[Rule, ...]]:
        names = {name for rule in self.rules if (name := _named(rule)) is not None}
        return {name: tuple(rule for rule in self.rules if _named(rule) in (None, name)) for name in names}

    @cached_property
    def digest(self) -> str:
        """Return what tells this rulebook from another: incidents that an older one was asked about are asked anew."""
        said = repr((self.rules, sorted(self.services), self.mode))
        return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:16]


def _named(rule: Rule) -> str | None:
    """Return the one name of an alert that a rule can match, or None."""
    return next((one.value for one in rule.matchers if one.name == "alertname" and one.operator == "="), None)


@dataclass(frozen=True, slots=True)
class Decision:
    """What one step of a rule means for one incident, and why. `word` is one of few where it is refused or held."""

    rule: str
    step: int
    action: Literal["enqueue", "restart", "none"]
    verdict: Verdict
    sentence: str
    queue: str = ""
    key: str = ""
    service: str | None = None
    mode: Mode = "observe"
    word: str = ""


def stricter(*modes: Mode) -> Mode:
    """Return the strictest of some modes."""
    return MODES[min(MODES.index(mode) for mode in modes)]


def decide(labels: Mapping[str, str], book: Rulebook) -> tuple[Decision, ...]:
    """Return what the first rule that matches leads to, and those after it where it says so; empty: no rule matches."""
    found: list[Decision] = []
    for rule in book.asked(labels):
        if not every(rule.matchers, labels):
            continue
        found.extend(_decided(rule, index, step, labels, book) for index, step in enumerate(rule.steps))
        if not rule.follow:
            break
    return tuple(found)


def _decided(rule: Rule, index: int, step: Step, labels: Mapping[str, str], book: Rulebook) -> Decision:
    number = step.number or index
    if step.action == "none":
        return Decision(rule.id, number, "none", "nothing", "the rule wants nothing done")
    mode = stricter(book.mode, rule.mode, step.mode)
    try:
        service = None if step.service is None else placeholders.filled(step.service, labels)
        key = service or "" if step.action == "restart" else placeholders.filled(step.key or "{alertname}", labels)
    except placeholders.PlaceholderError as error:
        return Decision(rule.id, number, step.action, "refuse", f"refused: {error}", word="missing_label")
    for word, sentence in _objections(service, key, book):
        return Decision(rule.id, number, step.action, "refuse", f"refused: {sentence}", step.queue, word=word)
    verdict, sentence = _verdict(step, mode)
    if step.action == "restart" and book.restartable is not None and service not in book.restartable:
        sentence = _UNRESTARTABLE.get(verdict, sentence)
    return Decision(
        rule.id,
        number,
        step.action,
        verdict,
        sentence,
        step.queue,
        key,
        service,
        mode,
        "mode" if verdict in _KEPT else "",
    )


_UNRESTARTABLE: Final = {
    "enqueue": "waits in restarts for a person: its service has no `restart`",
    "hold": "waits until a person releases it, and then for one to do it: its service has no `restart`",
}
_KEPT: Final = frozenset({"hold", "observe"})


def _objections(service: str | None, key: str, book: Rulebook) -> Iterator[tuple[str, str]]:
    if service is not None and service not in book.services:
        yield "unknown_service", f"there is no service {_shown(service)} in the configuration"
    if len(key) > KEY_LENGTH:
        yield "bad_key", f"the key has {len(key)} characters, and {KEY_LENGTH} are the most"
    if not key.strip() or not key.isprintable():
        yield "bad_key", "the key is blank or holds what cannot be printed"


def _verdict(step: Step, mode: Mode) -> tuple[Verdict, str]:
    if not step.acts:
        return "enqueue", f"waits in {step.queue} for a person"
    if mode == "observe":
        return "observe", "only observed: `mode` is observe, so nothing is run for it, now or later"
    if mode == "approve":
        return "hold", "waits until a person releases it with `watchbridge backlog approve`"
    return "enqueue", f"waits in {step.queue} for its turn"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else text[:63] + "…")  # noqa: PLR2004 -- as much as a line can take
