"""The table `service_states`: the stretches of time a service spent in one state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    if made("service_states"):
        return
    op.create_table(
        "service_states",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("service_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("replica", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_service_states"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["client_services.id"], name="fk_service_states_service_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
