"""An index of `service_restarts`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    if made("service_restarts", "ix_service_restarts_item_id"):
        return
    op.create_index("ix_service_restarts_item_id", "service_restarts", ["item_id"])
