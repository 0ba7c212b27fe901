"""Measure probes per CPU second: our engine with the kind http, blackbox_exporter, and the limit in C.

    python benchmarks/probe_engine.py [--targets 1000] [--probes 6000] [--rounds 7] [--json FILE]

All ask the same local targets, in plain and in TLS: one connection a probe, a full handshake, the whole body read, 2xx
is good. The order turns from round to round. CPU is user plus system time of the whole process as the kernel counts
it; for blackbox_exporter this includes its own HTTP server, without which it does not probe. The limit is a program in
C that does the system calls of a probe and nothing else (plain only, left out where there is no cc).
Needs Linux, and what `tests/install-servers bench` installs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from probe_contenders import ask_blackbox, blackbox, compiled_limit, cpu_seconds, described, raise_descriptors, targets
from servers.programs import HOST, run, short_folder
from servers.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Contender = Callable[[int], float]

AT_ONCE = 64
BLACKBOX_AT_ONCE = 16
OURS, PEER, LIMIT = "watchbridge", "blackbox_exporter", "limit in C"
Rates = dict[str, list[float]]


@contextlib.contextmanager
def ours(folder: Path, urls: Sequence[str], authority: Path | None) -> Iterator[Contender]:
    """Start our engine in a process of its own."""
    path = folder / "urls.json"
    path.write_text(json.dumps(urls), encoding="utf-8")
    script = Path(__file__).with_name("probe_reading.py")
    argv = [sys.executable, str(script), str(path), str(AT_ONCE), *([str(authority)] if authority else [])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin
        assert child.stdout

        def probe(count: int) -> float:
            assert child.stdin
            assert child.stdout
            print(count, file=child.stdin, flush=True)
            good, spent = json.loads(child.stdout.readline())
            assert good == count, f"{count - good} of {count} probes failed"
            return float(spent)

        try:
            yield probe
        finally:
            child.stdin.close()
            child.wait(30)


def peer(pid: int, port: int, urls: Sequence[str]) -> Contender:
    """Return how blackbox_exporter is asked."""

    def probe(count: int) -> float:
        before = cpu_seconds(pid)
        ask_blackbox(port, [urls[number % len(urls)] for number in range(count)], BLACKBOX_AT_ONCE)
        return cpu_seconds(pid) - before

    return probe


def limit(program: Path, ports: Sequence[int]) -> Contender:
    """Return how the program in C is run."""

    def probe(count: int) -> float:
        good, spent = run([str(program), str(count), str(AT_ONCE), *map(str, ports)]).split()
        assert int(good) == count, f"{count - int(good)} of {count} probes failed"
        return float(spent)

    return probe


def measured(folder: Path, count: int, probes: int, rounds: int, *, tls: bool) -> Rates:
    """Return the probes per CPU second of each, round by round."""
    authority = certificate = None
    if tls:
        issuer = Authority()
        authority = issuer.root.written(folder, "root")[0]
        certificate = issuer.leaf(names=(HOST,)).written(folder, "server")
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(targets(folder, certificate))
        urls = there.urls(count)
        contenders = {OURS: stack.enter_context(ours(folder, urls, authority))}
        contenders[PEER] = peer(*stack.enter_context(blackbox(folder, authority)), urls)
        program = None if tls else compiled_limit(folder)
        if program is not None:
            contenders[LIMIT] = limit(program, there.ports)
        names = list(contenders)
        rates: Rates = {name: [] for name in names}
        for number in range(-1, rounds):  # the first round is not counted
            first = number % len(names)
            for name in names[first:] + names[:first]:
                spent = contenders[name](probes)
                if number >= 0:
                    rates[name].append(probes / spent)
    return rates


def show(title: str, rates: Rates) -> None:
    """Print one table."""
    print(f"\n{title}: probes per CPU second\n{'':20}{'min':>10} {'median':>10} {'max':>10}   to blackbox   to C")
    for name, values in rates.items():
        to_peer = median(values) / median(rates[PEER])
        to_limit = f"{median(values) / median(rates[LIMIT]):7.2f}" if LIMIT in rates else ""
        print(f"{name:20}{described(values)} {to_peer:13.1f}{to_limit}")


def main() -> None:
    """Measure plain and TLS and print their tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--targets", type=int, default=1000)
    arguments.add_argument("--probes", type=int, default=6000)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    raise_descriptors()
    results = {}
    for title, tls in (("plain", False), ("TLS", True)):
        with short_folder() as folder:
            probes = given.probes // 3 if tls else given.probes
            results[title] = measured(folder, given.targets, probes, given.rounds, tls=tls)
        show(title, results[title])
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
