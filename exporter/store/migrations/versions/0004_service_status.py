"""The table `service_status`: what each run of a probe found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    if made("service_status"):
        return
    op.create_table(
        "service_status",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("service_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("response_time_ms", sa.Double(), nullable=True),
        sa.Column("error_message", sa.String(500), nullable=True),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("checked_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_service_status"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["client_services.id"], name="fk_service_status_service_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
