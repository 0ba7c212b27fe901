"""The tables of incidents, of the backlog and of what was decided: a part of the one schema.

A text of JSON is bounded below 64 KiB before it is stored: that is what MySQL's TEXT takes.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from exporter.store.columns import MYSQL, NAME_LENGTH, NUMBER, NUMBERED, REASON_LENGTH, metadata, number

incidents = Table(
    "incidents",
    metadata,
    number(),
    # The fingerprint while this is its newest incident, else NULL: NULLs are unequal to each other on every engine.
    Column("head", String(64)),
    Column("fingerprint", String(64), nullable=False),
    Column("alertname", String(NAME_LENGTH), nullable=False),
    Column("state", String(16), nullable=False),
    Column("labels", Text, nullable=False),
    Column("annotations", Text, nullable=False),
    Column("receiver", String(NAME_LENGTH), nullable=False),
    Column("generator_url", Text, nullable=False),
    Column("starts_at", Double, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("opened_at", Double),
    Column("seen_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("closed_at", Double),
    Column("deliveries", NUMBER, nullable=False, default=1),
    Column("rulebook", String(16), nullable=False, default=""),
    UniqueConstraint("head"),
    Index(None, "state", "seen_at"),
    Index(None, "closed_at"),
    **NUMBERED,
)
"""Episodes of alerts. `state` is open, late, resolved or silent; `opened_at` is NULL for one that never opened: a
late one, or a resolved that came first. `starts_at` and `ended_at` are the sender's times, the others are ours."""

backlog_items = Table(
    "backlog_items",
    metadata,
    number(),
    Column("queue", String(64), nullable=False),
    Column("key", String(NAME_LENGTH), nullable=False),
    # The key while an item that a person added waits, else NULL: adding it again finds this one.
    Column("active_key", String(NAME_LENGTH)),
    Column("incident_id", NUMBER, ForeignKey("incidents.id", ondelete="SET NULL")),
    Column("rule", String(64)),
    Column("step", Integer),
    Column("state", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("reason", String(REASON_LENGTH), nullable=False),
    Column("service", String(NAME_LENGTH)),
    Column("context", Text, nullable=False),
    Column("mode", String(8), nullable=False),
    Column("approved_by", String(NAME_LENGTH)),
    Column("hold", String(16)),
    Column("explanation", String(REASON_LENGTH)),
    Column("attempts", Integer, nullable=False, default=0),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("lease_owner", String(64)),
    Column("lease_until", Double),
    Column("fence", NUMBER, nullable=False, default=0),
    UniqueConstraint("queue", "active_key"),
    # One incident leads to one item for each step of a rule, whoever is told of it and how often.
    UniqueConstraint("incident_id", "rule", "step"),
    Index(None, "queue", "state", "due_at"),
    Index(None, "queue", "key"),
    Index(None, "finished_at"),
    **NUMBERED,
)
"""Durable work. `hold` is the word for why it is held, `explanation` the sentence for why it is in its state.
`lease_until` is by the database's clock; `fence` grows with each claim: whoever comes late with an older one changes
nothing."""

action_runs = Table(
    "action_runs",
    metadata,
    number(),
    Column("item_id", NUMBER, ForeignKey("backlog_items.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", NUMBER, nullable=False),
    Column("replica", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("plan", Text, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("outcome", String(16)),
    Column("detail", String(REASON_LENGTH), nullable=False, default=""),
    Column("output", Text),
    Index(None, "item_id"),
    **NUMBERED,
)
"""Each run of an action for an item: what exactly was run, and how it ended; `outcome` is NULL while it runs."""

audit = Table(
    "audit",
    metadata,
    number(),
    Column("at", Double, nullable=False),
    Column("actor", String(NAME_LENGTH), nullable=False),
    Column("verb", String(32), nullable=False),
    Column("noun", String(32), nullable=False),
    Column("noun_id", NUMBER),
    Column("reason", String(REASON_LENGTH), nullable=False),
    Column("details", Text),
    Index(None, "at"),
    Index(None, "noun", "noun_id"),
    **NUMBERED,
)
"""What was decided and by whom; rows are only added, and purged when they are old."""

counters = Table(
    "counters",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("family", String(100), primary_key=True),
    Column("labels", String(NAME_LENGTH), primary_key=True),
    Column("value", Double, nullable=False),
    **MYSQL,
)
"""Totals of the metrics, counted in the transactions that they count. `scope` is the replica that exports them."""

windows = Table(
    "windows",
    metadata,
    number(),
    Column("services", Text, nullable=False),
    Column("group_names", Text, nullable=False),
    Column("everything", Boolean, nullable=False),
    Column("cron", String(NAME_LENGTH)),
    Column("duration", Double),
    Column("start_at", Double),
    Column("end_at", Double),
    Column("timezone", String(64), nullable=False),
    Column("comment", String(REASON_LENGTH), nullable=False),
    Column("created_by", String(NAME_LENGTH), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    **NUMBERED,
)
"""Planned maintenance that was added at the command line; that of the configuration is not here."""
