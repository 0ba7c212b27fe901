"""Alembic runs this file to migrate over the connection that `exporter.store.schema` hands in."""

from __future__ import annotations

from alembic import context

from exporter.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
