"""The table `counters`: totals of metrics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    if made("counters"):
        return
    op.create_table(
        "counters",
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("family", sa.String(100), nullable=False),
        sa.Column("labels", sa.String(255), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "family", "labels", name="pk_counters"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
