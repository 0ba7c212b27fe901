"""An index of `backlog_items`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    if made("backlog_items", "ix_backlog_items_queue_key"):
        return
    op.create_index("ix_backlog_items_queue_key", "backlog_items", ["queue", "key"])
