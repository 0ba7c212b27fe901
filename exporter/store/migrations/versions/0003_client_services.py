"""The table `client_services`: what is watched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    if made("client_services"):
        return
    op.create_table(
        "client_services",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("client_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("endpoint_url", sa.Text(), nullable=False),
        sa.Column("basic_auth_username", sa.Text(), nullable=True),
        sa.Column("basic_auth_password", sa.Text(), nullable=True),
        sa.Column("cron_schedule", sa.String(255), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("expected_status_code", sa.Integer(), nullable=True),
        sa.Column("timeout_ms", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(8), nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_client_services"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_client_services_client_id", ondelete="CASCADE"),
        sa.UniqueConstraint("client_id", "name", name="uq_client_services_client_id_name"),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
