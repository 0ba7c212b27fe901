"""An index of `incidents`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    if made("incidents", "ix_incidents_state_seen_at"):
        return
    op.create_index("ix_incidents_state_seen_at", "incidents", ["state", "seen_at"])
