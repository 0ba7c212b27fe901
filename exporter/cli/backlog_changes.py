"""`watchbridge backlog approve|mark-processed|retry|clear`: what a person decides about items."""

from __future__ import annotations

import copy
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli import data

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.store.backlog import BacklogItem
    from exporter.store.store import Store

CHANGED: Final = ("id", "queue", "key", "changed", "state", "sentence")
CLEARED: Final = ("pending", "held", "failed")
IDS: Final = click.argument("ids", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1))


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one item that was named: `settled` is False where what was asked for is not so now."""

    id: int | None
    queue: str
    key: str
    changed: bool
    settled: bool
    state: str | None
    sentence: str
    reason: str = ""


@click.command()
@IDS
@data.with_output
def approve(ids: tuple[int, ...], config: Path | None, output: str) -> None:
    """Release items that are held because of the mode, so that the server runs them.

    Exit status: 0 all are released, 1 one could not be, 2 usage or configuration, 3 the store cannot be reached.
    """
    _by_number("approve", ids, config, output)


@click.command()
@IDS
@data.with_output
def retry(ids: tuple[int, ...], config: Path | None, output: str) -> None:
    """Try items anew that are dead, that failed, or that were cleared; their attempts count from the start.

    Exit status: 0 all will be tried, 1 one will not, 2 usage or configuration, 3 the store cannot be reached.
    """
    _by_number("retry", ids, config, output)


@click.command("mark-processed")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--queue", metavar="QUEUE", help="The queue; see `watchbridge backlog --help` for the default.")
@click.option("--id", "by_id", is_flag=True, help="The words are ids of items, not keys.")
@data.with_output
def mark_processed(keys: tuple[str, ...], queue: str | None, config: Path | None, output: str, *, by_id: bool) -> None:
    """Say that a person has done the items of each KEY, or with --id the items of these ids.

    What is done already stays so, and is no error: it can be said twice.

    Exit status: 0 all are done, 1 one is not, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter import backlog_lines
    from exporter.cli import backlog_queues

    configuration = data.configured(config)
    names: list[str | int] = []
    for word in dict.fromkeys(keys):
        try:
            names.append(_number(word) if by_id else backlog_lines.key_of(word))
        except backlog_lines.LineError as error:
            raise click.UsageError(f"This names no item: {error}.") from None
    chosen = None if by_id and queue is None else backlog_queues.named(configuration, queue)
    _finish("mark-processed", configuration, output, _marked(configuration, chosen, names))


def _number(word: str) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 18 or int(word) == 0:  # noqa: PLR2004 -- 64 bits
        raise click.UsageError(f"{word!r} is no id: wanted a whole number, as `watchbridge backlog list` shows it.")
    return int(word)


old_spelling: Final = copy.copy(mark_processed)
"""The command as scripts of old call it."""
old_spelling.name = "mark_processed"
old_spelling.hidden = True


@click.command()
@click.option("--queue", metavar="QUEUE", help="The queue; see `watchbridge backlog --help` for the default.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data.with_output
def clear(queue: str | None, config: Path | None, output: str, *, yes: bool) -> None:
    """Cancel what has not begun: the pending, held and failed items of one queue.

    What runs, and what is done or dead, stays. Cleared items are kept for a while and can be tried again.

    Exit status: 0 fine, 1 you said no, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter.cli import backlog_queues

    configuration = data.configured(config)
    chosen = (
        backlog_queues.named(configuration, None)
        if queue is None
        else backlog_queues.sought(configuration, queue, data.awaited("Reading the store", _stored(configuration)))
    )
    if not yes:
        _asked(chosen, data.awaited("Reading the store", _waiting(configuration, chosen)))
    now = time.time()
    count = data.awaited("Writing the store", _cleared(configuration, chosen, now))
    data.show_one(
        output, {"queue": chosen, "cleared": count}, lambda _: data.line(f"Cleared {_counted(count)} of {chosen}.")
    )


def _asked(queue: str, count: int) -> None:
    """Ask on a terminal whether to go on; where there is none, that must be said beforehand."""
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask on: give --yes to cancel the items without being asked.")
    if not click.confirm(f"Cancel {_counted(count)} of the queue {queue}?", err=True):
        data.tell("Nothing was changed.")
        raise click.exceptions.Exit(1)


def _counted(count: int) -> str:
    return f"{count} item{'' if count == 1 else 's'}"


async def _stored(configuration: Configuration) -> set[str]:
    """Return the queues that have items, also those that left the configuration."""
    from exporter.store import backlog

    async with data.opened(configuration) as store:
        return {queue for queue, _ in await backlog.counts(store)}


async def _waiting(configuration: Configuration, queue: str) -> int:
    from exporter.store import backlog

    async with data.opened(configuration) as store:
        counts = await backlog.counts(store)
    return sum(counts.get((queue, state), 0) for state in CLEARED)


async def _cleared(configuration: Configuration, queue: str, now: float) -> int:
    from exporter.store import backlog

    async with data.opened(configuration) as store:
        ids = set(await backlog.clear(store, queue, CLEARED, actor=data.actor(), now=now))
        if configuration.backlog.log_file is not None:
            await _record_cleared(store, configuration, queue, ids, now)
    return len(ids)


async def _record_cleared(
    store: Store, configuration: Configuration, queue: str, ids: Collection[int], now: float
) -> None:
    from exporter.store import backlog

    after = 0
    while page := await backlog.listed(store, queue=queue, states=("cancelled",), after_id=after):
        _recorded(configuration, now, "clear", [(one.key, queue, one.reason) for one in page if one.id in ids])
        after = page[-1].id


def _by_number(verb: str, ids: Sequence[int], config: Path | None, output: str) -> None:
    configuration = data.configured(config)
    _finish(verb, configuration, output, _changed(configuration, verb, list(dict.fromkeys(ids))))


async def _changed(configuration: Configuration, verb: str, ids: Sequence[int]) -> list[Told]:
    from exporter.store import backlog

    act = {"approve": backlog.approve, "retry": backlog.retry}[verb]
    async with data.opened(configuration) as store:
        changed = set(await act(store, ids, actor=data.actor(), now=time.time()))
        return [_told(verb, number, await backlog.one(store, number), changed=number in changed) for number in ids]


async def _marked(configuration: Configuration, queue: str | None, names: Sequence[str | int]) -> list[Told]:
    from exporter.store import backlog

    told: list[Told] = []
    async with data.opened(configuration) as store:
        for name in names:
            ids = await backlog.mark_processed(store, queue, name, actor=data.actor(), now=time.time())
            found = [await backlog.one(store, number) for number in ids]
            told += [_told("mark-processed", one.id, one, changed=True) for one in found if one is not None]
            told += [] if ids else [await _unmarked(store, queue, name)]
    return told


async def _unmarked(store: Store, queue: str | None, name: str | int) -> Told:
    """Say why there was nothing to mark: it is done already, it runs, or nobody knows it."""
    from exporter.store import backlog

    if isinstance(name, int):
        one = await backlog.one(store, name)
        return _told("mark-processed", name, one if one is None or queue in (None, one.queue) else None, changed=False)
    for state in ("running", "done"):
        if found := await backlog.listed(store, queue=queue, states=(state,), key=name, limit=1):
            return _told("mark-processed", found[0].id, found[0], changed=False)
    hint = ""
    if name.isascii() and name.isdigit() and (other := await backlog.one(store, int(name[:18]))) is not None:
        hint = f"; to name item {other.id} ({other.key} in the queue {other.queue}) by its id, add --id"
    sentence = f"there is nothing to do for the key {name} in the queue {queue}{hint}"
    return Told(None, queue or "", name, changed=False, settled=False, state=None, sentence=sentence)


_DONE: Final = {"approve": "is released", "retry": "will be tried again", "mark-processed": "is processed"}
_READY: Final = frozenset({"approve", "retry"})
_WANTED: Final = {
    "approve": "only what is held because of the mode can be approved",
    "retry": "only what is dead, has failed or was cleared can be tried again, and not for an alert that has resolved",
    "mark-processed": "wait for its end, or for its next attempt",
}


def _told(verb: str, number: int, one: BacklogItem | None, *, changed: bool) -> Told:
    if one is None:
        sentence = f"there is no item {number}"
        return Told(number, "", "", changed=False, settled=False, state=None, sentence=sentence)
    settled = changed or (verb == "mark-processed" and one.state == "done")
    if changed:
        sentence = f"item {number} ({one.key} in the queue {one.queue}) {_DONE[verb]}"
    elif settled:
        sentence = f"item {number} ({one.key} in the queue {one.queue}) was processed already"
    else:
        why = f" ({one.explanation})" if one.explanation else ""
        sentence = f"item {number} ({one.key} in the queue {one.queue}) is {one.state}{why}: {_WANTED[verb]}"
    return Told(number, one.queue, one.key, changed, settled, one.state, sentence, one.reason)


def _finish(verb: str, configuration: Configuration, output: str, work: Any) -> None:
    """Do it, then record, print and tell what became of each item."""
    from exporter.cli import backlog_queues

    now = time.time()
    told: list[Told] = data.awaited("Writing the store", work)
    _recorded(configuration, now, verb, [(one.key, one.queue, one.reason) for one in told if one.changed])
    rows = [{name: getattr(one, name) for name in CHANGED} for one in told]
    data.show(output, rows, CHANGED, as_table=lambda _: "".join(_line(one) for one in told if one.settled))
    if verb in _READY:
        backlog_queues.tell_unrun(configuration, [one.queue for one in told if one.changed])
    for one in told:
        if not one.settled:
            data.tell(f"watchbridge: {_sentence(one.sentence)}")
    if not all(one.settled for one in told):
        raise click.exceptions.Exit(1)


def _line(one: Told) -> str:
    return data.line(_sentence(one.sentence))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _recorded(configuration: Configuration, now: float, verb: str, changes: Sequence[tuple[str, str, str]]) -> None:
    from exporter.cli import backlog_log

    lines = [backlog_log.Change(verb, key, queue, reason) for key, queue, reason in changes]
    backlog_log.record(configuration.backlog.log_file, now, lines)
