"""One episode of an alert: when it opens, when it ends, and what a message that comes late or twice means.

Senders repeat themselves, two Prometheus replicas give one alert two starts, and messages overtake each other. So an
episode is not a start time: it opens when its alert fires and none is open, and ends when it is resolved or has been
silent too long. Times are in seconds since 1970; `starts_at` and `ended_at` are the sender's, all others ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from exporter.alerts import Alert

State = Literal["open", "late", "resolved", "silent"]
"""`late`: it fires with a start from before its last end, and is held until that has proven true."""

STATES: Final[tuple[State, ...]] = ("open", "late", "resolved", "silent")
OVER: Final = frozenset({"resolved", "silent"})

Outcome = Literal["accepted", "duplicate", "late"]
"""What one message was: news, known already, or too late to be believed (yet)."""


@dataclass(frozen=True, slots=True)
class Episode:
    """How an episode stands. One that never opened has no `opened_at`: a late one, or a resolved that came first."""

    state: State
    starts_at: float
    first_at: float
    seen_at: float
    opened_at: float | None = None
    ended_at: float | None = None
    closed_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER


@dataclass(frozen=True, slots=True)
class Step:
    """What a message did: the episode after it, and whether that is a new one in the place of the last."""

    outcome: Outcome
    episode: Episode
    fresh: bool = False


def told(head: Episode | None, alert: Alert, now: float, late_for: float) -> Step:
    """Return what an alert does to the newest episode of its fingerprint (None: there was none yet).

    A firing alert whose start is not after the last end is held for `late_for` seconds: a resend that was overtaken
    looks the same as an alert that fires again after its sender had lost contact.
    """
    if alert.status == "resolved":
        return _resolved(head, alert, now)
    if head is None:
        return Step("accepted", _opened(alert, now), fresh=True)
    if head.state == "open":
        return Step("duplicate", _seen(head, now, max(head.starts_at, alert.starts_at)))
    if head.ended_at is None or alert.starts_at > head.ended_at or late_for <= 0:
        return _again(head, alert, now)
    if head.state == "late":
        return _repeated(head, now, late_for)
    return Step("late", Episode("late", alert.starts_at, now, now, ended_at=head.ended_at), fresh=True)


def _seen(head: Episode, now: float, starts_at: float) -> Episode:
    """Return an open episode that was heard of again: what `replace` would, in a quarter of its time."""
    return Episode(head.state, starts_at, head.first_at, now, head.opened_at, head.ended_at, head.closed_at)


def _again(head: Episode, alert: Alert, now: float) -> Step:
    """Return the step of an alert that fires after the end of its last episode."""
    if head.state == "late":
        return Step("accepted", replace(head, state="open", opened_at=now, seen_at=now, starts_at=alert.starts_at))
    return Step("accepted", _opened(alert, now), fresh=True)


def passed(episode: Episode, now: float, late_for: float, silent_after: float) -> Episode | None:
    """Return what time alone made of an episode, None when nothing changes: late ones open, silent ones close."""
    # One from the future was written before the clock was set back: it has waited for longer than anybody can tell.
    if episode.state == "late" and not -late_for <= now - episode.first_at < late_for:
        return replace(episode, state="open", opened_at=now)
    if episode.state == "open" and now - episode.seen_at > silent_after:
        return replace(episode, state="silent", ended_at=now, closed_at=now)
    return None


def _opened(alert: Alert, now: float) -> Episode:
    return Episode("open", alert.starts_at, now, now, opened_at=now)


def _repeated(head: Episode, now: float, late_for: float) -> Step:
    if now - head.first_at >= late_for:
        return Step("accepted", replace(head, state="open", opened_at=now, seen_at=now))
    return Step("duplicate", replace(head, seen_at=now))


def _resolved(head: Episode | None, alert: Alert, now: float) -> Step:
    ended = now if alert.ends_at is None else alert.ends_at
    if head is None:
        # A tombstone: the firing that it overtook is then late, and not news.
        return Step("accepted", Episode("resolved", alert.starts_at, now, now, None, ended, now), fresh=True)
    if head.over:
        return Step("duplicate", replace(head, ended_at=max(ended, head.ended_at or ended)))
    if ended < head.starts_at and alert.starts_at < head.starts_at:
        return Step("late", head)  # it tells of the end of an earlier episode
    over = replace(head, state="resolved", ended_at=max(ended, head.ended_at or ended), closed_at=now, seen_at=now)
    return Step("accepted", over)
