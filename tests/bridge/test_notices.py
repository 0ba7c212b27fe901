"""Who is told of what: entries whose noun and matchers fit, each event by a key of its own."""

from __future__ import annotations

import pytest

from exporter.bridge import notices
from exporter.bridge.notices import Notice
from exporter.matchers import compiled

EVERYTHING = Notice("all", "incident", "http", (), "auto")
PAGES = Notice("pages", "incident", "email", compiled(['severity="page"']), "auto")
PROGRAM = Notice("program", "incident", "command", compiled(['severity!="page"']), "approve")
BACKLOG = Notice("desk", "backlog", "email", (), "auto")
ALL = (EVERYTHING, PAGES, PROGRAM, BACKLOG)


def told(on: str, number: int = 7, event: str = "opened", **labels: str) -> list[tuple[str, str, str]]:
    return [(one.identity, one.key, one.mode) for one in notices.of(ALL, on, number, event, "why", labels)]


def test_entries_that_fit_are_told() -> None:
    """By noun and by all matchers over the alert's labels; those that have none are told of everything."""
    everything = ("all", "all:incident:7:opened", "auto")
    assert told("incident", severity="page") == [everything, ("pages", "pages:incident:7:opened", "auto")]
    assert told("incident") == [everything, ("program", "program:incident:7:opened", "approve")]
    assert told("backlog", severity="page") == [("desk", "desk:backlog:7:opened", "auto")]
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


@pytest.mark.parametrize(("number", "is_whole"), [(7, True), (10**18, False)])
def test_what_tells_the_items_of_an_incident_apart_fits_its_column(number: int, *, is_whole: bool) -> None:
    """The key, or where that is too long a digest of all of it."""
    named = Notice("n" * 32, "incident", "http", (), "auto")
    events = [one for event in ("opened", "closed") for one in notices.of((named,), "incident", number, event, "", {})]
    assert [one.rule == one.key for one in events] == [is_whole, is_whole]
    assert [len(one.rule) <= 64 for one in events] == [True, True]
    assert len({one.rule for one in events}) == 2


def test_what_is_told() -> None:
    """The reason, in the built-in queue of notifications."""
    (one,) = notices.of((EVERYTHING,), "incident", 7, "closed", "its alert is resolved", {})
    assert (one.queue, one.reason) == ("notifications", "its alert is resolved")
    assert list(notices.of((), "incident", 7, "closed", "", {})) == []
