"""Connections of probes: one thread with its own poll, so that hung targets never touch the scrape or the webhook.

`Wire.call` makes one connection and holds one conversation on it. Nothing here knows HTTP: that is a conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.wire.call import DONE, WAIT, Call, Conversation, Outcome, Send, StartTls, Step, TlsFacts, WireError

if TYPE_CHECKING:
    from exporter.wire.wire import Wire

__all__ = [
    "DONE",
    "WAIT",
    "Call",
    "Conversation",
    "Outcome",
    "Send",
    "StartTls",
    "Step",
    "TlsFacts",
    "Wire",
    "WireError",
]


def __getattr__(name: str) -> Any:
    """Import the engine on its first use: the options of TLS are read by commands that connect to nothing."""
    if name == "Wire":
        from exporter.wire.wire import Wire  # noqa: PLC0415 - the point of this function

        return Wire
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
