"""The table `service_totals`: counters of each service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    if made("service_totals"):
        return
    op.create_table(
        "service_totals",
        sa.Column(
            "service_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("runs_success", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("runs_failure", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("up_seconds", sa.Double(), nullable=False),
        sa.Column("degraded_seconds", sa.Double(), nullable=False),
        sa.Column("down_seconds", sa.Double(), nullable=False),
        sa.Column("maintenance_seconds", sa.Double(), nullable=False),
        sa.Column("unknown_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", name="pk_service_totals"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["client_services.id"], name="fk_service_totals_service_id", ondelete="CASCADE"
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
