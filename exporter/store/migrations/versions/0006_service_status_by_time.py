"""An index for the readings that are old enough to be purged."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    if made("service_status", "ix_service_status_checked_at"):
        return
    op.create_index("ix_service_status_checked_at", "service_status", ["checked_at"])
