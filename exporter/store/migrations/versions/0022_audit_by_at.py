"""An index of `audit`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    if made("audit", "ix_audit_at"):
        return
    op.create_index("ix_audit_at", "audit", ["at"])
