"""When failed restarts make a service, or a group, be left alone. Pure: time is an argument.

A circuit is closed until so many restarts in a row have failed; then it is open, and time alone makes it half-open:
exactly one trial is let through, whose end closes it or opens it anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

Noun = Literal["service", "group"]

CircuitState = Literal["closed", "open", "half_open"]

STATES: Final[tuple[CircuitState, ...]] = ("closed", "open", "half_open")


class Key(NamedTuple):
    """Whose circuit it is."""

    noun: Noun
    name: str


@dataclass(frozen=True, slots=True)
class Limits:
    """After how many failures in a row a circuit opens, and after how many seconds it lets one trial through."""

    failures: int
    reset: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is stored of a circuit; times are in seconds since 1970, by the clock of the store.

    `failures` are those in a row, `opened` is how often it has opened; `retry_at` is when it lets a trial through,
    None while it is closed. `trial` is the item that is tried, if one is.
    """

    failures: int = 0
    opened: int = 0
    opened_at: float | None = None
    retry_at: float | None = None
    trial: int | None = None

    def state(self, now: float) -> CircuitState:
        """Return the state: time alone moves an open one to half-open."""
        if self.retry_at is None:
            return "closed"
        return "half_open" if now >= self.retry_at else "open"


CLOSED: Final = Circuit()


@dataclass(frozen=True, slots=True)
class Barred:
    """A circuit lets nothing through: a sentence for why, and when to look again, in seconds since 1970."""

    sentence: str
    look_again_at: float


TRIAL_AGAIN: Final = 15.0
"""Seconds after which it is looked at again whether a trial has ended."""


def barred(circuit: Circuit, name: str, now: float) -> Barred | None:
    """Return why a circuit lets no restart through now, or None: it is closed, or half-open without a trial."""
    state = circuit.state(now)
    if state == "open" and circuit.retry_at is not None:
        said = f"the circuit of {name} is open after {_failures(circuit.failures)}"
        return Barred(f"{said}: one trial from {said_at(circuit.retry_at)}", circuit.retry_at)
    if state == "half_open" and circuit.trial is not None:
        return Barred(
            f"the circuit of {name} is half-open, and its one trial is under way (item {circuit.trial})",
            now + TRIAL_AGAIN,
        )
    return None


def tried(circuit: Circuit, item: int, now: float) -> Circuit:
    """Return the circuit as it is while an item that it let through runs: half-open, that is the one trial."""
    return replace(circuit, trial=item) if circuit.state(now) == "half_open" else circuit


def step(circuit: Circuit, ok: bool, now: float, limits: Limits) -> Circuit:  # noqa: FBT001 -- the design's name for it
    """Return the circuit after a restart: only a verified one (`ok`) closes it."""
    if ok:
        return Circuit(opened=circuit.opened)
    failures = circuit.failures + 1
    state = circuit.state(now)
    # What was under way when it opened, and fails too, is no news.
    if state == "open" or (state == "closed" and failures < limits.failures):
        return replace(circuit, failures=failures)
    return Circuit(failures, circuit.opened + 1, now, now + limits.reset)


def dropped(circuit: Circuit, item: int) -> Circuit:
    """Return the circuit without the trial of an item whose run was none, so that another one may be tried."""
    return replace(circuit, trial=None) if circuit.trial == item else circuit


def reset(circuit: Circuit) -> Circuit:
    """Return the circuit as a person closes it by hand; how often it has opened stays."""
    return Circuit(opened=circuit.opened)


def moved(circuit: Circuit, seconds: float) -> Circuit:
    """Return the circuit after the clock was set by so many seconds: it waits for as long as before."""
    if circuit.retry_at is None:
        return circuit
    opened_at = None if circuit.opened_at is None else circuit.opened_at + seconds
    return replace(circuit, opened_at=opened_at, retry_at=circuit.retry_at + seconds)


def said_at(at: float) -> str:
    """Return a time of the near future for people: by the hour alone, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def _failures(count: int) -> str:
    return "1 failure" if count == 1 else f"{count} failures"
