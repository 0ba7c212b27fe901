"""What becomes of each alert of a payload, and what is done about it: what `replay` prints and the log tells.

Only nouns: `exporter.bridge.planning` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model import Plan

Outcome = Literal["opens", "duplicate", "late", "resolves", "unmatched", "quarantined", "refused"]
"""What becomes of an alert as one of few words.

`opens` an incident, a `duplicate` of one that is open, `late` (it began before its incident's last end, and is held),
`resolves` an incident, `unmatched` (resolved, and no incident of it is open), `quarantined` (it cannot be read; the
others of the payload are taken), `refused` (the whole payload is).
"""

Verdict = Literal["run", "wait", "held", "skipped", "refused", "cancelled"]
"""What becomes of a step as one of few words.

The server would `run` it; it would `wait` for a person, in a queue without an action or for its release; it would be
`held` until a reason ends (a window; of a restart also its circuit, a service that it needs, a budget, the fleet
breaker, another run); it is `skipped`, finally: mode observe, no rule, a rule that does nothing; it is `refused`
because the rule names something that is not configured or not there; or `cancelled` by a resolved alert.
"""

VERDICTS: Final[tuple[Verdict, ...]] = ("run", "wait", "held", "skipped", "refused", "cancelled")


@dataclass(frozen=True, slots=True)
class PlannedRestart:
    """What would become of the restart of a service now, and all that the decision looks at.

    `order` counts from 1 in what is planned together, `after` are those of it that come first. `hold` is the word for
    why it is not run, if so, and `sentence` says it. Of what is looked at None is nothing in the way; `circuits` has
    the state of each circuit by its name; `unseen` says what only the server looks at when the time has come.
    """

    service: str
    order: int
    after: tuple[str, ...]
    verdict: Verdict
    hold: str | None
    sentence: str
    circuits: Mapping[str, str]
    window: str | None = None
    budget: str | None = None
    fleet: str | None = None
    dependency: str | None = None
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One thing that a rule leads to, or, with `rule` None, why no rule leads to anything.

    `action` is enqueue, restart or none; `sentence` says why the verdict is so, in words. `mode` is the strictest of
    the global one, the rule's and the queue's. `plan` is exactly what would be run; None where nothing would be, or
    where it cannot be said. `restart` has what the decision on a restart looks at.
    """

    rule: str | None
    action: str
    queue: str | None
    key: str | None
    service: str | None
    mode: str
    verdict: Verdict
    sentence: str
    plan: Plan | None = None
    restart: PlannedRestart | None = None


@dataclass(frozen=True, slots=True)
class PlannedAlert:
    """What becomes of one alert, and each step that follows.

    `position` counts from 0 in the payload's list; -1 where the whole payload is refused. `incident_id` is that of
    the store: None where there is none yet. `labels` are printable, and empty for what could not be read.
    """

    position: int
    alertname: str
    labels: Mapping[str, str]
    outcome: Outcome
    incident_id: int | None
    sentence: str
    steps: tuple[PlannedStep, ...] = field(default=())
