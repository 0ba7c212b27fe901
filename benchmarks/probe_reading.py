"""Our engine and the kind http alone, in a process of their own: asked by lines on standard input.

    python benchmarks/probe_reading.py TARGETS_FILE AT_ONCE [AUTHORITY]

Each line is a number of probes; the answer is how many were up and the CPU seconds that they took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from exporter import probing
from exporter.clock import SystemClock
from exporter.probes.http.options import Options
from exporter.wire import Wire
from exporter.wire.tls import TlsOptions


async def serve(urls: list[str], at_once: int, authority: str | None) -> None:
    """Probe as often as each line says."""
    tls = TlsOptions(ca_file=Path(authority)) if authority else None
    options = [Options(url=url, tls=tls) for url in urls]
    wire = Wire()
    parts = probing.Parts(wire=wire, databases={}, clock=SystemClock(), permits=lambda _: True)
    for line in sys.stdin:
        numbers, good = iter(range(int(line))), 0

        async def probe() -> int:
            found = 0
            for number in numbers:  # noqa: B023 - all of one line share it
                reading = await probing.run("http", options[number % len(options)], parts, 5.0)
                found += reading.state == "up"
            return found

        before = time.process_time()
        good = sum(await asyncio.gather(*(probe() for _ in range(at_once))))
        print(json.dumps([good, time.process_time() - before]), flush=True)
    await wire.close()


if __name__ == "__main__":
    asyncio.run(
        serve(
            json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")),
            int(sys.argv[2]),
            sys.argv[3] if len(sys.argv) > 3 else None,
        )
    )
