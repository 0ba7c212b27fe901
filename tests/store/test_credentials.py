"""A stored credential opens in its own place with its own key, and nowhere else."""

from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from exporter.errors import CredentialKeyMissingError, CredentialUnreadableError
from exporter.store import client_services, clients, credentials, service_editing
from exporter.store.credentials import KeyRing, rotated
from exporter.store.tables import client_services as table

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = "base64:" + base64.b64encode(bytes(range(7, 250, 8))[:31] + b"\0").decode()
NEW = "k9$Wz!pQ3x&Lm7@Tb2#Vn8^Rc5*Yd1%H"
HERE: dict[str, Any] = {"table": "client_services", "row": 7, "field": "basic_auth_password"}


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return KeyRing.parse(NEW)


@given(text=st.text(), row=st.integers(min_value=0))
def test_round_trip(text: str, row: int) -> None:
    """Whatever is encrypted is decrypted in the same place, and shows neither itself nor its length too exactly."""
    ring = KeyRing.parse(NEW)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    place = {**HERE, "row": row}
    token = ring.encrypt(text, **place)
    assert ring.decrypt(token, **place).reveal() == text
    assert token.isascii()
    assert len(text) < 4 or text not in token


def test_form_of_a_token(ring: KeyRing) -> None:
    """It names its version and key, then comes the nonce, the ciphertext and its tag of 128 bits."""
    version, key, body = ring.encrypt("secret", **HERE).split(":")
    assert (version, len(key)) == ("v1", 8)
    assert set(key) <= set("0123456789abcdef")
    assert len(base64.b64decode(body, validate=True)) == 12 + len("secret") + 16


def test_nonces_never_repeat(ring: KeyRing) -> None:
    """Of 100,000 encryptions of the same text each has a nonce of its own."""
    nonces = {ring.encrypt("x", **HERE)[12:28] for _ in range(100_000)}
    assert len(nonces) == 100_000


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"table": "clients"}, id="table"),
        pytest.param({"row": 8}, id="row"),
        pytest.param({"row": 77}, id="row-that-begins-alike"),
        pytest.param({"field": "basic_auth_username"}, id="field"),
        pytest.param({"table": "client_service", "row": 7, "field": "sbasic_auth_password"}, id="shifted"),
    ],
)
def test_another_place(ring: KeyRing, other: dict[str, Any]) -> None:
    """A token that was moved to another place is refused, and the sentence names the place and no secret."""
    token = ring.encrypt("hidden-away", **HERE)
    with pytest.raises(CredentialUnreadableError, match="belongs to another row or field") as caught:
        ring.decrypt(token, **{**HERE, **other})
    assert "hidden-away" not in str(caught.value)
    assert token not in str(caught.value)


def test_another_key_id(ring: KeyRing) -> None:
    """A token that claims to be of another key of the ring is refused."""
    both = KeyRing.parse(f"{NEW}\n{OLD}")
    of_old = KeyRing.parse(OLD).encrypt("x", **HERE)
    token = ring.encrypt("x", **HERE)
    with pytest.raises(CredentialUnreadableError, match="was changed"):
        both.decrypt(of_old[:12] + token[12:], **HERE)
    with pytest.raises(CredentialUnreadableError, match="key is not among those given"):
        ring.decrypt(of_old, **HERE)


def test_every_flipped_bit(ring: KeyRing) -> None:
    """There is no bit of a token that can be changed unnoticed, whichever padding its base64 has."""
    for text in ("", "a", "ab", "abc"):
        token = ring.encrypt(text, **HERE).encode()
        for at in range(len(token) * 8):
            changed = bytearray(token)
            changed[at // 8] ^= 1 << at % 8
            with pytest.raises(CredentialUnreadableError):
                ring.decrypt(changed.decode("latin-1"), **HERE)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "v1",
        "v1:",
        "v2:00000000:AAAA",
        "plain password",
        "v1::",
        "::",
        "v1:{key}:",
        "v1:{key}:AAAA",
        "v1:{key}:%",
    ],
)
def test_no_token(ring: KeyRing, token: str) -> None:
    """What never was a token is the same typed error."""
    key = ring.encrypt("", **HERE)[3:11]
    with pytest.raises(CredentialUnreadableError):
        ring.decrypt(token.format(key=key), **HERE)


def test_ring_of_several_keys() -> None:
    """The first key encrypts, the older ones still decrypt."""
    old, both = KeyRing.parse(OLD), KeyRing.parse(f"\n{NEW}\r\n  {OLD}  \n\n")
    of_old = old.encrypt("x", **HERE)
    assert both.decrypt(of_old, **HERE).reveal() == "x"
    of_new = both.encrypt("x", **HERE)
    assert (both.is_current(of_new), both.is_current(of_old)) == (True, False)
    with pytest.raises(CredentialUnreadableError):
        old.decrypt(of_new, **HERE)


def test_a_ring_shows_nothing(ring: KeyRing) -> None:
    """Neither its text nor a pickle of it gives a key away."""
    assert (repr(ring), str(ring)) == ("<1 keys>", "<1 keys>")
    assert not hasattr(ring, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(ring)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("", "there is no key: give 32 random bytes", id="empty"),
        pytest.param(f"{NEW}\nshort-and-wrong", "the key on line 2 is 15 bytes long where 32 are needed", id="short"),
        pytest.param(f"{NEW}\n{NEW}", "the key on line 2 is there already", id="twice"),
        pytest.param("your-32-character-encryption-key", "the key on line 1 is a placeholder", id="placeholder"),
    ],
)
def test_texts_that_are_no_ring(text: str, sentence: str) -> None:
    """The sentence says what is wrong with which line and shows none of it."""
    with pytest.raises(ValueError, match=sentence) as caught:
        KeyRing.parse(text)
    assert NEW not in str(caught.value)
    assert "short-and-wrong" not in str(caught.value)


def test_the_library_is_imported_only_for_keys() -> None:
    """Who stores no credentials needs no cryptography."""
    code = "import sys, exporter.store.service_editing; sys.exit('cryptography' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", code], timeout=60) == 0


async def tokens(store: Any) -> list[str]:
    async with store.reading() as connection:
        rows = await connection.execute(
            select(table.c.basic_auth_username, table.c.basic_auth_password).order_by(table.c.id)
        )
        return [token for row in rows for token in row]


async def test_rotation(url: str, open_store: Callable[..., Any]) -> None:
    """Every token of an older key is made anew under the first, what no key opens is told and left, twice is once."""
    store = await open_store(url)
    old, both, other = (
        KeyRing.parse(OLD),
        KeyRing.parse(f"{NEW}\n{OLD}"),
        KeyRing.parse("base64:" + base64.b64encode(os.urandom(32)).decode()),
    )
    client = await clients.create(store, "acme")
    numbers = []
    for name, ring in (("a", old), ("b", both), ("c", other), ("d", None)):
        secrets = {"basic_auth_username": name, "basic_auth_password": f"of {name}"} if ring else {}
        fields = {"client_id": client.id, "name": name, "endpoint_url": "http://web/", **secrets}
        numbers.append((await service_editing.create(store, ring, fields)).id)
    before, mark = await tokens(store), await client_services.mark(store)
    assert await rotated(store, both) == credentials.Rotation(1, (numbers[2],))
    after = await tokens(store)
    assert (after[2:], await client_services.mark(store) == mark) == (before[2:], False)
    assert await rotated(store, both) == credentials.Rotation(0, (numbers[2],))
    assert await tokens(store) == after
    only_new = await client_services.made(store, KeyRing.parse(NEW))
    found = [(one.username and one.username.reveal(), one.password and one.password.reveal()) for one in only_new]
    assert found == [("a", "of a"), ("b", "of b"), (None, None), (None, None)]


async def test_storing_without_a_key(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """A user or password is refused, and nothing is stored; without them no key is needed."""
    store = await open_store(new_url("sqlite"))
    client = await clients.create(store, "acme")
    fields = {"client_id": client.id, "name": "web", "endpoint_url": "http://web/"}
    with pytest.raises(CredentialKeyMissingError, match="ENCRYPTION_KEY"):
        await service_editing.create(store, None, fields | {"basic_auth_password": "x"})
    assert await tokens(store) == []
    number = (await service_editing.create(store, None, fields | {"basic_auth_password": None})).id
    with pytest.raises(CredentialKeyMissingError):
        await service_editing.update(store, None, number, {"basic_auth_username": "x"})
    assert await tokens(store) == [None, None]


async def test_no_secret_in_the_file(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """Neither user, password nor key can be found in the bytes of the store."""
    url = new_url("sqlite")
    store = await open_store(url)
    client = await clients.create(store, "acme")
    fields = {"client_id": client.id, "name": "web", "endpoint_url": "http://web/",
              "basic_auth_username": "canary-user", "basic_auth_password": "canary-password"}  # fmt: skip
    await service_editing.create(store, KeyRing.parse(NEW), fields)
    from pathlib import Path

    folder = Path(url.removeprefix("sqlite:///")).parent
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"http://web/" in content
    for secret in (b"canary", NEW.encode()):
        assert secret not in content
