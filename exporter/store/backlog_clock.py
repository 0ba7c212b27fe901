"""The clock by which leases run: the database's, since those of the hosts that share it differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Double, cast, extract, func, literal, text

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from exporter.store.store import Store

# Not UNIX_TIMESTAMP(NOW()), which is an hour off twice a year where the server's zone has a summer time.
_MYSQL: Final = text("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000.0")


def now(store: Store) -> ColumnElement[Any]:
    """Return the expression for seconds since 1970; that of an SQLite file, which has one host, is the store's clock.

    It is exact to a microsecond, and within one statement it stands still or goes on, as the engine likes.
    """
    if store.dialect == "postgresql":
        return cast(extract("epoch", func.clock_timestamp()), Double)
    if store.dialect == "mysql":
        return cast(_MYSQL, Double)
    return literal(store.clock.time(), Double)
