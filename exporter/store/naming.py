"""What may be the name of a client or a service."""

from __future__ import annotations

from exporter.store.tables import NAME_LENGTH


def name_problem(name: object) -> str | None:
    """Return what is wrong with a name, as a sentence without its full stop; None when it may be one.

    Every engine must take it, and tell it from others: MySQL compares names without the blanks at their end.
    """
    if not isinstance(name, str):
        return "it must be a text"
    if not name or len(name) > NAME_LENGTH:
        return f"it must have 1 to {NAME_LENGTH} characters"
    if name != name.strip():
        return "it must not begin or end with a blank"
    if not name.isprintable():
        return "it must hold no control characters, line ends or halves of characters"
    return None
