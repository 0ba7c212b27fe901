"""The table `circuits`: circuits of services and groups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    if made("circuits"):
        return
    op.create_table(
        "circuits",
        sa.Column("noun", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=True),
        sa.Column("retry_at", sa.Double(), nullable=True),
        sa.Column("trial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.PrimaryKeyConstraint("noun", "name", name="pk_circuits"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
