"""What the tables of the store are made of."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, MetaData

MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""What every table says to MySQL and MariaDB: transactions, all of Unicode, and keys compared byte for byte."""

NAME_LENGTH: Final = 255
"""Characters of the name of a client, a service, or whoever did something; also of the key of a backlog item."""

REASON_LENGTH: Final = 500
"""Characters of a sentence that says why."""

# SQLite counts up by itself only in a column that is INTEGER to the letter; it holds 64 bits there too.
NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")

# Numbers of deleted rows are never given again (AUTOINCREMENT does that on SQLite): what still names one would mean
# another row.
NUMBERED: Any = {"sqlite_autoincrement": True, **MYSQL}

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def number() -> Column[int]:
    """Return the column that numbers the rows of a table."""
    return Column("id", NUMBER, primary_key=True, autoincrement=True)
