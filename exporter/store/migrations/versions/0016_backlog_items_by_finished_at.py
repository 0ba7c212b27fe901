"""An index of `backlog_items`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    if made("backlog_items", "ix_backlog_items_finished_at"):
        return
    op.create_index("ix_backlog_items_finished_at", "backlog_items", ["finished_at"])
