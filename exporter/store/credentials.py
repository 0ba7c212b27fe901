"""Encryption of what services are asked with: AES-256-GCM, bound to the row and the field it was stored in.

A token is `v1:<key id>:<base64 of nonce and ciphertext>`. Table, row, field and key id are its additional
authenticated data: a token that is copied to another place, or changed by one bit, does not decrypt. The nonce is
96 random bits, as NIST SP 800-38D (8.2.2) allows for up to 2^32 encryptions with one key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from sqlalchemy import select, update

from exporter.config.options import Secret
from exporter.errors import CredentialKeyMissingError, CredentialUnreadableError, CryptographyMissingError
from exporter.store.keys import usable
from exporter.store.tables import client_services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.store.store import Store

FIELDS: Final = ("basic_auth_username", "basic_auth_password")
"""The columns of `client_services` that hold tokens."""

VERSION: Final = "v1"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_ID_LABEL: Final = b"watchbridge credential key id\0"
_AAD_LABEL: Final = b"watchbridge credential v1\0"

_DAMAGED = "it is damaged; store the credential again"
_OTHER = "it was changed, or belongs to another row or field; store the credential again"


class KeyRing:
    """The keys of stored credentials: the first encrypts, each decrypts what it has encrypted. It shows nothing."""

    __slots__ = ("_ciphers", "_first")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take keys of 32 bytes by their ids, the one that encrypts first. CryptographyMissingError: no library."""
        self._ciphers = {name: _cipher(key) for name, key in keys.items()}
        self._first = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one key a line, the newest first: 32 bytes as they are, or `base64:` and 32 bytes in base64.

        ValueError is a sentence that says what is wrong with which line, and never shows any of it. A key from an
        example, or one that is easily guessed, is refused.
        """
        keys: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                key = usable(line.strip())
            except ValueError as error:
                raise ValueError(f"the key on line {number} {error}") from None
            name = hashlib.sha256(_KEY_ID_LABEL + key).hexdigest()[:8]
            if name in keys:
                raise ValueError(f"the key on line {number} is there already: leave each key once")
            keys[name] = key
        if not keys:
            raise ValueError(
                "there is no key: give 32 random bytes, as `base64:` and what `openssl rand -base64 32` prints"
            )
        return cls(keys)

    def encrypt(self, text: str, *, table: str, row: int, field: str) -> str:
        """Return the token of a text, to be stored in that field of that row and nowhere else."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, text.encode(), _place(table, row, field, self._first))
        return f"{VERSION}:{self._first}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, token: str, *, table: str, row: int, field: str) -> Secret:
        """Return what was encrypted; CredentialUnreadableError when this is not the token of that place, unchanged."""
        try:
            return Secret(self._opened(token, table, row, field))
        except ValueError as error:
            raise CredentialUnreadableError(table=table, row=row, field=field, reason=error) from None

    def is_current(self, token: str) -> bool:
        """Return whether the first key of the ring made a token."""
        return token.startswith(f"{VERSION}:{self._first}:")

    def _opened(self, token: str, table: str, row: int, field: str) -> str:
        version, _, rest = token.partition(":")
        name, _, body = rest.partition(":")
        if version != VERSION:
            raise ValueError(_DAMAGED)
        if (cipher := self._ciphers.get(name)) is None:
            raise ValueError("its key is not among those given; add the older key below the newest")
        sealed = _decoded(body)
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - only who has credentials needs the library

        try:
            plain: bytes = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _place(table, row, field, name))
        except InvalidTag:
            raise ValueError(_OTHER) from None
        return plain.decode()

    def __repr__(self) -> str:
        return f"<{len(self._ciphers)} keys>"

    def __reduce__(self) -> str:
        raise TypeError("keys are not pickled")


class Rotation(NamedTuple):
    """How many services got tokens of the first key, and the numbers of those that no key of the ring opens."""

    changed: int
    unreadable: tuple[int, ...]


def sealed(keys: KeyRing | None, service: int, field: str, text: str) -> str:
    """Return the token of a field of `client_services`; CredentialKeyMissingError without a key."""
    if keys is None:
        raise CredentialKeyMissingError
    return keys.encrypt(text, table=client_services.name, row=service, field=field)


def revealed(keys: KeyRing | None, service: int, field: str, token: str | None) -> Secret | None:
    """Return what a field of `client_services` holds; CredentialKeyMissingError, CredentialUnreadableError."""
    if token is None:
        return None
    if keys is None:
        raise CredentialKeyMissingError
    return keys.decrypt(token, table=client_services.name, row=service, field=field)


async def rotated(store: Store, ring: KeyRing) -> Rotation:
    """Encrypt anew, under the first key of the ring, whatever an older one has encrypted; may be repeated.

    One service is one transaction, so nothing waits and a rotation that was cut short goes on where it was.
    """
    columns = client_services.c
    tokens = [columns[field] for field in FIELDS]
    async with store.reading() as connection:
        rows = (await connection.execute(select(columns.id, *tokens).order_by(columns.id))).all()
    changed, unreadable = 0, []
    for number, *stored in rows:
        old = {
            field: token for field, token in zip(FIELDS, stored, strict=True) if token and not ring.is_current(token)
        }
        if not old:
            continue
        try:
            new = {
                field: sealed(ring, number, field, _plain(ring, number, field, token)) for field, token in old.items()
            }
        except CredentialUnreadableError:
            unreadable.append(number)
            continue
        # Who has changed it meanwhile has used the first key, or is met by the next rotation.
        unchanged = [columns[field] == token for field, token in old.items()]
        statement = update(client_services).where(columns.id == number, *unchanged)
        async with store.writing() as connection:
            await connection.execute(statement.values({**new, "revision": columns.revision + 1}))
        changed += 1
    return Rotation(changed, tuple(unreadable))


def _plain(ring: KeyRing, service: int, field: str, token: str) -> str:
    return ring.decrypt(token, table=client_services.name, row=service, field=field).reveal()


def _decoded(body: str) -> bytes:
    """Return the bytes of base64 that is written in the one way it is meant: other spellings are changed tokens."""
    try:
        sealed = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_DAMAGED) from None
    if len(sealed) < _NONCE_BYTES + _TAG_BYTES or base64.b64encode(sealed).decode() != body:
        raise ValueError(_DAMAGED)
    return sealed


def _place(table: str, row: int, field: str, key: str) -> bytes:
    """Return the additional authenticated data; each part after its length, so that no two places read the same."""
    parts = [part.encode() for part in (table, str(row), field, key)]
    return _AAD_LABEL + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - as above
    except ImportError:
        raise CryptographyMissingError from None
    return AESGCM(key)
