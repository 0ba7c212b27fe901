"""What an Alertmanager would send to the demo: one alert that comes and goes, and one user after the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from exporter.example.services import BROKEN, mood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

EVERY: Final = 5.0
"""Seconds between two deliveries."""
USER_EVERY: Final = 20.0
"""Seconds that the alert of one user fires."""
USERS: Final = 1000
"""Users whose synchronisation may fail."""
PATIENCE: Final = 5.0
"""Seconds that a delivery may take."""


class Alerts:
    """Sends what is wrong with the demo's services to the webhook of the demo itself."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        down: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        """`clock` gives seconds that never go back; `down` says which of the things that can be mended are down."""
        self._down = down
        self._since: dict[str, float] = {}
        self._clock = clock
        self._began = clock()
        self._began_at = time.time()
        self._token = secrets.token_hex(16)

    def configuration(self, folder: Path) -> dict[str, Any]:
        """Return the part of a configuration that says what these alerts lead to; the token is put into the folder."""
        token = folder / "webhook-token"
        token.touch(mode=0o600)
        token.write_text(self._token, encoding="ascii")
        synced = "import sys; print('synchronised user', sys.argv[1])"
        return {
            "mode": "auto",
            "alertmanager": {"bearer_token_file": token.as_posix()},
            "rules": [
                {
                    "name": "sync",
                    "matchers": ['alertname="UserSyncFailed"'],
                    "action": "enqueue",
                    "queue": "user-sync",
                    "key": "{user_id}",
                },
                {
                    "name": "payments",
                    "matchers": ['alertname="PaymentsDown"'],
                    "action": "enqueue",
                    "queue": "tickets",
                    "key": "{target}",
                },
            ],
            "queues": {
                "user-sync": {
                    "action": {"kind": "command", "argv": [sys.executable, "-c", synced, "{key}"]},
                    "interrupted": "retry",
                },
                "tickets": {},
            },
        }

    async def keep_sending(self, url: str) -> None:
        """Deliver until cancelled; what cannot be delivered is sent with the next one, as by Alertmanager."""
        import aiohttp  # noqa: PLC0415 - only the demo sends

        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {self._token}"}) as client:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    body = json.dumps(self.delivery(self._clock() - self._began)).encode()
                    async with client.post(f"{url}/api/v1/alerts", data=body) as answer:
                        await answer.read()
                await asyncio.sleep(EVERY)

    def delivery(self, elapsed: float) -> dict[str, Any]:
        """Return what is delivered so many seconds after the start."""
        turn = int(elapsed // USER_EVERY)
        alerts = [self._user(turn, ended=None)]
        if turn > 0:
            alerts.append(self._user(turn - 1, ended=turn * USER_EVERY))
        alerts.append(self._payments(elapsed))
        alerts += self._broken(elapsed)
        return {
            "version": "4",
            "groupKey": '{}:{job="demo"}',
            "status": "firing",
            "receiver": "watchbridge",
            "externalURL": "http://alertmanager.example:9093",
            "alerts": alerts,
        }

    def _user(self, turn: int, *, ended: float | None) -> dict[str, Any]:
        labels = {"alertname": "UserSyncFailed", "user_id": str(4200 + turn % USERS), "severity": "warning"}
        return self._alert(labels, "A user's data is older than what the source has", turn * USER_EVERY, ended)

    def _payments(self, elapsed: float) -> dict[str, Any]:
        broken = mood("payments", elapsed) == BROKEN
        labels = {"alertname": "PaymentsDown", "target": "payments", "severity": "critical"}
        began = max(0.0, elapsed - EVERY)
        return self._alert(labels, "Payments cannot be made", began, None if broken else elapsed)

    def _broken(self, elapsed: float) -> Iterator[dict[str, Any]]:
        """Yield the alerts of what Watchbridge can mend: firing while it is down, then once resolved."""
        for target, is_down in self._down().items():
            labels = {"alertname": "DemoServiceDown", "target": target, "severity": "critical"}
            if is_down:
                began = self._since.setdefault(target, elapsed)
                yield self._alert(labels, f"The {target} of the demo does not run", began, None)
            elif target in self._since:
                yield self._alert(labels, f"The {target} of the demo runs again", self._since.pop(target), elapsed)

    def _alert(self, labels: dict[str, str], summary: str, began: float, ended: float | None) -> dict[str, Any]:
        return {
            "status": "firing" if ended is None else "resolved",
            "labels": labels,
            "annotations": {"summary": summary},
            "startsAt": self._moment(began),
            "endsAt": "0001-01-01T00:00:00Z" if ended is None else self._moment(ended),
            "generatorURL": "http://prometheus.example:9090",
        }

    def _moment(self, elapsed: float) -> str:
        return datetime.fromtimestamp(self._began_at + elapsed, UTC).isoformat().replace("+00:00", "Z")
