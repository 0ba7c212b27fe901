"""Probes that a request asks for: a target with a module, or a service of the configuration or the store.

A target comes from outside, so it must be allowed, and each connection that is made for it is asked about again: also
that of a redirect, by the host that it goes to.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from exporter import probing
from exporter.config.mistakes import nearest, shown
from exporter.exposition import Answer, Exposition, accepts_gzip, compressed, negotiate
from exporter.guard import MalformedTargetError, RefusedTargetError, host_of
from exporter.model import Family
from exporter.ondemand.story import Story, told
from exporter.ondemand.targets import GuardedWire, named, proxy_host, without_redirects
from exporter.web.services import ProbeRefusal, ProbeRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.config.options import Choice
    from exporter.guard import Guard
    from exporter.model import Reading, Samples
    from exporter.services.service import Service

AT_ONCE: Final = 50
"""Probes that requests may have running at once: each costs a connection, and anybody may ask."""
DEFAULT_MODULE: Final = "http_2xx"
"""What a request means that names no module: blackbox_exporter's own default."""

# Names and words of blackbox_exporter (prober/handler.go): its users' rules go on working.
SUCCESS: Final = Family("probe_success", "gauge", "Displays whether or not the probe was a success")
DURATION: Final = Family("probe_duration_seconds", "gauge", "Returns how long the probe took to complete in seconds")
TIMEOUT: Final = Family("probe_timeout_seconds", "gauge", "Returns how long the probe timeout is in seconds")
FAMILIES: Final = (SUCCESS, DURATION, TIMEOUT)

_KNOWN: Final = 50
"""So many modules are listed where none is near the unknown one."""


class _NotBegunError(Exception):
    """A probe cannot begin: its argument is the refusal."""

    def __init__(self, status: Any, detail: str) -> None:
        self.refusal = ProbeRefusal(status, detail)
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class _Plan:
    """One probe, ready to run."""

    title: str
    kind: str
    options: Any
    timeout: float
    slow_after: float | None
    wire: Any
    permits: Callable[[str], bool]
    turn: str | None = None
    """Runs of this word take turns: anybody may ask for a service, and its probe may be a command."""


class OnDemand:
    """Runs probes that requests ask for, a bounded number at once."""

    def __init__(
        self,
        modules: Mapping[str, Choice],
        refused: Mapping[str, Sequence[str]],
        services: Callable[[str, str | None], Sequence[Service]],
        guard: Guard,
        parts: probing.Parts,
    ) -> None:
        """Take the modules by name, those that cannot be used with the sentences that say why, and what probes use.

        `services` returns the services of a name, of one client where one is given. `parts` are those of configured
        probes: what a free target may reach is judged by the guard.
        """
        self._modules = modules
        self._refused = refused
        self._services = services
        self._guard = guard
        self._parts = parts
        self._running = 0
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def probe(self, request: ProbeRequest) -> Answer | ProbeRefusal:
        """Probe what a request asks for and return its metrics, or its story when `debug` is set; never raises."""
        try:
            plan = self._of_service(request) if request.service is not None else self._of_target(request)
        except _NotBegunError as error:
            return error.refusal
        if self._running >= AT_ONCE:
            return ProbeRefusal(503, f"{AT_ONCE} probes run already: try again.")
        self._running += 1
        try:
            if plan.turn is None:
                return await self._run(plan, request)
            turn = self._turns.setdefault(plan.turn, asyncio.Lock())
            if not await _taken(turn, _patience(plan, request)):
                return ProbeRefusal(503, f"The {plan.title} is being probed for others: try again.")
            try:
                return await self._run(plan, request)
            finally:
                turn.release()
        finally:
            self._running -= 1

    async def _run(self, plan: _Plan, request: ProbeRequest) -> Answer:
        timeout = _patience(plan, request)
        story = Story(self._parts.clock, self._parts.clock.monotonic())
        parts = dataclasses.replace(self._parts, wire=plan.wire, permits=plan.permits)
        if request.debug:
            parts = dataclasses.replace(parts, tell=story.tell)
        reading = await probing.run(plan.kind, plan.options, parts, timeout, plan.slow_after)
        samples = (_head(reading, timeout), probing.samples(plan.kind, reading))
        if request.debug:
            title = f"Probe of the {plan.title}, kind {plan.kind}, at most {timeout:g} s"
            return told(title, story, reading, samples)
        content = negotiate(request.accept)
        body = Exposition(()).render(samples, content.form)
        gzip = accepts_gzip(request.accept_encoding)
        return Answer(compressed(body) if gzip else body, str(content), "gzip" if gzip else None)

    def _of_service(self, request: ProbeRequest) -> _Plan:
        """Return the probe of a service: it is configured, so no list of targets speaks for it."""
        name = request.service or ""
        if request.target is not None or request.module is not None or request.hostname is not None:
            raise _NotBegunError(400, "Give `service`, or `target` and `module`, not both.")
        found = self._services(name, request.client)
        if not found:
            of_client = "" if request.client is None else f" of the client {shown(request.client)}"
            raise _NotBegunError(400, f"There is no service {shown(name)}{of_client} here: name a configured one.")
        if len(found) > 1:
            clients = ", ".join(shown(str(one.client)) for one in found)
            raise _NotBegunError(
                400, f"Several clients have a service {shown(name)}: add client= with one of {clients}."
            )
        one = found[0]
        if one.problem is not None:
            raise _NotBegunError(400, f"The service {shown(name)} cannot be probed: {one.problem}.")
        return _Plan(
            title=f"service {shown(name)}",
            kind=one.kind,
            options=one.options,
            timeout=one.timeout,
            slow_after=one.slow_after,
            wire=self._parts.wire,
            permits=self._guard.configured,
            turn=f"{one.client}/{name}",
        )

    def _of_target(self, request: ProbeRequest) -> _Plan:
        """Return the probe of a free target by a module."""
        name, choice = self._module(request.module)
        if not request.target:
            raise _NotBegunError(400, "The parameter `target` is missing: name what to probe, or a `service`.")
        host = self._host(request.target)
        try:
            options = probing.kind(choice.kind).aimed(choice.options, request.target)
            if request.hostname:
                options = named(choice.kind, options, request.hostname)
            proxy = proxy_host(options)
        except ValueError as error:
            raise _NotBegunError(400, f"The module {shown(name)} cannot probe this target: {error}.") from error
        if proxy is not None:
            if not (self._guard.names(host) or self._guard.free(host)):
                raise _NotBegunError(
                    403, f"{host} is not allowed by name: a proxy looks it up, so no network speaks for it."
                )
            options = without_redirects(options)
        return _Plan(
            title=f"target {shown(request.target)} with the module {shown(name)}",
            kind=choice.kind,
            options=options,
            timeout=choice.beside.timeout,
            slow_after=None,
            wire=GuardedWire(self._parts.wire, self._guard, proxy),
            permits=lambda address: self._guard.lets(host, address),
        )

    def _module(self, word: str | None) -> tuple[str, Choice]:
        name = word or DEFAULT_MODULE
        if name in self._modules:
            return name, self._modules[name]
        if name in self._refused:
            raise _NotBegunError(400, f"The module {shown(name)} cannot be used: {'; '.join(self._refused[name])}.")
        known = f"known are {', '.join(sorted(self._modules)[:_KNOWN])}" if self._modules else "there are none"
        raise _NotBegunError(400, f"There is no module {shown(name)}{nearest(name, self._modules)}: {known}.")

    def _host(self, target: str) -> str:
        try:
            host = host_of(target)
        except MalformedTargetError as error:
            raise _NotBegunError(400, f"The target cannot be probed: {error}.") from error
        except RefusedTargetError as error:
            raise _NotBegunError(403, f"The target is not allowed: {error}.") from error
        if (reason := self._guard.refusal(host)) is not None:
            raise _NotBegunError(403, f"The target is not allowed: {reason}.")
        return host


def _patience(plan: _Plan, request: ProbeRequest) -> float:
    return plan.timeout if request.timeout is None else min(plan.timeout, request.timeout)


async def _taken(turn: asyncio.Lock, seconds: float) -> bool:
    """Wait for a turn, which must not hold one of the places for as long as a queue before a hung service is."""
    try:
        async with asyncio.timeout(seconds):
            return await turn.acquire()
    except TimeoutError:
        return False


def _head(reading: Reading, timeout: float) -> Samples:
    return {SUCCESS: {(): float(reading.success)}, DURATION: {(): reading.duration}, TIMEOUT: {(): timeout}}
