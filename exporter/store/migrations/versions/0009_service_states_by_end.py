"""An index for the stretches that have no end yet, and for those to purge."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    if made("service_states", "ix_service_states_ended_at_service_id"):
        return
    op.create_index("ix_service_states_ended_at_service_id", "service_states", ["ended_at", "service_id"])
