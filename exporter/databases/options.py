"""Options of a named database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exporter.config.options import Duration, Secret, option
from exporter.databases.urls import mistake

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMS: Final = "postgresql://user:password@host/name, mysql://user:password@host/name or sqlite:////path/to/file"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How many connections are kept, and how long a read waits for a free one."""

    size: int = option(5, help="Connections at most; they are opened when needed and kept.", minimum=1, maximum=100)
    timeout: Duration = option(Duration(5.0), help="How long a read waits for a free connection.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """A database that sources read from. Watchbridge writes nothing to it but, where `alarms` names it, their end."""

    url: Secret = option(
        help=f"{FORMS}. An @ of the password is written %40.",
        example="postgresql://watchbridge@db.example/registry",
    )
    pool: PoolOptions = field(default_factory=PoolOptions, metadata={"help": "The connections that are kept."})
    connect_timeout: Duration = option(Duration(5.0), help="How long opening a connection may take.")
    statement_timeout: Duration = option(Duration(5.0), help="How long a statement may take; then it is cut off.")
    row_limit: int = option(
        10_000,
        help="Rows that one statement may give; more is an error, not a truncation.",
        minimum=1,
        maximum=100_000,
    )

    def problems(self, configuration: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:  # noqa: ARG002 - the protocol's
        """Yield what is wrong with the URL; never the URL itself, which may hold a password."""
        reason = mistake(self.url.reveal())
        if reason is not None:
            yield ("url",), f"the URL is not usable: {reason}; write it as {FORMS}"
