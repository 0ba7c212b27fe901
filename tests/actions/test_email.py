"""A mail of an action goes to fixed addresses, and what an alert says stays text within it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from actions.settings import ITEM, mistakes, options, parts
from test_mail import Sink, listening
from test_mail import options as smtp

from exporter import mail
from exporter.actions import email
from exporter.model import Done, Item, Outcome, Retry

if TYPE_CHECKING:
    from email.message import EmailMessage

TO = ["admin@company.com", "second@company.com"]


async def act(sink: Sink, *, item: Item = ITEM, timeout: float = 10.0, to: Any = TO, **keys: Any) -> Outcome:
    """Send the mails by a real conversation."""
    return await email.act(options({"kind": "email", "to": to, **keys}), item, parts(mail=smtp(sink)), timeout)


def text(message: EmailMessage) -> str:
    """Return the text of a mail with plain ends of lines."""
    return "\n".join(message.get_content().splitlines()) + "\n"


BODY = """\
Queue: user-sync
Key: 4711
Reason: the alert fires
Id: 7
Incident: 3
Attempt: 2
Fires since: 2023-11-14T22:13:20.500Z
Source: https://prometheus.example/graph

Labels:
  alertname: UserSyncFailed
  severity: page

Annotations:
  summary: two
    lines
"""


async def test_each_address_gets_a_mail_about_the_item() -> None:
    async with listening(Sink()) as sink:
        outcome = await act(sink)
    assert outcome == Done("a mail went to admin@company.com, second@company.com")
    assert [message["To"] for message in sink.messages] == TO
    assert {message["Subject"] for message in sink.messages} == {"Watchbridge: user-sync 4711"}
    assert {text(message) for message in sink.messages} == {BODY}


async def test_an_item_of_a_person_has_a_short_mail() -> None:
    """No alert, no labels, no incident."""
    async with listening(Sink()) as sink:
        await act(sink, item=Item(1, "q", "k"), to=TO[:1])
    assert text(sink.messages[0]) == "Queue: q\nKey: k\nId: 1\nAttempt: 1\n"


async def test_a_subject_may_be_fixed() -> None:
    async with listening(Sink()) as sink:
        await act(sink, to=TO[:1], subject="Please look: 100 % { of } it")
    assert sink.messages[0]["Subject"] == "Please look: 100 % { of } it"


HOSTILE = replace(
    ITEM,
    key="4711\r\nBcc: evil@example.com",
    reason="\ud800\x1b[31m\n.\nQUIT",
    labels={"a\nBcc": "evil@example.com\r\n.\r\nMAIL FROM:<x>", "b": "x" * 2000},
    annotations={"~!reboot": "~!reboot\n~!reboot"},
)


async def test_hostile_text_becomes_neither_header_nor_command() -> None:
    """Nor does a line of it look like one of ours."""
    async with listening(Sink()) as sink:
        assert isinstance(await act(sink, item=HOSTILE, to=TO[:1]), Done)
    [message] = sink.messages
    assert message["Subject"] == "Watchbridge: user-sync 4711 Bcc: evil@example.com"
    assert "Bcc" not in message
    assert sum(line.startswith(("RCPT", "rcpt")) for line in sink.commands) == 1
    lines = message.get_content().splitlines()
    assert "Reason: \ufffd\ufffd[31m" in lines
    assert "    QUIT" in lines
    assert not [line for line in lines if line.startswith(("Bcc", "~", ".", "MAIL"))]


async def test_a_very_long_item_is_cut() -> None:
    item = replace(ITEM, key="k" * 1000, annotations={str(n): "x" * 4000 for n in range(64)})
    async with listening(Sink()) as sink:
        assert isinstance(await act(sink, item=item, to=TO[:1]), Done)
    assert len(text(sink.messages[0])) <= mail.MAX_BODY + 1
    assert len(sink.messages[0]["Subject"]) <= mail.MAX_SUBJECT


async def test_a_server_that_refuses_is_another_attempt() -> None:
    """For all of them, and it says whom the mail reached."""
    async with listening(Sink(answers={"RCPT": "550 no such user"})) as sink:
        outcome = await act(sink)
    assert isinstance(outcome, Retry)
    assert "does not take mail for this address" in outcome.detail
    assert "It did go to" not in outcome.detail


async def test_one_refused_address_does_not_keep_the_mail_from_the_others() -> None:
    class Choosy(Sink):
        async def _answer(self, line: str, reader: Any, writer: Any) -> None:
            if line.lower().startswith("rcpt") and "admin@" in line:
                return await self._say(writer, "550 no such user")
            return await super()._answer(line, reader, writer)

    async with listening(Choosy()) as sink:
        outcome = await act(sink)
    assert isinstance(outcome, Retry)
    assert outcome.detail.endswith("It did go to second@company.com.")
    assert [message["To"] for message in sink.messages] == ["second@company.com"]


async def test_a_silent_server_is_left_at_the_deadline() -> None:
    """The action's own, though that of the mail is later."""
    async with listening(Sink(silent=True)) as sink:
        outcome = await act(sink, timeout=0.3)
    assert outcome == Retry("the mail to admin@company.com did not leave within 0.3 s")


def test_the_plan_is_the_mail() -> None:
    found = email.plan(options({"kind": "email", "to": TO}), ITEM)
    assert found.sentence == (
        "mail to admin@company.com, second@company.com with subject 'Watchbridge: user-sync 4711'"
    )
    assert found.details == {"to": TO, "subject": "Watchbridge: user-sync 4711", "body": BODY}


WRONG = [
    pytest.param({"to": ["a@b.c, d@e.f"]}, "to[0]: this is not one plain mail address", id="a list in a text"),
    pytest.param({"to": ["a@b.c", "-x@y.z"]}, "to[1]: this is not one plain mail address", id="an option"),
    pytest.param({"to": ["{mail}"]}, "to[0]: this is not one plain mail address", id="placeholder"),
    pytest.param({"to": ["|reboot"]}, "to[0]: this is not one plain mail address", id="a pipe"),
    pytest.param({"to": ["a@b.c", "a@b.c"]}, "to[1]: this address is given twice", id="twice"),
    pytest.param({"to": ["a@b.c"], "subject": "x {key}"}, "subject: '{key}' would not be filled in here", id="part"),
    pytest.param({"to": ["a@b.c"], "subject": "{key}"}, "subject: '{key}' would not be filled in here", id="whole"),
    pytest.param({"to": ["a@b.c"], "subject": "a\nBcc: x"}, "subject: the subject holds the end of a line", id="line"),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG)
def test_a_mistake_in_the_configuration_has_its_sentence(keys: dict[str, Any], sentence: str) -> None:
    [told] = mistakes({"kind": "email", **keys})
    assert told.startswith(sentence)


def test_a_user_of_this_machine_may_get_mail() -> None:
    """As cron's does."""
    assert mistakes({"kind": "email", "to": ["root"]}) == []
