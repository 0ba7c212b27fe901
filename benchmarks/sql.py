"""Measure reads and scrapes of PostgreSQL beside Debian's prometheus-sql-exporter: same server, query and series.

    python benchmarks/sql.py [--rounds 5] [--json FILE]

- read, kept: both read without a pause over one connection; CPU for each transaction that PostgreSQL counts.
- read: our collector once a period against the peer's interval, nobody asking. The peer (0.4.5) gives a connection up
  after twice its interval, whatever the interval is, so every second or third of its reads opens a new one.
- scrape: both as whole HTTP servers, asked once a period as Prometheus asks (kept connection, gzip). The peer reads at
  its interval and never on a scrape: the interval is set so that each period holds one read and one answer.

While one is measured the other is stopped by SIGSTOP. CPU is what the kernel counts for all threads of a process
(/proc/PID/task/*/schedstat, nanoseconds). Needs Linux, and what `tests/install-servers bench` installs.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from servers import postgresql
from servers.programs import HOST, short_folder, until
from sql_contenders import Case, Contender, our_reads, ours, peer

STATUSES = (
    "ARRAY['Checking Licence','Downloaded','Security Scanning','Security Scanned','Pending Approval','Approved',"
    "'Rejected','Published']"
)
GROUPED = "SELECT status::text AS status, count(*)::float AS count FROM {} GROUP BY status"


def _packages(table: str, rows: int) -> str:
    # A hundred bytes a row: pages are as full as a real table's.
    columns = f"({STATUSES})[1 + n % 8] AS status, now() AS updated_at, repeat('x', 60) AS name"
    made = f"CREATE TABLE {table} AS SELECT {columns} FROM generate_series(1, {rows}) AS n"  # noqa: S608 - our own words
    return f"{made}; ANALYZE {table}; GRANT SELECT ON {table} TO PUBLIC;"


CASES = (
    Case("8 statuses of 80 rows", _packages("tiny", 80), GROUPED.format("tiny"), ("count",), 0.02, 200),
    Case("8 statuses of 1,000,000 rows", _packages("large", 1_000_000), GROUPED.format("large"), ("count",), 1.0, 8),
    Case(
        "10,000 rows into 40,000 series",
        "CREATE TABLE wide AS SELECT 'status ' || n AS status, n::float AS count, 0::float AS stuck,"
        " 1.7e9 + n AS oldest, 1.7e9 + n AS newest FROM generate_series(1, 10000) AS n;"
        " ANALYZE wide; GRANT SELECT ON wide TO PUBLIC;",
        "SELECT status, count, stuck, oldest::float AS oldest, newest::float AS newest FROM wide",
        ("count", "stuck", "oldest", "newest"),
        0.75,
        8,
    ),
)


def query_seconds(server: postgresql.PostgreSQL, database: str, query: str) -> float:
    """Return how long PostgreSQL itself takes for a query, the median of five runs."""
    explained = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query};"
    texts = ["\n".join(row[0] for row in server.execute(explained, database)) for _ in range(5)]
    return statistics.median(json.loads(text)[0]["Execution Time"] for text in texts) / 1000


Pair = tuple[Contender, Contender]


def measure(case: Case, server: postgresql.PostgreSQL, rounds: int) -> dict[str, Pair]:
    """Return both exporters after their rounds of reads, and after their rounds of scrapes."""
    url = server.create_database()
    database = urlsplit(url).path[1:]
    server.execute(f"ALTER DATABASE {database} SET max_parallel_workers_per_gather = 0; {case.make}", database)
    interval = max(0.001, case.period - query_seconds(server, database, case.query))
    found = {"read, kept": flat_out(case, url, server, rounds)}
    for what, start in (("read", our_reads), ("scrape", ours)):
        with short_folder() as folder, start(case, url, folder) as we, peer(case, url, folder, interval) as they:
            for contender in (we, they):
                check(contender, case)
            they.port = they.port if we.port else None
            alternate((we, they), case, server.pid, rounds)
            found[what] = (we, they)
    return found


def flat_out(case: Case, url: str, server: postgresql.PostgreSQL, rounds: int) -> Pair:
    """Return both after rounds in which they read without a pause: an interval of 0 keeps the peer's connection."""
    eager = replace(case, period=0.0)
    database = urlsplit(url).path[1:]
    with short_folder() as folder, our_reads(eager, url, folder) as we, peer(eager, url, folder, 0.0) as they:
        for contender in (we, they):
            check(contender, case)
            contender.port = None
            os.kill(contender.pid, signal.SIGSTOP)
        for _ in range(rounds):
            for contender in (we, they):
                contender.flat_out_round(server, database)
    return we, they


def alternate(pair: Pair, case: Case, postmaster: int, rounds: int) -> None:
    """Let each run alone in turn; who goes first changes."""
    for contender in pair:
        os.kill(contender.pid, signal.SIGSTOP)
    for number in range(rounds):
        for contender in pair if number % 2 == 0 else reversed(pair):
            contender.round(case, postmaster)


def check(contender: Contender, case: Case) -> None:
    """Wait until the exporter shows the values: both must do the work that is compared."""
    if contender.port is None:
        return
    with contextlib.closing(http.client.HTTPConnection(HOST, contender.port, timeout=30)) as connection:

        def complete() -> bool:
            connection.request("GET", "/metrics")
            body = connection.getresponse().read().decode()
            lines = [line for line in body.splitlines() if 'status="' in line]
            return len(lines) >= (40_000 if len(case.values) > 1 else 8)

        until(complete, 30, f"{contender.name} showing the values of {case.name}")


def described(values: list[float]) -> str:
    """Return minimum, median and maximum."""
    return f"{min(values):8.3f} {statistics.median(values):8.3f} {max(values):8.3f}"


def report(case: Case, found: dict[str, Pair]) -> list[dict[str, Any]]:
    """Print the figures of a case in milliseconds and return them."""
    rows = []
    print(f"\n{case.name}, rounds of {case.scrapes}: ms for each")
    print(f"{'':44}{'min':>8} {'median':>8} {'max':>8}   peer / ours")
    for what, (we, they) in found.items():
        figures = {"client CPU": (we.client, they.client), "server CPU": (we.server, they.server)}
        if we.port:
            figures["wait"] = (we.wall, they.wall)
        for figure, (mine, other) in figures.items():
            ratio = statistics.median(other) / statistics.median(mine)
            print(f"{what + ', ' + figure:28}{we.name:16}{described(mine)}")
            print(f"{'':28}{they.name:16}{described(other)}   {ratio:.2f}")
            rows.append({"case": case.name, "what": what, "figure": figure, we.name: mine, they.name: other})
    return rows


def main() -> None:
    """Run all cases and print their tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    with short_folder() as template, short_folder() as folder:
        server = postgresql.PostgreSQL(folder, postgresql.initialise(template))
        try:
            server.start()
            found = [row for case in CASES for row in report(case, measure(case, server, given.rounds))]
        finally:
            server.stop("immediate")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
