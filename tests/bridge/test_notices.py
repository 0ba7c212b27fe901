"""Who is told of what: entries whose noun and matchers fit, each event by a key of its own."""

from __future__ import annotations

from exporter.bridge import notices
from exporter.bridge.notices import Notice
from exporter.matchers import compiled

EVERYTHING = Notice(0, "incident", "http", (), "auto")
PAGES = Notice(1, "incident", "email", compiled(['severity="page"']), "auto")
PROGRAM = Notice(2, "incident", "command", compiled(['severity!="page"']), "approve")
BACKLOG = Notice(3, "backlog", "email", (), "auto")
ALL = (EVERYTHING, PAGES, PROGRAM, BACKLOG)


def told(on: str, number: int = 7, event: str = "opened", **labels: str) -> list[tuple[int, str, str]]:
    return [(one.index, one.key, one.mode) for one in notices.of(ALL, on, number, event, "why", labels)]


def test_entries_that_fit_are_told() -> None:
    """By noun and by all matchers over the alert's labels; those that have none are told of everything."""
    assert told("incident", severity="page") == [(0, "0:incident:7:opened", "auto"), (1, "1:incident:7:opened", "auto")]
    assert told("incident") == [(0, "0:incident:7:opened", "auto"), (2, "2:incident:7:opened", "approve")]
    assert told("backlog", severity="page") == [(3, "3:backlog:7:opened", "auto")]
    assert told("windows") == []


def test_each_event_has_a_key_of_its_own() -> None:
    """Told again it is the same one, so that its item is there once; another number or event is another."""
    keys = [
        key
        for number, event in ((7, "opened"), (7, "closed"), (8, "opened"))
        for _, key, _ in told("incident", number, event)
    ]
    assert len(set(keys)) == len(keys) == 6
    assert told("incident") == told("incident")


def test_what_is_told() -> None:
    """The reason, in the built-in queue of notifications."""
    (one,) = notices.of((EVERYTHING,), "incident", 7, "closed", "its alert is resolved", {})
    assert (one.queue, one.reason) == ("notifications", "its alert is resolved")
    assert list(notices.of((), "incident", 7, "closed", "", {})) == []
