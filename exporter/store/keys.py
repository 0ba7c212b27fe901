"""Which texts are keys, and which were only meant to be replaced by one."""

from __future__ import annotations

import base64
import binascii
import itertools
from typing import Final

KEY_BYTES: Final = 32
"""AES-256."""

FEWEST_DISTINCT: Final = 8
"""Different bytes in a key. Of 32 random ones 30 differ on average; fewer than 8 do not happen by chance."""

LONGEST_PERIOD: Final = 16
"""A key that only repeats its beginning, at most this long, is not random."""

_PREFIX = "base64:"
_MAKE = "give 32 random bytes, as `base64:` and what `openssl rand -base64 32` prints"

# Words of keys in examples, the key of S4's documentation (`your-32-character-encryption-key`) among them. Of a
# million keys of 32 random letters and digits not one holds any of them.
_PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "replaceme",
    "replace-me",
    "replace_me",
    "placeholder",
    "example",
    "encryption",
    "32-char",
    "32_char",
    "32char",
    "32-byte",
    "32_byte",
    "secretkey",
    "secret-key",
    "secret_key",
    "password",
)


def usable(text: str) -> bytes:
    """Return the 32 bytes of a key; ValueError ends a sentence about it ("is 31 bytes long …") and shows none of it."""
    key = _bytes(text)
    if len(key) != KEY_BYTES:
        raise ValueError(f"is {len(key)} bytes long where {KEY_BYTES} are needed: {_MAKE}")
    if any(word in key.decode("latin-1").lower() for word in _PLACEHOLDERS):
        raise ValueError(f"is a placeholder from an example: {_MAKE}")
    if len(set(key)) < FEWEST_DISTINCT or _repeats(key) or _counts(key):
        raise ValueError(f"is easily guessed: {_MAKE}")
    return key


def _bytes(text: str) -> bytes:
    if not text.startswith(_PREFIX):
        return text.encode("utf-8", "replace")
    try:
        return base64.b64decode(text.removeprefix(_PREFIX).strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is no base64 after `{_PREFIX}`: {_MAKE}") from None


def _repeats(key: bytes) -> bool:
    return any(key[period:] == key[:-period] for period in range(1, LONGEST_PERIOD + 1))


def _counts(key: bytes) -> bool:
    """Return whether more than half of it goes up or down by one, as abcdef… and 123456… do."""
    steps = [following - one for one, following in itertools.pairwise(key)]
    return max(steps.count(1), steps.count(-1)) > KEY_BYTES // 2
