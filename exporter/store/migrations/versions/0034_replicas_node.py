"""The column `node` of `replicas`: the host that each runs on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporter.store.migrations.resuming import made

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    # Where the table cannot have been made by a run that was cut short, neither can the column.
    if made("replicas") and any(one["name"] == "node" for one in sa.inspect(op.get_bind()).get_columns("replicas")):
        return
    op.add_column("replicas", sa.Column("node", sa.String(255), nullable=True))
