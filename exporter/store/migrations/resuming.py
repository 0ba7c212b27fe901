"""What lets a revision that was cut short on MySQL or MariaDB run again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def made(table: str, index: str | None = None) -> bool:
    """Return whether an earlier, unfinished run has made the table (or the index on it) already.

    Only MySQL and MariaDB can have made it without having noted the revision; elsewhere it is somebody else's, and
    making it again must fail.
    """
    connection = op.get_bind()
    if connection.dialect.name not in {"mysql", "mariadb"}:
        return False
    found = sa.inspect(connection)
    if index is None:
        return found.has_table(table)
    return any(one["name"] == index for one in found.get_indexes(table))
