"""What a pair of Alertmanagers sends of one alert over its episodes: in order for each of them, in none together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.scenes import delivery
from servers.watched import NOON

from exporter.alerts import Alert

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from exporter.alerts import Delivery

SKEW = 15.0
"""Seconds that the starts of two Prometheus replicas are apart."""
LAG = 30.0
"""Seconds that one of the Alertmanagers may be behind."""
REPEAT = 600.0


@dataclass(frozen=True)
class Message:
    """An alert, when it arrives, and who sends it."""

    at: float
    alert: Alert
    sender: str
    group: int


def history(draw: random.Random, fingerprint: str) -> tuple[int, list[Message]]:
    """Return how many episodes there are, and all messages in the order of their arrival."""
    messages: list[Message] = []
    episodes = draw.randrange(1, 4)
    at = NOON + draw.uniform(0, 60)
    for _ in range(episodes):
        begin, end = at, at + draw.choice([70.0, 200.0, 700.0])
        lag = draw.uniform(0, LAG)
        # The first to tell of an episode tells that it fires: an end that comes first is a story of its own.
        messages += _told(draw, fingerprint, begin, end, "one", 0.0)
        messages += _told(draw, fingerprint, begin, end, "two", lag)
        at = end + draw.choice([20.0, 50.0, 400.0])
    return episodes, sorted(messages, key=lambda one: one.at)


def _told(
    draw: random.Random, fingerprint: str, begin: float, end: float, sender: str, lag: float
) -> Iterator[Message]:
    """Yield what one Alertmanager sends of an episode: it may begin with the resend, and send each message twice."""
    labels = {"alertname": "SyncFailed", "user": fingerprint}
    at = begin + 10 + lag
    while at < end + 10 + lag:
        start = begin + draw.choice([0.0, 0.0, SKEW])
        yield from _twice(draw, at, Alert(fingerprint, "firing", labels, {}, start), sender)
        at += draw.choice([100.0, REPEAT])
    over = Alert(fingerprint, "resolved", labels, {}, begin, end)
    yield from _twice(draw, end + 10 + lag, over, sender)


def _twice(draw: random.Random, at: float, alert: Alert, sender: str) -> Iterator[Message]:
    for _ in range(draw.choice([1, 1, 1, 1, 2])):
        yield Message(at, alert, sender, draw.randrange(2))


def timeline(draw: random.Random, messages: list[Message]) -> Iterator[tuple[float, list[Delivery]]]:
    """Yield what arrives together, and when: alerts of one sender and group may share a delivery."""
    waiting = sorted(messages, key=lambda one: one.at)
    at = 0
    while at < len(waiting):
        until, some = waiting[at].at + draw.choice([1.0, 40.0, 80.0]), []
        while at < len(waiting) and waiting[at].at <= until:
            some.append(waiting[at])
            at += 1
        yield some[-1].at, _grouped(draw, some)


def _grouped(draw: random.Random, some: list[Message]) -> list[Delivery]:
    deliveries: list[Delivery] = []
    while some:
        size = draw.randrange(1, 40)
        first, some = some[:size], some[size:]
        receiver, group = f"receiver-{draw.randrange(2)}", f"{{}}:{{group={first[0].group}}}"
        deliveries.append(delivery(*(one.alert for one in first), receiver=receiver, group_key=group))
    return deliveries
