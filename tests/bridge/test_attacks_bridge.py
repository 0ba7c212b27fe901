"""What an attacker or a bad clock would make of the bridge: deeds in disguise, ends not believed, slow looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bridge.scenes import firing, resolved
from servers.watched import NOON
from sqlalchemy import event, text

from exporter import config, episodes
from exporter.bridge import notices
from exporter.store import incidents

if TYPE_CHECKING:
    from exporter.store.store import Store

HOUR = 3600.0
FILL = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO incidents (head, fingerprint, alertname, state, labels, annotations, receiver, generator_url, starts_at,
        first_at, seen_at, deliveries, rulebook)
    SELECT printf('%08d', i), printf('%08d', i), 'A', CASE i % 2 WHEN 0 THEN 'open' ELSE 'resolved' END, '{}', '{}', '',
        '', 1e9, 1e9, 1e9, 1, '' FROM n"""


@pytest.mark.parametrize(
    ("action", "mode"),
    [
        ("{kind: http, url: 'http://127.0.0.1:9/'}", "auto"),
        ("{kind: alertmanager, post: alert, labels: {alertname: A}}", "auto"),
        ("{kind: alertmanager, post: silence, matchers: {alertname: '{alertname}'}}", "observe"),
        ("{kind: command, argv: [/bin/true]}", "observe"),
    ],
)
def test_only_telling_is_no_deed(action: str, mode: str) -> None:
    """In the mode observe nobody is silenced and no program is started, by whichever section it is asked for."""
    said = f"alertmanager: {{url: 'http://127.0.0.1:9'}}\nnotify: [{{on: incident, action: {action}}}]\n"
    (one,) = notices.notices(config.parse(said, name="f", environ={}))
    assert one.mode == mode


def test_a_start_from_the_future_ends_all_the_same() -> None:
    """The end of an episode is believed where it names the start that we know, however wrong that clock is."""
    step = episodes.told(None, firing(starts_at=NOON + 20 * HOUR), NOON, 300)
    ended = episodes.told(step.episode, resolved(starts_at=NOON + 20 * HOUR, ends_at=NOON + 60), NOON + 60, 300)
    assert (ended.outcome, ended.episode.state) == ("accepted", "resolved")
    earlier = episodes.told(step.episode, resolved(starts_at=NOON - HOUR, ends_at=NOON - 60), NOON + 60, 300)
    assert (earlier.outcome, earlier.episode.state) == ("late", "open")


async def test_the_look_of_each_second_reads_no_table(store: Store) -> None:
    """Also where somebody has let SQLite analyse the file, and then knows that most incidents are open or over."""
    async with store.writing() as connection:
        await connection.execute(text(FILL))
        await connection.execute(text("ANALYZE"))
    said: list[tuple[str, Any]] = []
    heard = event.listens_for(store.engine.sync_engine, "before_cursor_execute")
    heard(lambda _c, _u, statement, values, *_: said.append((statement, values)))
    async with store.reading() as connection:
        assert await incidents.due(connection, 1e9, 300, 90_000, limit=1) == []
        looks = [one for one in said if "FROM incidents" in one[0]]
        plans = [
            str((await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)).all())
            for query, values in looks
        ]
    assert len(plans) == 2
    assert all("USING" in plan and "ix_incidents_state_seen_at" in plan for plan in plans)
