"""What a look at a source changes, and what an alarm leads to: pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from exporter.labels import normalised
from exporter.policy import RESTARTS, Rule, Rulebook, Step, decide
from exporter.store.backlog_rows import NewItem
from exporter.store.process_alarms import NewAlarm, head_of, stored_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.model import Mode
    from exporter.policy import Decision
    from exporter.process_alarms.process import Process
    from exporter.store.process_alarms import Alarm

ALERTNAME: Final = "ProcessAlarm"
_NOT_RUN: Final = {"observe": "would have run", "hold": "would run"}
_STATES: Final[Mapping[str, Any]] = {"enqueue": "pending", "hold": "held", "observe": "cancelled"}


@dataclass(frozen=True)
class Terms:
    """What alarms are held against: which service a process is, all services, and the mode of all that is done.

    `plan` says in words what would be run for a service.
    """

    by_process: Mapping[str, str] = field(default_factory=dict)
    services: frozenset[str] = frozenset()
    mode: Mode = "observe"
    plan: Callable[[str], str] | None = None

    @cached_property
    def folded(self) -> Mapping[str, str]:
        """Return the names of known processes by what is left of them without regard to case."""
        return {name.casefold(): name for name in self.by_process}

    def service(self, process: Process) -> str | None:
        """Return the service that is restarted for a process, by its exact name."""
        return None if process.name is None else self.by_process.get(process.name)


@dataclass(slots=True)
class Changes:
    """What a look found, by head: alarms that are new, that have ended, and that lead to another item (`again`)."""

    fresh: dict[str, Process] = field(default_factory=dict)
    ended: dict[str, Alarm] = field(default_factory=dict)
    again: dict[str, tuple[Alarm, Process]] = field(default_factory=dict)

    def parts(self, size: int) -> Iterator[Changes]:
        """Yield the changes in parts of so many heads: what is of one head is in one part."""
        heads = sorted({*self.fresh, *self.ended, *self.again})
        for first in range(0, len(heads), size):
            part = heads[first : first + size]
            yield Changes(_of(self.fresh, part), _of(self.ended, part), _of(self.again, part))


def _of(found: dict[str, Any], heads: Iterable[str]) -> dict[str, Any]:
    return {head: found[head] for head in heads if head in found}


def changes(
    source: str,
    processes: Iterable[Process],
    known: Iterable[Alarm],
    terms: Terms,
    is_due_again: Callable[[Alarm], bool],
) -> Changes:
    """Return what is new in a source since `known`; `is_due_again` says whether one that stands leads to more."""
    found = Changes()
    now = {head_of(source, one.id): one for one in processes}
    standing: dict[str, Alarm] = {}
    for alarm in known:
        process = now.get(alarm.head)
        # A number that has another name now is another process.
        if process is None or alarm.process != name_of(process):
            found.ended[alarm.head] = alarm
        else:
            standing[alarm.head] = alarm
    for head, process in now.items():
        if (stands := standing.get(head)) is None:
            found.fresh[head] = process
            continue
        service = terms.service(process)
        is_other = service is not None and stored_name(service) != stands.service
        if service is not None and (is_other or is_due_again(stands)):
            found.again[head] = stands, process
    return found


def is_over(alarm: Alarm) -> bool:
    """Return whether the item that an alarm led to has ended in a way after which there may be another one.

    Not where the mode only observes, and not where a person cancelled it: that holds for as long as the alarm stands.
    """
    if alarm.item_id is None:
        return False
    if alarm.item_state == "cancelled":
        return alarm.item_hold not in (None, "mode")
    return alarm.item_state in (None, "done", "dead")


def name_of(process: Process) -> str:
    """Return the name of a process as it is stored; one without has an empty one."""
    return stored_name(process.name or "")


def alarm_of(source: str, process: Process, service: str | None) -> NewAlarm:
    """Return the alarm of a process."""
    return NewAlarm(source, process.id, process.name or "", service)


def decision(service: str, terms: Terms, mode: Mode) -> Decision:
    """Return what an alarm of a service's process means: decided as a rule of such a mode would."""
    step = Step("restart", RESTARTS, service="{service}", acts=True)
    rule = Rule("alarms", (), (step,), mode)
    (only,) = decide({"service": service}, Rulebook(rules=(rule,), services=terms.services, mode=terms.mode))
    if terms.plan is None or only.verdict not in _NOT_RUN:
        return only
    return replace(only, sentence=f"{only.sentence}; {_NOT_RUN[only.verdict]}: {terms.plan(service)}")


def item_of(source: str, process: Process, made: Decision, now: float) -> NewItem:
    """Return the item that an alarm leads to."""
    name, number = normalised(process.name), normalised(process.id)
    return NewItem(
        queue=RESTARTS,
        key=made.key,
        reason=f"process {number} ({name}) is in alarm in {source}",
        origin="alarm",
        state=_STATES[made.verdict],
        mode=made.mode,
        due_at=now,
        context={
            "alarm": {"source": source, "process_id": process.id, "service": made.service},
            "labels": {"alertname": ALERTNAME, "source": source, "process": name},
        },
        service=made.service,
        hold="mode" if made.verdict in {"hold", "observe"} else None,
        explanation=made.sentence,
    )


def refusal(source: str, process: Process, terms: Terms) -> str:
    """Return why an alarm leads to nothing, and what to add for it to lead to something."""
    told = f"refused: process {normalised(process.id)} is in alarm in {source!r}"
    if process.name is None:
        return f"{told} and has no name: nobody can say which service it is"
    name = repr(normalised(process.name))
    if process.name in terms.services:
        return f"{told}, and its service {name} has no `restart`, or another `alarm`: give it one"
    near = terms.folded.get(process.name.casefold())
    hint = f" (there is {near!r}: upper and lower case count)" if near is not None else ""
    return f"{told}, and no service is named {name}{hint}: add one with a `restart`, or give one `alarm: {name}`"
