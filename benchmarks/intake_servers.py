"""The servers that `webhook_intake.py` compares ours with, as programs.

    python benchmarks/intake_servers.py nothing PORT
    python benchmarks/intake_servers.py one-by-one --config FILE

`nothing` reads the body of a request and answers 200. `one-by-one` is `watchbridge serve`, but each delivery has a
transaction of its own, through the same code, with as many at once as the store has connections.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.alerts import Delivery
    from exporter.bridge.intake import Receipt

HOST = "127.0.0.1"
AT_ONCE = 10
"""Connections of a store: what waits for one is not to run into its timeout."""


def nothing(port: int) -> None:
    """Serve what does nothing."""
    from aiohttp import web  # noqa: PLC0415 - each program imports what it needs

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b'{"status": "success"}\n', content_type="application/json")

    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/api/v1/alerts", take)
    web.run_app(app, host=HOST, port=port, access_log=None, print=None)


def one_by_one(arguments: list[str]) -> None:
    """Serve as Watchbridge, with a commit for each delivery."""
    import asyncio  # noqa: PLC0415 - each program imports what it needs

    from exporter.bridge import bridge, intake  # noqa: PLC0415 - as above
    from exporter.cli import run  # noqa: PLC0415 - as above

    class OneByOne(intake.Intake):
        """Writes each delivery by itself; the answers are counted by nobody."""

        # Transactions that raise the same total wait for each other's commit: those at once have totals of their own.
        _free: asyncio.LifoQueue[intake.Intake] | None = None

        async def take(self, delivery: Delivery) -> Receipt:
            if self._free is None:
                self._free = asyncio.LifoQueue()
                for number in range(AT_ONCE):
                    scope = f"{self._scope}{number}"
                    self._free.put_nowait(intake.Intake(self._store, self._clock, scope, self.terms, self._stored))
            one = await self._free.get()
            try:
                return (await one._written([delivery], Counter()))[0]  # noqa: SLF001 - the same code, without the group
            finally:
                self._free.put_nowait(one)

        def answered(self, code: int) -> None:
            del code

    bridge.Intake = OneByOne  # type: ignore[misc]  # what is compared
    sys.argv = ["watchbridge", "serve", *arguments]
    run()


if __name__ == "__main__":
    if sys.argv[1] == "nothing":
        nothing(int(sys.argv[2]))
    else:
        one_by_one(sys.argv[2:])
