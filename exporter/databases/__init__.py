"""Named databases that sources read from: pooled, read-only, bounded in time and rows, and never able to hang us."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.databases.database import Database
    from exporter.databases.options import DatabaseOptions


def open_database(name: str, options: DatabaseOptions) -> Database:
    """Return a database of the configuration; nothing is connected before the first read."""
    from exporter.databases.database import Database  # noqa: PLC0415 - a configuration without databases stays light

    return Database(name, options)


def options_from_url(url: str) -> DatabaseOptions:
    """Return the default options for a plain URL, as in DATABASE_URL."""
    from exporter.config.options import Secret  # noqa: PLC0415
    from exporter.databases.options import DatabaseOptions  # noqa: PLC0415

    return DatabaseOptions(url=Secret(url))
