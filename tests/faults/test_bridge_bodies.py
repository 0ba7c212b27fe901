"""Deliveries that are cut, that leave alerts out, that are huge, or that come all at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from e2e.bridge_scenes import Books, configuration, conserved, kept, no_tracebacks, totals
from e2e.service_scenes import base, get, metrics
from faults.rounds import LONG
from servers.alertmanager import alertmanager as one_alertmanager
from servers.alertmanager import webhook
from servers.deliveries import PATH, TOKEN, Answer, alert, payload, post
from servers.programs import short_folder, until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from servers.program import Program

CUT_LENGTH = 2048
WAYS = ("FIN", "RST", "stall")
STEP = 1 if LONG else 16
LINGER = struct.pack("ii", 1, 0)


async def _cut(url: str, sent: bytes, how: str) -> bytes:
    """Send a part of a request, end it or go silent, and return what was answered until the connection was closed."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(sent)
        await writer.drain()
        if how == "FIN":
            writer.write_eof()
        elif how == "RST":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            writer.transport.abort()
            return b""
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_f20_a_delivery_that_is_cut_stores_nothing(watchbridge, tmp_path: Path) -> None:
    """At any byte, by FIN, RST or silence: the connection is closed or told 408, and nothing is in the store."""
    config = configuration(tmp_path)
    books = Books(config["store"])
    program = watchbridge("serve", config=config)
    body = payload([alert(f"cut-{number}") for number in range(5)])
    body += b" " * (CUT_LENGTH - len(body))
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    cuts = [(offset, how) for offset in range(0, len(body), STEP) for how in WAYS]
    found: dict[str, Counter[bytes]] = {how: Counter() for how in WAYS}
    for start in range(0, len(cuts), 400):
        piece = cuts[start : start + 400]
        answers = await asyncio.gather(*(_cut(base(program), head + body[:offset], how) for offset, how in piece))
        for (_, how), answer in zip(piece, answers, strict=True):
            found[how][answer[:12]] += 1
    each = len(cuts) // 3
    assert found == {"FIN": {b"": each}, "RST": {b"": each}, "stall": {b"HTTP/1.1 408": each}}
    assert books.incidents() == books.items() == {}
    assert (await asyncio.to_thread(post, base(program), body)).said["accepted"] == 5
    kept(books, set(books.incidents()), {f"cut-{number}" for number in range(5)})
    assert program.stop() == 0
    no_tracebacks([program])


def test_f19_what_a_real_alertmanager_leaves_out_is_counted_and_closes_nothing(watchbridge, tmp_path: Path) -> None:
    """With `max_alerts` a group comes cut: that is counted and warned of, and what was left out stays as it was."""
    config = configuration(tmp_path)
    books = Books(config["store"])
    program = watchbridge("serve", config=config)
    whole = webhook(base(program) + PATH, token=TOKEN, group_by=["alertname"], repeat_interval="1s")
    with short_folder() as folder, one_alertmanager(folder, whole) as sender:
        _fire(sender, 6)
        until(lambda: len(books.incidents()) == 6, 20, "all six")
        assert totals(metrics(program), "watchbridge_webhook_truncated_alerts_total", "") == {"": 0}
        whole["receivers"][0]["webhook_configs"][0]["max_alerts"] = 2
        sender.configure(whole)
        sender.reload()
        until(lambda: _truncated(program) >= 8, 20, "two deliveries that are cut")
        assert _truncated(program) % 4 == 0
        assert {state for (state,) in books.rows("SELECT state FROM incidents")} == {"open"}
        assert len(books.incidents()) == len(books.items()) == 6
        assert "left alerts out of a delivery" in program.output()
        # It forgets all that it knew, and tells of the group anew.
        sender.kill()
        for path in (folder / "data").iterdir():
            path.unlink()
        sender.start()
        before = _truncated(program)
        _fire(sender, 6)
        until(lambda: _truncated(program) >= before + 4, 20, "it to tell anew")
    assert {state for (state,) in books.rows("SELECT state FROM incidents")} == {"open"}
    assert len(books.incidents()) == len(books.items()) == 6
    conserved(program, books)
    assert program.stop() == 0


def _fire(sender, count: int) -> None:
    sender.post(*({"labels": {"alertname": "Broken", "n": str(number)}} for number in range(count)))


def _truncated(program: Program) -> float:
    return totals(metrics(program), "watchbridge_webhook_truncated_alerts_total", "")[""]


def test_l02_ten_thousand_alerts_in_one_delivery(watchbridge, tmp_path: Path) -> None:
    """They are taken as a whole, each is an incident with its item, and Alertmanager's next resend finds them."""
    config = configuration(tmp_path)
    books = Books(config["store"])
    program = watchbridge("serve", config=config)
    numbers = [f"burst-{number}" for number in range(10_000)]
    body = payload([alert(number, pod="x" * 250) for number in numbers])
    assert 5_500_000 < len(body) < 8 * 1024 * 1024
    answer = post(base(program), body, seconds=60)
    assert (answer.status, answer.said["accepted"]) == (200, 10_000)
    again = post(base(program), body, seconds=60)
    assert (again.status, again.said["duplicates"]) == (200, 10_000)
    kept(books, set(numbers), set(numbers))
    text = conserved(program, books)
    assert totals(text, "watchbridge_alerts_total", "outcome")["accepted"] == 10_000
    assert program.stop() == 0
    no_tracebacks([program])


def test_l02_two_hundred_deliveries_of_a_thousand_alerts_at_once(watchbridge, tmp_path: Path) -> None:
    """Each is taken or told to come again, never kept waiting; /metrics answers meanwhile, and all is kept."""
    config = configuration(tmp_path)
    books = Books(config["store"])
    program = watchbridge("serve", config=config)
    deliveries = [[f"{number}-{place}" for place in range(1000)] for number in range(200)]
    bodies = [payload([alert(one) for one in numbers]) for numbers in deliveries]
    scraped: list[int] = []
    ending = threading.Event()
    scraper = threading.Thread(target=_scrapes, args=(base(program), scraped, ending), daemon=True)
    scraper.start()
    together = threading.Barrier(len(bodies))

    def deliver(body: bytes) -> Answer:
        together.wait(60)
        return post(base(program), body, seconds=60)

    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = list(threads.map(deliver, bodies))
    ending.set()
    scraper.join(30)
    assert {answer.status for answer in answers} <= {200, 503}
    assert [answer for answer in answers if answer.status == 503 and not answer.headers.get("retry-after")] == []
    assert set(scraped) == {200}
    acked = _acked(deliveries, answers)
    assert len(acked) >= 5_000
    kept(books, {one for numbers in deliveries for one in numbers}, acked)
    # An answer is counted with the transaction after it.
    counts = Counter(str(answer.status) for answer in answers)
    until(lambda: _delivered(program) == counts, 20, "the answers to be counted")
    text = conserved(program, books)
    assert sum(totals(text, "watchbridge_alerts_total", "outcome").values()) == len(acked)
    assert program.stop() == 0
    no_tracebacks([program])


def _delivered(program: Program) -> Counter[str]:
    return +totals(metrics(program), "watchbridge_deliveries_total", "code")


def _acked(deliveries: Sequence[list[str]], answers: Sequence[Answer]) -> set[str]:
    taken = (numbers for numbers, answer in zip(deliveries, answers, strict=True) if answer.status == 200)
    return {one for numbers in taken for one in numbers}


def _scrapes(url: str, statuses: list[int], ending: threading.Event) -> None:
    while not ending.wait(0.2):
        status = 0
        with contextlib.suppress(OSError):
            status = get(f"{url}/metrics", 15)[0]
        statuses.append(status)
