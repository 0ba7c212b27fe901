"""What a scrape is answered with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished exposition: bytes and the headers that describe them (`content_encoding` None: not compressed)."""

    body: bytes
    content_type: str
    content_encoding: str | None = None
