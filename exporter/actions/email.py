"""A mail for each item to fixed addresses: by the SMTP server of `email`, else by this machine's `mail` command."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter import handover, mail, placeholders
from exporter.config.options import option
from exporter.errors import MailError
from exporter.labels import encodable
from exporter.model import Done, Outcome, Plan, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import ActionParts, Item

    Told = tuple[tuple[str | int, ...], str]

ALONE: Final = "Watchbridge"
"""How every subject begins that is not configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Who gets the mail, and under which subject."""

    to: tuple[str, ...] = option(
        help="The addresses, or names of users of this machine: each gets a mail of its own.",
        example=["admin@company.com"],
        minimum=1,
        maximum=50,
    )
    subject: str | None = option(
        None,
        help="A fixed subject. Left out: `Watchbridge:` with the queue and the key of the item.",
        minimum=1,
        maximum=mail.MAX_SUBJECT,
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield addresses to which no mail can go, and a subject that is not fixed."""
        del configuration
        for index, address in enumerate(self.to):
            if not mail.is_recipient(address):
                yield ("to", index), "this is not one plain mail address such as admin@company.com: write each alone"
            elif address in self.to[:index]:
                yield ("to", index), "this address is given twice: remove one of them"
        if self.subject is None:
            return
        if told := placeholders.misplaced(self.subject):
            yield ("subject",), told
        elif not self.subject.isprintable():
            yield ("subject",), "the subject holds the end of a line or a control character: remove it"


def plan(options: Options, item: Item) -> Plan:
    """Return who gets what."""
    subject = _subject(options, item)
    details = {"to": list(options.to), "subject": subject, "body": _body(item)}
    return Plan(f"mail to {', '.join(options.to)} with subject {subject!r}", details)


def _subject(options: Options, item: Item) -> str:
    if options.subject is not None:
        return options.subject
    line = f"{ALONE}: {item.queue} {item.key}"
    return "".join(letter if letter.isprintable() else " " for letter in line)[: mail.MAX_SUBJECT]


def _body(item: Item) -> str:
    """Return the item and its alert as plain text: what is hostile in it stays text of its own line."""
    document = handover.document(item)
    lines = [f"{name.capitalize()}: {_line(document[name])}" for name in _NAMES if document[name] not in {None, ""}]
    if document["starts_at"] is not None:
        lines.append(f"Fires since: {document['starts_at']}")
    if document["generator_url"]:
        lines.append(f"Source: {_line(document['generator_url'])}")
    lines += [*_listed("Labels", item.labels), *_listed("Annotations", item.annotations)]
    return "\n".join(lines) + "\n"


_NAMES: Final = ("queue", "key", "reason", "service", "id", "incident", "attempt")


def _listed(title: str, texts: Mapping[str, str]) -> Iterator[str]:
    if texts:
        yield ""
        yield f"{title}:"
    for name, value in sorted(texts.items()):
        yield f"  {_line(name)}: {_line(value)}"


def _line(value: object) -> str:
    """Return a value so that no part of it looks like a line of ours."""
    return "\n    ".join(encodable(line) for line in str(value).splitlines())


async def act(options: Options, item: Item, parts: ActionParts, timeout: float) -> Outcome:
    """Send the mails, one after the other; a further attempt sends to all of them again."""
    subject, body = _subject(options, item), _body(item)
    reached: list[str] = []
    failed: list[str] = []
    try:
        async with asyncio.timeout(timeout):
            for address in options.to:
                try:
                    await mail.send(address, subject, body, parts.mail)
                    reached.append(address)
                except MailError as error:
                    failed.append(str(error))
    except TimeoutError:
        failed.append(f"the mail to {options.to[len(reached) + len(failed)]} did not leave within {timeout:g} s")
    if not failed:
        return Done(f"a mail went to {', '.join(reached)}")
    return Retry(" ".join([*failed, *([f"It did go to {', '.join(reached)}."] if reached else [])]))
