"""Many calls at once, calls that are given up, and the end of the wire."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING

import pytest
from servers.talks import Talk, call_to, pong, taken_by_nobody
from servers.tls import quiet, serving

from exporter.wire import Wire, engine

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 60.0
CROWD = 2000


@pytest.fixture
def many_files() -> Iterator[None]:
    """Raise the limit of open files where the system lets us."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CROWD + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_crowd_that_hangs_holds_nobody_up(many_files: None) -> None:
    """2,000 calls hang; one to a good server is answered while all of them still wait."""
    wire = Wire()
    with taken_by_nobody() as silent:
        talks = [Talk() for _ in range(CROWD)]
        hanging = [asyncio.create_task(wire.call(call_to(silent), talk, LONG)) for talk in talks]
        for talk in talks:
            await talk.is_open.wait()
        async with serving(pong) as port:
            assert (await wire.call(call_to(port), Talk(), LONG)).error is None
        assert not any(task.done() for task in hanging)
        await wire.close()
        outcomes = await asyncio.gather(*hanging)
    assert {outcome.error and outcome.error.cause for outcome in outcomes} == {"system"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("wire")]


async def test_who_gives_up_closes_the_connection(wire: Wire) -> None:
    """The peer sees the end of it, and nothing of the call is kept."""
    came, closed = asyncio.Event(), asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        came.set()
        assert await reader.read() == b""
        closed.set()

    async with serving(watch) as port:
        talk = Talk()
        kept = weakref.ref(talk)
        call = asyncio.create_task(wire.call(call_to(port), talk, LONG))
        await came.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await closed.wait()
        del talk, call
        # The next call's end says that the thread has done with the one before.
        async with serving(pong) as other:
            assert (await wire.call(call_to(other), Talk(), LONG)).error is None
        gc.collect()
        assert kept() is None


async def test_a_call_that_is_given_up_before_it_began_is_never_made(wire: Wire) -> None:
    """Submitted and cancelled in one breath of the loop."""
    opened = Talk()
    with taken_by_nobody() as port:
        calls = [asyncio.create_task(wire.call(call_to(port), opened, LONG)) for _ in range(20)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in results)
        async with serving(pong) as other:
            assert (await wire.call(call_to(other), Talk(), LONG)).error is None


async def test_closing_ends_what_is_under_way_and_all_that_comes_after(wire: Wire) -> None:
    """Each call is answered with an error; peers see the end; a second close does nothing."""
    closed = asyncio.Semaphore(0)

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.release()

    async with serving(watch) as port:
        talks = [Talk() for _ in range(20)]
        calls = [asyncio.create_task(wire.call(call_to(port), talk, LONG)) for talk in talks]
        for talk in talks:
            await talk.is_open.wait()
        await asyncio.gather(wire.close(), wire.close())
        for outcome in await asyncio.gather(*calls):
            assert outcome.error is not None
            assert outcome.error.reason == "the connections of probes are closed: the program is ending"
            assert list(outcome.phases) == ["connect", "processing"]
        for _ in talks:
            await closed.acquire()
    outcome = await wire.call(call_to(9), Talk(), LONG)
    assert outcome.error is not None
    assert outcome.error.cause == "system"


async def test_closing_answers_calls_that_were_not_begun() -> None:
    """Calls and the close come in one breath."""
    wire = Wire()
    with taken_by_nobody() as port:
        calls = [asyncio.create_task(wire.call(call_to(port), Talk(), LONG)) for _ in range(200)]
        await asyncio.sleep(0)
        await wire.close()
        outcomes = await asyncio.gather(*calls)
    assert {outcome.error and outcome.error.cause for outcome in outcomes} == {"system"}


async def test_a_wire_that_was_never_used_has_no_thread() -> None:
    """Making and closing one costs nothing."""
    before = threading.active_count()
    wire = Wire()
    assert threading.active_count() == before
    await wire.close()
    assert threading.active_count() == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_broke_is_replaced(wire: Wire) -> None:
    """Whatever breaks it, nobody waits for ever: calls under way are answered, the next gets a new thread."""

    def break_it() -> None:
        raise MemoryError

    async with serving(quiet) as silent, serving(pong) as port:
        talk = Talk()
        call = asyncio.create_task(wire.call(call_to(silent), talk, LONG))
        await talk.is_open.wait()
        assert wire._engine is not None
        wire._engine.send(break_it)
        outcome = await call
        assert outcome.error is not None
        assert outcome.error.cause == "system"
        assert (await wire.call(call_to(port), Talk(), LONG)).error is None


@pytest.mark.parametrize("error", [OSError("no descriptor"), RuntimeError("no thread")])
async def test_a_thread_that_cannot_start_is_an_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The sentence says what to do, and the next call tries again."""

    def fail() -> None:
        raise error

    wire = Wire()
    with monkeypatch.context() as patch:
        patch.setattr(engine, "new_poller", fail)
        outcome = await wire.call(call_to(9), Talk(), LONG)
    assert outcome.error is not None
    assert outcome.error.reason == "the thread of probes cannot be started: raise the limits"
    async with serving(pong) as port:
        assert (await wire.call(call_to(port), Talk(), LONG)).error is None
    await wire.close()


async def test_other_loops_may_call_too(wire: Wire) -> None:
    """Each outcome goes to the loop that asked."""
    async with serving(pong) as port:

        async def ask() -> object:
            return (await wire.call(call_to(port), Talk(), LONG)).error

        here, there = await asyncio.gather(ask(), asyncio.to_thread(lambda: asyncio.run(ask())))
    assert (here, there) == (None, None)


async def test_a_loop_that_is_gone_hurts_nobody(wire: Wire) -> None:
    """Its answers are thrown away; the thread goes on."""
    with taken_by_nobody() as silent:

        def leave() -> None:
            loop = asyncio.new_event_loop()
            talk = loop.run_until_complete(_talk())
            task = loop.create_task(wire.call(call_to(silent), talk, 0.05))
            loop.run_until_complete(asyncio.sleep(0))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                loop.run_until_complete(task)
            loop.close()

        await asyncio.to_thread(leave)
        await wire.call(call_to(silent), Talk(), 0.2)
        async with serving(pong) as port:
            assert (await wire.call(call_to(port), Talk(), LONG)).error is None


async def _talk() -> Talk:
    return Talk()
