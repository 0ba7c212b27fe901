"""The strategies that restart a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from exporter.model.acting import Item, Outcome, Plan
    from exporter.model.probing import Reading
    from exporter.model.scraping import Clock


class RestartParts(Protocol):
    """What a strategy may use."""

    @property
    def clock(self) -> Clock:
        """The clock of this process."""
        ...

    def permits(self, address: str) -> bool:
        """Return whether a numeric address may be connected to."""
        ...


class Restart(Protocol):
    """What a module in `exporter/restarts/`, or a third party's entry point of `watchbridge.restarts`, offers.

    The word of the configuration is the module's name. A strategy never reads the queue, sleeps to see whether it
    worked, retries or logs: it returns how it ended, and says what it sees when it is asked.

    `ON_HOST` says that it acts on the host that it runs on, so that only the replica of the service's `node` may run
    it. `VERIFIES` says that the strategy can see by itself whether what it restarts runs: `verify` is asked after each
    restart, before the probe that verifies. One that does not act on a host may have `FENCES`, true where what it talks
    to refuses who comes late.
    """

    Options: type
    ON_HOST: bool
    VERIFIES: bool

    def plan(self, options: Any) -> Plan:
        """Return exactly what `restart` would do: no secret, nothing read but the options."""
        ...

    async def restart(self, options: Any, item: Item, parts: RestartParts, timeout: float) -> Outcome:
        """Restart once, within `timeout` seconds, for an item, which is what led to it.

        Never raises, but for a cancellation: then nothing of it runs on.

        `Done` says that the restart was carried out, not yet that it helped; `GiveUp` that no further attempt would
        end otherwise (there is no such unit); anything else that went wrong is `Retry`.
        """
        ...

    async def verify(self, options: Any, parts: RestartParts, timeout: float) -> Reading:
        """Look once whether it runs, within `timeout` seconds, without changing anything; never raises.

        `up` with the reason in words; `down` where it does not run or has died since; `unknown` where that cannot be
        seen. Asked only where `VERIFIES` is true.
        """
        ...
