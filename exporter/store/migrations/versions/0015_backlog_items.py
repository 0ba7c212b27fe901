"""The table `backlog_items`: durable work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    if made("backlog_items"):
        return
    op.create_table(
        "backlog_items",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("active_key", sa.String(255), nullable=True),
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("rule", sa.String(64), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("service", sa.String(255), nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(8), nullable=False),
        sa.Column("approved_by", sa.String(255), nullable=True),
        sa.Column("hold", sa.String(16), nullable=True),
        sa.Column("explanation", sa.String(500), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("lease_owner", sa.String(64), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("fence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backlog_items"),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name="fk_backlog_items_incident_id", ondelete="SET NULL"
        ),
        sa.UniqueConstraint("incident_id", "rule", "step", name="uq_backlog_items_incident_id_rule_step"),
        sa.UniqueConstraint("queue", "active_key", name="uq_backlog_items_queue_active_key"),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
