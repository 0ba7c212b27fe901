"""An index of `incidents`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    if made("incidents", "ix_incidents_closed_at"):
        return
    op.create_index("ix_incidents_closed_at", "incidents", ["closed_at"])
