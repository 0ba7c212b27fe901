"""The table `service_leases`: who restarts a service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    if made("service_leases"):
        return
    op.create_table(
        "service_leases",
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("owner", sa.String(64), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("fence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("service", name="pk_service_leases"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
