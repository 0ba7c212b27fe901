"""The table `collector_runs`: when each source was last read without an error."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    connection = op.get_bind()
    # Only these two can have made the table without having noted the revision.
    if connection.dialect.name in {"mysql", "mariadb"} and sa.inspect(connection).has_table("collector_runs"):
        return
    op.create_table(
        "collector_runs",
        sa.Column("collector", sa.String(64), nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("last_success", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("collector", "source", name="pk_collector_runs"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
