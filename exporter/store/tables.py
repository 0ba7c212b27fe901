"""The one schema of the store. The migrations make exactly this: a test compares them on every engine.

Times are seconds since 1970, UTC, as floating point numbers: the same value on every engine, without time zones.
Keys compare byte for byte on every engine: two sources whose names differ only in case are two rows.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Double, MetaData, String, Table

MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""What every table says to MySQL and MariaDB: transactions, all of Unicode, and keys compared byte for byte."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

collector_runs = Table(
    "collector_runs",
    metadata,
    Column("collector", String(64), primary_key=True),
    Column("source", String(128), primary_key=True),
    Column("last_success", Double, nullable=False),
    **MYSQL,
)
"""When each source of each collector was last read without an error."""
