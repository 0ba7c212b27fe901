"""Measure what PostgreSQL itself spends on one read of a million packages, plain and with the documented choices.

    python benchmarks/large_table.py [--rounds 5] [--json FILE]

The plain query is `SELECT status, count(*) … GROUP BY status`, which gives no times and no stuck packages. CPU is what
the kernel counts for the server process of our connection (/proc/PID/schedstat). One package in a hundred is open.
Needs Linux and PostgreSQL (tests/install-servers).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from servers import postgresql
from servers.programs import short_folder

from exporter.collectors.packages import Options, _Reader
from exporter.config.options import Duration
from exporter.databases import open_database, options_from_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).resolve().parents[1]
ROWS = 1_000_000
READS = 5
TABLE = """
CREATE TABLE packages AS SELECT
  CASE WHEN n % 100 = 0 THEN (ARRAY['Downloaded','Approved','Pending Approval'])[1 + n / 100 % 3]
       WHEN n % 10 = 1 THEN 'Rejected' ELSE 'Published' END AS status,
  now() - n * interval '1 second' AS updated_at, repeat('x', 60) AS name
FROM generate_series(1, 1000000) AS n;
VACUUM ANALYZE packages; GRANT SELECT ON packages TO PUBLIC;
"""


def documented_index() -> str:
    """Return the index that docs/databases.md tells people to make."""
    text = (ROOT / "docs" / "databases.md").read_text(encoding="utf-8")
    return re.findall(r"CREATE INDEX CONCURRENTLY.*?;", text, re.DOTALL)[0].replace("CONCURRENTLY ", "")


def server_cpu(pid: int) -> float:
    """Return the milliseconds of CPU that a server's process has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e6


async def rounds_of(read: Callable[[], Awaitable[object]], pid: int, rounds: int) -> list[float]:
    """Return the server's CPU for one read, in each round."""
    await read()
    found = []
    for _ in range(rounds):
        before = server_cpu(pid)
        for _ in range(READS):
            await read()
        found.append((server_cpu(pid) - before) / READS)
    return found


async def plain(url: str, rounds: int) -> list[float]:
    """Return the figures of the plain query."""
    connection = await asyncpg.connect(url)
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    query = "SELECT status, count(*) FROM packages GROUP BY status"
    figures = await rounds_of(lambda: connection.fetch(query), pid, rounds)
    await connection.close()
    return figures


async def ours(url: str, rounds: int, **changes: object) -> list[float]:
    """Return the figures of our source with some options."""
    database = open_database("registry", replace(options_from_url(url), statement_timeout=Duration(60.0)))
    reader = _Reader(database, replace(Options(database="registry"), **changes))
    watcher = await asyncpg.connect(url)

    async def read() -> None:
        await reader.read(time.time(), time.monotonic())

    await read()
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'watchbridge'"
    pid = await watcher.fetchval(query)
    figures = await rounds_of(read, pid, rounds)
    await watcher.close()
    await database.close()
    return figures


async def measured(server: postgresql.PostgreSQL, rounds: int) -> dict[str, list[float]]:
    """Make the table and measure each way to read it."""
    url = server.create_database()
    name = url.rpartition("/")[2]
    server.execute(f"ALTER DATABASE {name} SET max_parallel_workers_per_gather = 0", name)
    for statement in TABLE.split(";")[:-1]:
        server.execute(statement, name)
    kept = {"terminal_every": Duration(600.0)}
    found = {"plain query": await plain(url, rounds), "ours": await ours(url, rounds)}
    found["ours, terminal_every: 10m"] = await ours(url, rounds, **kept)
    server.execute(documented_index() + "ANALYZE packages", name)
    found["ours, terminal_every: 10m and the index"] = await ours(url, rounds, **kept)
    return found


def main() -> None:
    """Run all and print the table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    with short_folder() as template, short_folder() as folder:
        server = postgresql.PostgreSQL(folder, postgresql.initialise(template))
        try:
            server.start()
            found = asyncio.run(measured(server, given.rounds))
        finally:
            server.stop("immediate")
    print(
        f"server CPU for one read of {ROWS:,} packages, ms: {'min':>24} {'median':>8} {'max':>8}   to the plain query"
    )
    base = statistics.median(found["plain query"])
    for what, values in found.items():
        middle = statistics.median(values)
        print(f"{what:64}{min(values):9.2f} {middle:8.2f} {max(values):8.2f}   {middle / base:.3f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
