"""Many rows at once: cut into pieces, with words that every engine takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from exporter.errors import StoreError
from exporter.store import bulk
from exporter.store.tables import replicas

if TYPE_CHECKING:
    from collections.abc import Callable


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=50), st.integers(min_value=0, max_value=40))
def test_storable(words: str, length: int) -> None:
    """What comes back is short enough, can be encoded, has no NUL, and is else what it was."""
    said = bulk.storable(words, length)
    assert len(said) == min(len(words), length)
    said.encode()
    assert "\0" not in said
    assert all(one in (was, "\ufffd") for one, was in zip(said, words, strict=False))
    assert bulk.storable(said, length) == said


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])],
)
def test_pieces(count: int, sizes: list[int]) -> None:
    """Nothing is lost or put in another order, and no piece is empty or too large."""
    pieces = list(bulk.pieces(range(count), 4))
    assert [len(piece) for piece in pieces] == sizes
    assert [value for piece in pieces for value in piece] == list(range(count))


async def test_upsert(url: str, open_store: Callable[..., Any]) -> None:
    """A stored row is left as it is, or changed from what it was and what was to be inserted; others are inserted."""
    store = await open_store(url)
    rows = [{"id": name, "started_at": at, "heartbeat_at": 1.0} for name, at in (("a", 1.0), ("b", 2.0))]
    other = [{"id": name, "started_at": 10.0, "heartbeat_at": 20.0} for name in ("b", "c")]

    async def found() -> dict[str, float]:
        async with store.reading() as connection:
            return {row.id: row.started_at for row in await connection.execute(replicas.select())}

    async with store.writing() as connection:
        await connection.execute(bulk.upsert(store.dialect, replicas, ("id",)), rows)
        await connection.execute(bulk.upsert(store.dialect, replicas, ("id",)), other)
    assert await found() == {"a": 1.0, "b": 2.0, "c": 10.0}
    add = bulk.upsert(
        store.dialect, replicas, ("id",), lambda old, new: {"started_at": old.started_at + new.started_at}
    )
    async with store.writing() as connection:
        await connection.execute(add, other)
    assert await found() == {"a": 1.0, "b": 12.0, "c": 20.0}


async def test_what_is_written_is_read(url: str, open_store: Callable[..., Any]) -> None:
    """Rows of one statement, in the order of the keys or in another one, are there once the transaction has ended."""
    store = await open_store(url)
    statement = insert(replicas)
    rows = [
        {"id": "one", "started_at": 1.0, "heartbeat_at": 2.0, "ended_at": None},
        {"heartbeat_at": 4.0, "ended_at": 5.0, "started_at": 3.0, "id": "two"},
    ]
    async with store.writing() as connection:
        await bulk.written(connection, statement, rows[:1])
        await bulk.written(connection, statement, rows[1:])
    async with store.reading() as connection:
        found = (await connection.execute(select(replicas).order_by(replicas.c.id))).all()
    assert [tuple(one) for one in found] == [("one", 1.0, 2.0, None, None), ("two", 3.0, 4.0, 5.0, None)]


async def test_what_is_refused_is_written_by_halves_nowhere(url: str, open_store: Callable[..., Any]) -> None:
    """The second of two rows breaks a rule: the first is not there either, and the error is one of the store."""
    store = await open_store(url)
    row = {"id": "one", "started_at": 1.0, "heartbeat_at": 2.0, "ended_at": None}
    with pytest.raises(StoreError) as error:
        async with store.writing() as connection:
            await bulk.written(connection, insert(replicas), [row, row])
    assert isinstance(error.value.__cause__, IntegrityError)
    async with store.reading() as connection:
        assert (await connection.execute(select(replicas))).all() == []
