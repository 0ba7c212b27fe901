"""The HTTP server: what is answered where, by whom it may be asked, and within which bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.web.listeners import Web

__all__ = ["Web"]


def __getattr__(name: str) -> Any:
    """Import the server on its first use: the options here are read by commands that serve nothing."""
    if name == "Web":
        from exporter.web.listeners import Web  # noqa: PLC0415 - the point of this function

        return Web
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
