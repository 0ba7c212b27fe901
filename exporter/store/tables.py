"""The one schema of the store. The migrations make exactly this: a test compares them on every engine.

Times are seconds since 1970, UTC, as floating point numbers: the same value on every engine, without time zones.
Keys compare byte for byte on every engine: two sources whose names differ only in case are two rows.
The tables of incidents and of the backlog are in `exporter.store.bridge_tables`, those of restarts in `restart_tables`.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from exporter.store import bridge_tables, restart_tables
from exporter.store.columns import MYSQL, NAME_LENGTH, NUMBER, NUMBERED, REASON_LENGTH, metadata, number

__all__ = [
    "MYSQL",
    "NAME_LENGTH",
    "REASON_LENGTH",
    "bridge_tables",
    "client_services",
    "clients",
    "collector_runs",
    "metadata",
    "replicas",
    "restart_tables",
    "service_states",
    "service_status",
    "service_totals",
]

collector_runs = Table(
    "collector_runs",
    metadata,
    Column("collector", String(64), primary_key=True),
    Column("source", String(128), primary_key=True),
    Column("last_success", Double, nullable=False),
    **MYSQL,
)
"""When each source of each collector was last read without an error."""


def _service(*, primary_key: bool = False) -> Column[int]:
    owner = ForeignKey("client_services.id", ondelete="CASCADE")
    return Column("service_id", NUMBER, owner, primary_key=primary_key, autoincrement=False, nullable=False)


clients = Table(
    "clients",
    metadata,
    number(),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("revision", NUMBER, nullable=False, default=1),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    UniqueConstraint("name"),
    **NUMBERED,
)
"""Whose services are watched. `revision` counts the changes of a row: a clock may stand or go back, it does not."""

client_services = Table(
    "client_services",
    metadata,
    number(),
    Column("client_id", NUMBER, ForeignKey("clients.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("endpoint_url", Text, nullable=False),
    Column("basic_auth_username", Text),
    Column("basic_auth_password", Text),
    Column("cron_schedule", String(255), default="*/5 * * * *"),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("expected_status_code", Integer, default=200),
    Column("timeout_ms", Integer, nullable=False, default=5000),
    Column("origin", String(8), nullable=False),
    Column("revision", NUMBER, nullable=False, default=1),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    # Its index begins with client_id, so it also serves the foreign key.
    UniqueConstraint("client_id", "name"),
    **NUMBERED,
)
"""What is watched: `origin` is `file` or `api`. User and password are tokens of `exporter.store.credentials`."""

service_status = Table(
    "service_status",
    metadata,
    number(),
    _service(),
    Column("status", String(16), nullable=False),
    Column("status_code", Integer),
    Column("response_time_ms", Double),
    Column("error_message", String(REASON_LENGTH)),
    Column("cause", String(16), nullable=False, default=""),
    Column("checked_at", Double, nullable=False),
    Index(None, "service_id", "checked_at"),
    Index(None, "checked_at"),
    **NUMBERED,
)
"""Readings: what each run of a probe found, until they are purged."""

service_states = Table(
    "service_states",
    metadata,
    number(),
    _service(),
    Column("state", String(16), nullable=False),
    Column("reason", String(REASON_LENGTH), nullable=False),
    Column("began_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("replica", String(64), nullable=False),
    Index(None, "service_id", "began_at"),
    # The open ones (no end yet) lie together in it, whatever the engine, and those to purge lie in order.
    Index(None, "ended_at", "service_id"),
    **NUMBERED,
)
"""Stretches of time that a service spent in one state; `replica` observes it while it has no end."""

service_totals = Table(
    "service_totals",
    metadata,
    _service(primary_key=True),
    Column("runs_success", NUMBER, nullable=False, default=0),
    Column("runs_failure", NUMBER, nullable=False, default=0),
    Column("up_seconds", Double, nullable=False, default=0.0),
    Column("degraded_seconds", Double, nullable=False, default=0.0),
    Column("down_seconds", Double, nullable=False, default=0.0),
    Column("maintenance_seconds", Double, nullable=False, default=0.0),
    Column("unknown_seconds", Double, nullable=False, default=0.0),
    **MYSQL,
)
"""Counters of each service: runs, and the seconds of its closed stretches. They only ever grow."""

replicas = Table(
    "replicas",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("node", String(255)),
    **MYSQL,
)
"""The processes that share the store, when each was last seen to live, when it ended well, and the host it runs on."""
