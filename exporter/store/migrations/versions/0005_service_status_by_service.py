"""An index for the readings of one service."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    if made("service_status", "ix_service_status_service_id_checked_at"):
        return
    op.create_index("ix_service_status_service_id_checked_at", "service_status", ["service_id", "checked_at"])
