"""A unit of systemd: restarted by systemctl, and judged by what systemd says of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from exporter import processes, programs
from exporter.config.options import option
from exporter.errors import ProcessNotStartedError
from exporter.model import Done, GiveUp, Outcome, Plan, Reading, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.model import Item, RestartParts

    Told = tuple[tuple[str | int, ...], str]

ON_HOST: Final = True
VERIFIES: Final = True

UNIT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.\\@-]*\.service")
"""One service by its exact name: no option of systemctl, no pattern, no other kind of unit (`reboot.target` is one)."""
LONGEST_NAME: Final = 255
SHOWN_WITHIN: Final = 5.0
"""Seconds that systemd is asked for how a unit is, after a restart."""
NO_SUCH_UNIT: Final = "not-found"
MASKED: Final = "masked"

_PROPERTIES: Final = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts")
_DENIED: Final = 4
"""What systemctl exits with where this user may not."""

_begun: Final[dict[str, int]] = {}
"""How often systemd had started a unit anew by itself when our last restart of it was done.

It counts from 0 again with a restart of a unit that ran or had failed, but goes on with one of a unit that was just
waiting to be started anew. What we do not know (another process restarted it) is not held against the unit.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A unit of the system's systemd."""

    unit: str = option(
        help="The exact name of the unit, which ends with .service; no pattern.",
        example="nginx.service",
        minimum=1,
        maximum=LONGEST_NAME,
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield why the name is none of a service."""
        del configuration
        if sentence := problem(self.unit):
            yield ("unit",), sentence

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield that there is no systemd here: the file may be checked on another host than it is for."""
        del configuration
        if program() is None:
            yield ("unit",), "there is no systemctl on this host: no restart of it can succeed here"


class NotSeenError(Exception):
    """systemd did not say how a unit is; the message says why."""


def problem(unit: str) -> str | None:
    """Return why a text is no exact name of a service, as a sentence; None where it is one."""
    if not UNIT.fullmatch(unit) or len(unit) > LONGEST_NAME:
        return "is no exact name of a service: write one like nginx.service, without a pattern"
    if unit.endswith("@.service"):
        return "is a template: write which of its instances, like worker@1.service"
    return None


@cache
def _resolved() -> str:
    """Return systemctl as it was found first: what is put into PATH's folders later is not run instead."""
    if (found := programs.found("systemctl")) is None:
        raise FileNotFoundError
    return found


def program() -> str | None:
    """Return the path of systemctl; None while there is none."""
    try:
        return _resolved()
    except FileNotFoundError:
        return None


def _argv(unit: str) -> list[str]:
    return [program() or "systemctl", "--no-ask-password", "restart", "--", unit]


def plan(options: Options) -> Plan:
    """Return the call of systemctl."""
    argv = _argv(options.unit)
    return Plan(shlex.join(argv), {"argv": argv, "unit": options.unit})


async def restart(options: Options, item: Item, parts: RestartParts, timeout: float) -> Outcome:
    """Have systemd restart the unit and wait for that.

    What systemd was asked for it goes on with when we stop waiting, within the unit's own TimeoutStartSec and
    TimeoutStopSec; it joins a second request with the first. Nothing ever resets a unit that failed too often.
    """
    del item
    unit, until = options.unit, parts.clock.monotonic() + timeout
    _begun.pop(unit, None)
    try:
        finished = await _run(_argv(unit), timeout)
    except ProcessNotStartedError as error:
        return Retry(str(error))
    output = finished.output.decode(errors="replace")
    if finished.timed_out:
        return Retry(f"systemd did not end the restart of {unit} within {timeout:g} s, and goes on with it", output)
    try:
        found = await facts(unit, max(min(SHOWN_WITHIN, until - parts.clock.monotonic()), SHOWN_WITHIN / 5))
    except NotSeenError:
        found = {}
    if finished.code == 0:
        _remember(unit, found)
        return Done(f"systemd restarted {unit}", output)
    return _failed(unit, finished, found)


def _remember(unit: str, found: dict[str, str]) -> None:
    if (restarts := found.get("NRestarts", "")).isdecimal():
        _begun[unit] = int(restarts)


def _failed(unit: str, finished: processes.Finished, found: dict[str, str]) -> Outcome:
    """Return what a failed call means: no further one ends otherwise where there is no such unit."""
    output = finished.output.decode(errors="replace")
    if absent := _absent(unit, found):
        return GiveUp(absent, output)
    said = f"systemctl: {programs.ended(finished.code)}{programs.quoted(finished.output)}"
    if finished.code == _DENIED:
        said += f"; let polkit allow this user org.freedesktop.systemd1.manage-units for {unit}"
    elif _is_limited(found):
        said += f"; {_limited(unit)}"
    return Retry(said, output)


def _absent(unit: str, found: dict[str, str]) -> str:
    """Return that there is no such unit, or that it must not be started; nothing where it could be."""
    state = found.get("LoadState")
    if state == NO_SUCH_UNIT:
        return f"systemd knows no unit {unit}: check its name, or install it"
    return f"{unit} is masked, so systemd may not start it: systemctl unmask it, or restart it no more" * (
        state == MASKED
    )


def _is_limited(found: dict[str, str]) -> bool:
    return found.get("Result") == "start-limit-hit"


def _limited(unit: str) -> str:
    return f"{unit} was started too often in too short a time (start-limit-hit), so systemd does not start it for now"


async def verify(options: Options, parts: RestartParts, timeout: float) -> Reading:
    """Ask systemd how the unit is: up where it is active, and has not been started anew since our restart."""
    began = parts.clock.monotonic()
    try:
        found = await facts(options.unit, timeout)
    except NotSeenError as error:
        return Reading("unknown", str(error), parts.clock.monotonic() - began, "system")
    fault = _fault(options.unit, found)
    duration = parts.clock.monotonic() - began
    if fault is not None:
        return Reading("down", fault, duration, "absent" if _absent(options.unit, found) else "value")
    return Reading("up", f"{options.unit} is {_state(found)}", duration)


def _fault(unit: str, found: dict[str, str]) -> str | None:
    """Return why a unit does not run as it should, None where it does."""
    if absent := _absent(unit, found):
        return absent
    if _is_limited(found):
        return _limited(unit)
    if found.get("ActiveState") != "active":
        return f"{unit} is {_state(found)}, its result {found.get('Result', 'unknown')}"
    restarts = found.get("NRestarts", "")
    anew = int(restarts) - _begun.get(unit, int(restarts)) if restarts.isdecimal() else 0
    if anew > 0:
        return f"{unit} is {_state(found)}, but systemd had to start it anew since ({anew} times): it does not stay"
    return None


def _state(found: dict[str, str]) -> str:
    return f"{found.get('ActiveState', 'unknown')} ({found.get('SubState', 'unknown')})"


async def facts(unit: str, timeout: float) -> dict[str, str]:
    """Return what systemd says of a unit, also of one that there is not; NotSeenError where it says nothing."""
    if program() is None:
        raise NotSeenError("there is no systemctl on this host")
    argv = [program() or "", "show", f"--property={','.join(_PROPERTIES)}", "--", unit]
    try:
        finished = await _run(argv, timeout)
    except ProcessNotStartedError as error:
        raise NotSeenError(str(error)) from error
    if finished.timed_out:
        raise NotSeenError(f"systemd did not say within {timeout:g} s how {unit} is")
    if finished.code != 0:
        said = programs.ended(finished.code) + programs.quoted(finished.output)
        raise NotSeenError(f"systemd does not say how {unit} is: {said}")
    lines = finished.output.decode(errors="replace").splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines) if name in _PROPERTIES}


async def _run(argv: Sequence[str], timeout: float) -> processes.Finished:
    environment = processes.clean_environment() | {"LC_ALL": "C"}
    return await processes.run(argv, timeout=timeout, environment=environment, dies_with_us=True)
