"""Read packages with a query again and again, and nothing else: what `sql.py` measures as reading alone.

BENCHMARK_URL=postgresql://… BENCHMARK_QUERY='SELECT …' python benchmarks/sql_reading.py PERIOD_SECONDS
"""

from __future__ import annotations

import asyncio
import os
import sys
from types import SimpleNamespace
from typing import Any

from exporter.clock import SystemClock
from exporter.collectors import packages
from exporter.config.options import Secret
from exporter.databases import open_database
from exporter.databases.options import DatabaseOptions


async def main() -> None:
    """Read until killed; the first read is announced, as the connection is then open."""
    period = float(sys.argv[1])
    options = DatabaseOptions(url=Secret(os.environ["BENCHMARK_URL"]), row_limit=20_000)
    source = packages.Options(database="main", query=os.environ["BENCHMARK_QUERY"], statuses=())
    parts: Any = SimpleNamespace(
        databases={"main": open_database("main", options)},
        clock=SystemClock(),
        options=lambda _collector: {"bench": source},
    )
    (bench,) = packages.sources(parts)
    await bench.read()
    print("reading", flush=True)
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        # What was missed while stopped is not made up for.
        due = max(due + period, loop.time())
        await asyncio.sleep(due - loop.time())
        await bench.read()


asyncio.run(main())
