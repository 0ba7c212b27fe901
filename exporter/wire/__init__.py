"""Connections of probes: one thread with its own poll, so that hung targets never touch the scrape or the webhook.

`Wire.call` makes one connection and holds one conversation on it. Nothing here knows HTTP: that is a conversation.
"""

from exporter.wire.call import DONE, WAIT, Call, Conversation, Outcome, Send, StartTls, Step, TlsFacts, WireError
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
