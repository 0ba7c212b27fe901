"""Claims read the few rows that they want from an index, however many items there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from exporter.store.backlog_claims import Wish, due_query

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS = 100_000
NUMBERS = {
    "sqlite": f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ITEMS}) SELECT i FROM n)",
    "postgresql": f"generate_series(1, {ITEMS}) AS n(i)",
    "mysql": f"(SELECT seq AS i FROM seq_1_to_{ITEMS}) AS n",
}
FILL = """INSERT INTO backlog_items
    (queue, {key}, state, origin, reason, context, mode, attempts, created_at, due_at, fence)
    SELECT 'q', 'k', CASE i % 4 WHEN 0 THEN 'done' WHEN 1 THEN 'held' ELSE 'pending' END,
        'rule', '', '{{}}', 'auto', 0, i, i, 0
    FROM {numbers}"""
INDEX = "ix_backlog_items_queue_state_due_at"
SORTS = {"sqlite": "TEMP B-TREE", "postgresql": "Sort", "mysql": "filesort"}


async def test_claims_use_the_index(url: str, open_store: Callable[..., Any]) -> None:
    """No row is sorted and no table is walked to find what is due first among a hundred thousand."""
    store = await open_store(url)
    key = "`key`" if store.dialect == "mysql" else '"key"'
    plans = []
    async with store.writing(seconds=60) as connection:
        await connection.execute(text(FILL.format(key=key, numbers=NUMBERS[store.dialect])))
    async with store.writing(seconds=60) as connection:
        await connection.execute(text("ANALYZE TABLE backlog_items" if store.dialect == "mysql" else "ANALYZE"))
        for state in ("pending", "held"):
            query = due_query(Wish("q", 100), state, float(ITEMS)).limit(100)
            said = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
            explain = "EXPLAIN QUERY PLAN" if store.dialect == "sqlite" else "EXPLAIN"
            rows = await connection.exec_driver_sql(f"{explain} {said}")
            plans.append("\n".join(str(tuple(row)) for row in rows))
    for plan in plans:
        assert INDEX in plan
        assert SORTS[store.dialect] not in plan
