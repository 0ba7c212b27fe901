"""An index of `audit`."""

from __future__ import annotations

from alembic import op

from exporter.store.migrations.resuming import made

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    if made("audit", "ix_audit_noun_noun_id"):
        return
    op.create_index("ix_audit_noun_noun_id", "audit", ["noun", "noun_id"])
