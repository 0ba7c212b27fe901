"""Who asks: users with a bcrypt hash, checked off the loop and remembered."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import bcrypt

from exporter.errors import WatchbridgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.config.options import Secret

_AT_ONCE = 2
_WAITING = 32
_PATIENCE = 5.0
"""Seconds that a request waits for its turn at bcrypt."""
_REMEMBERED = 128
_BCRYPT_BYTES = 72
"""bcrypt looks at no more; its library refuses longer ones, Go's (the model of the file format) cuts them."""


class TooBusyError(WatchbridgeError):
    """Too many passwords are being checked at once: try again in a moment."""


def credentials(header: str | None) -> tuple[str, str] | None:
    """Return user and password of an `Authorization: Basic` header, None when it is none (RFC 7617)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(token.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def is_token(header: str | None, secret: Secret) -> bool:
    """Return whether an `Authorization: Bearer` header (RFC 6750) carries the secret; an empty one lets nobody in.

    Digests are compared: neither the length of the secret nor how much of a guess is right shows in the time taken.
    """
    scheme, _, token = (header or "").partition(" ")
    wanted = secret.reveal()
    if scheme.lower() != "bearer" or not wanted:
        return False
    # The parser of HTTP keeps bytes that are no UTF-8 as surrogates.
    given = hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()
    return hmac.compare_digest(given, hashlib.sha256(wanted.encode()).digest())


class Users:
    """Checks passwords. A flood of wrong ones costs two threads, and those who were let in before do not feel it."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._asking = 0

    async def admit(self, users: Mapping[str, str], user: str, password: str) -> bool:
        """Return whether the password is the user's; TooBusyError when it cannot be checked soon."""
        # An unknown user costs the same bcrypt as a known one: the time taken must not tell who exists.
        hashed = users.get(user)
        ticket = self._ticket(user, password, hashed or "")
        if ticket in self._known:
            self._known.move_to_end(ticket)
            return True
        matches = await self._check(password, hashed or _dummy(users))
        if not matches or hashed is None:
            return False
        self._known[ticket] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True

    async def _check(self, password: str, hashed: str) -> bool:
        if self._asking >= _WAITING:
            raise TooBusyError
        self._asking += 1
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._turns.acquire()
        except TimeoutError:
            raise TooBusyError from None
        finally:
            self._asking -= 1
        work = asyncio.get_running_loop().run_in_executor(None, _matches, password, hashed)
        # The thread runs on when the client leaves: its turn ends when it does, not before.
        work.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(work)

    def _ticket(self, user: str, password: str, hashed: str) -> bytes:
        """Return a key that only the same three texts give (each is prefixed by its length: CVE-2022-46146)."""
        parts = [part.encode() for part in (user, password, hashed)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._secret, message, hashlib.sha256)


def _matches(password: str, hashed: str) -> bool:
    try:
        found = bcrypt.hashpw(password.encode()[:_BCRYPT_BYTES], hashed.encode())
    except ValueError:
        return False
    # bcrypt gives back the prefix of the salt, so $2y$ compares as it is.
    return hmac.compare_digest(found, hashed.encode())


def _dummy(users: Mapping[str, str]) -> str:
    """Return a hash of the dearest cost in use that no password has."""
    cost = max((hashed[4:6] for hashed in users.values()), default="10")
    return f"$2b${cost}${'.' * 53}"
