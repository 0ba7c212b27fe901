"""An index of `backlog_items`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    if made("backlog_items", "ix_backlog_items_queue_state_due_at"):
        return
    op.create_index("ix_backlog_items_queue_state_due_at", "backlog_items", ["queue", "state", "due_at"])
