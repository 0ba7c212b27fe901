"""The tables of restarts: a part of the one schema. Times are in seconds since 1970, by the database's clock."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, String, Table, UniqueConstraint

from exporter.store.columns import MYSQL, NAME_LENGTH, NUMBER, NUMBERED, REASON_LENGTH, metadata, number

circuits = Table(
    "circuits",
    metadata,
    Column("noun", String(16), primary_key=True),
    Column("name", String(NAME_LENGTH), primary_key=True),
    Column("failures", Integer, nullable=False, default=0),
    Column("opened", NUMBER, nullable=False, default=0),
    Column("opened_at", Double),
    Column("retry_at", Double),
    Column("trial", NUMBER),
    **MYSQL,
)
"""Circuits of services and of groups (`noun`): see `exporter.circuit.Circuit`. One without a row is closed."""

service_leases = Table(
    "service_leases",
    metadata,
    Column("service", String(NAME_LENGTH), primary_key=True),
    Column("item_id", NUMBER),
    Column("owner", String(64)),
    Column("lease_until", Double),
    Column("fence", NUMBER, nullable=False, default=0),
    **MYSQL,
)
"""Who restarts a service just now. The row stays when that has ended, and its fence only ever grows. The row of the
empty name belongs to no service: who decides on restarts locks it, so that of all replicas one does so at a time."""

service_restarts = Table(
    "service_restarts",
    metadata,
    number(),
    Column("service", String(NAME_LENGTH), nullable=False),
    Column("group_name", String(NAME_LENGTH)),
    Column("item_id", NUMBER, nullable=False),
    Column("fence", NUMBER, nullable=False),
    Column("replica", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("began_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("acted", Boolean),
    Column("verified", Boolean),
    Column("detail", String(REASON_LENGTH), nullable=False, default=""),
    Column("last_item", NUMBER),
    Index(None, "began_at"),
    Index(None, "service", "began_at"),
    Index(None, "item_id"),
    **NUMBERED,
)
"""Each attempt to restart a service. `acted` says whether anything was restarted (NULL: not known yet, or nobody saw),
`verified` whether the service was seen well after it; `last_item` is then the newest item of all that there was: what
is newer was not meant by it, whatever clocks say."""

process_alarms = Table(
    "process_alarms",
    metadata,
    number(),
    # The source and the process's number while the alarm stands, else NULL.
    Column("head", String(NAME_LENGTH)),
    Column("source", String(NAME_LENGTH), nullable=False),
    Column("process_id", String(64), nullable=False),
    Column("process", String(NAME_LENGTH), nullable=False),
    Column("service", String(NAME_LENGTH)),
    Column("raised_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("ended_by", String(16)),
    Column("item_id", NUMBER),
    Column("asked_at", Double),
    UniqueConstraint("head"),
    Index(None, "ended_at"),
    **NUMBERED,
)
"""Each time that a process was in alarm. `service` is NULL where none of ours has that name; `ended_by` is `restart`
where we cleared it after a verified one, else `monitor`; `item_id` is the last item that it led to, at `asked_at`."""
