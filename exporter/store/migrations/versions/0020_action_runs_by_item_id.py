"""An index of `action_runs`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    if made("action_runs", "ix_action_runs_item_id"):
        return
    op.create_index("ix_action_runs_item_id", "action_runs", ["item_id"])
