"""The table `process_alarms`: processes in alarm."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    if made("process_alarms"):
        return
    op.create_table(
        "process_alarms",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("head", sa.String(255), nullable=True),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("process_id", sa.String(64), nullable=False),
        sa.Column("process", sa.String(255), nullable=False),
        sa.Column("service", sa.String(255), nullable=True),
        sa.Column("raised_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("ended_by", sa.String(16), nullable=True),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("asked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_process_alarms"),
        sa.UniqueConstraint("head", name="uq_process_alarms_head"),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
