"""An index of `process_alarms`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    if made("process_alarms", "ix_process_alarms_ended_at"):
        return
    op.create_index("ix_process_alarms_ended_at", "process_alarms", ["ended_at"])
