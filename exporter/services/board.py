"""The services that this replica owns, as the scrape, the page and the ledger see them.

The series of a scrape are kept and only what changed is set anew: at 10,000 services making them each time would take
longer than the probes of that time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.model import STATES, Family

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import Labels, Reading, Samples
    from exporter.services.service import Service
    from exporter.services.standing import Standing, Transition

COMPONENTS: Final = 50
"""Components of a service that are shown."""

_LABELS: Final = ("client", "target")
STATE = Family(
    "watchbridge_service_state",
    "gauge",
    "1 for the state that a service is in, 0 for the others.",
    (*_LABELS, "state"),
)
SUCCESS = Family(
    "watchbridge_probe_success", "gauge", "Whether the last run found the service up or degraded.", _LABELS
)
DURATION = Family("watchbridge_probe_duration_seconds", "gauge", "How long the last run took.", _LABELS)
LAST_RUN = Family("watchbridge_probe_last_run_timestamp_seconds", "gauge", "When the last run ended.", _LABELS)
CODE = Family("watchbridge_probe_http_status_code", "gauge", "Status code of the last HTTP answer.", _LABELS)
EXPIRY = Family(
    "watchbridge_probe_tls_earliest_certificate_expiry_timestamp_seconds",
    "gauge",
    "When the first certificate of the chain that the service showed ends.",
    _LABELS,
)
INTERVAL = Family(
    "watchbridge_probe_interval_seconds", "gauge", "Time between two runs, as configured or by the pattern.", _LABELS
)
RUNS = Family(
    "watchbridge_probe_runs_total",
    "counter",
    "Runs by whether they found the service up or degraded (success) or not (failure); survives a restart.",
    (*_LABELS, "result"),
)
PHASE = Family(
    "watchbridge_probe_phase_duration_seconds",
    "gauge",
    "How long the phases of the last run took; of services with `series: full`.",
    (*_LABELS, "phase"),
)
COMPONENT = Family(
    "watchbridge_service_component_state",
    "gauge",
    "1 for the state of a part of a service by its health document; of services with `series: full`.",
    (*_LABELS, "component", "state"),
)
FAMILIES: Final = (STATE, SUCCESS, DURATION, LAST_RUN, CODE, EXPIRY, INTERVAL, RUNS, PHASE, COMPONENT)

_BITS: Final = (0.0, 1.0)  # the same two objects for all: ten thousand services have 60,000 of them
_SHOWN_COMPONENT_STATES: Final = ("up", "degraded", "down")


class Board:
    """The standings by service, and their series."""

    def __init__(self) -> None:
        self.standings: dict[int, Standing] = {}
        self._series: dict[Family, dict[Labels, float]] = {family: {} for family in FAMILIES}
        self._details: dict[int, dict[Family, tuple[Labels, ...]]] = {}
        """Phases and components that are shown, of services with `series: full`."""

    def __iter__(self) -> Iterator[Standing]:
        return iter(tuple(self.standings.values()))

    def add(self, standing: Standing, now: float) -> None:
        """Show a service from now on."""
        self.standings[standing.service.id] = standing
        self.refresh(standing, now)

    def replace(self, service: Service, now: float) -> None:
        """Take the new options of a service that is shown; its labels may be others."""
        standing = self.standings[service.id]
        self._hide(service.id)
        standing.service = service
        self.refresh(standing, now)

    def remove(self, identity: int) -> Standing | None:
        """Show a service no longer."""
        self._hide(identity)
        return self.standings.pop(identity, None)

    def note(self, identity: int, reading: Reading, at: float) -> Transition | None:
        """Take a reading; return the transition that it makes. A service that is gone is none of ours any more."""
        standing = self.standings.get(identity)
        if standing is None:
            return None
        transition = standing.note(reading, at)
        if transition is not None or not self._renewed(standing, reading, at):
            self.refresh(standing, at)
        return transition

    def look(self, now: float, in_window: Mapping[int, str]) -> list[Transition]:
        """Return the transitions that time has made; `in_window` says why which services are in maintenance now."""
        found = []
        for identity, standing in self.standings.items():
            window = in_window.get(identity)
            # `due` in place: ten thousand are looked at each second.
            if window != standing.window or (now > standing.expires and not standing.stale):
                transition = standing.look(now, window=window)
                self.refresh(standing, now)
                if transition is not None:
                    found.append(transition)
        return found

    def counted(self, standing: Standing) -> None:
        """Show the runs that are committed now."""
        labels = (standing.service.client, standing.service.name)
        runs = self._series[RUNS]
        runs[*labels, "success"] = standing.counted.runs_success
        runs[*labels, "failure"] = standing.counted.runs_failure

    def samples(self) -> Samples:
        """Return a copy of all series: they go on changing while they are rendered."""
        return {family: series.copy() for family, series in self._series.items()}

    def _renewed(self, standing: Standing, reading: Reading, at: float) -> bool:
        """Set only what each run changes, and return whether that was all: most runs find what the last one found."""
        service, series = standing.service, self._series
        labels = (service.client, service.name)
        if service.full or labels not in series[SUCCESS]:
            return False
        series[LAST_RUN][labels] = at
        series[INTERVAL][labels] = service.interval(at)
        self._read(labels, reading)
        return True

    def _read(self, labels: Labels, reading: Reading) -> None:
        """Set what a reading of every service shows."""
        series = self._series
        series[SUCCESS][labels] = _BITS[reading.success]
        series[DURATION][labels] = reading.duration
        for family, value in ((CODE, reading.status_code), (EXPIRY, reading.tls_expiry)):
            if value is not None:
                series[family][labels] = value
            else:
                series[family].pop(labels, None)

    def refresh(self, standing: Standing, now: float) -> None:
        """Set the series of one service anew."""
        service = standing.service
        labels = (service.client, service.name)
        self._series[STATE].update({(*labels, state): _BITS[state == standing.state] for state in STATES})
        self._series[INTERVAL][labels] = service.interval(now)
        if standing.ran_at is not None:
            self._series[LAST_RUN][labels] = standing.ran_at
        reading = standing.reading if standing.fresh(now) else None
        if reading is not None:
            self._read(labels, reading)
        else:
            for family in (SUCCESS, DURATION, CODE, EXPIRY):
                self._series[family].pop(labels, None)
        self._detail(service.id, _details(labels, reading) if reading is not None and service.full else {})
        self.counted(standing)

    def _detail(self, identity: int, fresh: dict[Family, dict[Labels, float]]) -> None:
        """Show these phases and components of a service, and no others."""
        for family, shown in self._details.pop(identity, {}).items():
            for gone in shown:
                if gone not in fresh.get(family, ()):
                    self._series[family].pop(gone, None)
        for family, series in fresh.items():
            self._series[family].update(series)
        if fresh:
            self._details[identity] = {family: tuple(series) for family, series in fresh.items()}

    def _hide(self, identity: int) -> None:
        standing = self.standings.get(identity)
        if standing is None:
            return
        labels = (standing.service.client, standing.service.name)
        for family in (INTERVAL, LAST_RUN, SUCCESS, DURATION, CODE, EXPIRY):
            self._series[family].pop(labels, None)
        for family, values in ((STATE, STATES), (RUNS, ("success", "failure"))):
            for value in values:
                self._series[family].pop((*labels, value), None)
        self._detail(identity, {})


def _details(labels: Labels, reading: Reading) -> dict[Family, dict[Labels, float]]:
    return {
        PHASE: {(*labels, phase): seconds for phase, seconds in reading.phases.items()},
        COMPONENT: {
            (*labels, component.name, state): _BITS[state == component.state]
            for component in reading.components[:COMPONENTS]
            for state in _SHOWN_COMPONENT_STATES
        },
    }
