"""An index of `service_restarts`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    if made("service_restarts", "ix_service_restarts_service_began_at"):
        return
    op.create_index("ix_service_restarts_service_began_at", "service_restarts", ["service", "began_at"])
