"""An index for the stretches of one service."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    if made("service_states", "ix_service_states_service_id_began_at"):
        return
    op.create_index("ix_service_states_service_id_began_at", "service_states", ["service_id", "began_at"])
