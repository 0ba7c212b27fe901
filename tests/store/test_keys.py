"""A key is 32 bytes that nobody can guess; a text that was meant to be replaced is none."""

from __future__ import annotations

import base64
import os
import secrets
import string

import pytest

from exporter.store.keys import usable

RANDOM = "k9$Wz!pQ3x&Lm7@Tb2#Vn8^Rc5*Yd1%H"


def encoded(key: bytes) -> str:
    return "base64:" + base64.b64encode(key).decode()


def test_keys_that_are_taken() -> None:
    """32 bytes as they are or in base64 are the key."""
    key = os.urandom(32)
    assert usable(encoded(key)) == key
    assert usable(RANDOM) == RANDOM.encode()
    assert usable(encoded(RANDOM.encode())) == RANDOM.encode()


def test_random_keys_are_never_refused() -> None:
    """Neither random bytes nor random letters and digits look like a placeholder."""
    letters = string.ascii_letters + string.digits
    for _ in range(5000):
        usable(encoded(os.urandom(32)))
        usable("".join(secrets.choice(letters) for _ in range(32)))
        usable(secrets.token_hex(16))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("", "is 0 bytes long where 32 are needed", id="empty"),
        pytest.param(RANDOM[:-1], "is 31 bytes long", id="one-too-few"),
        pytest.param(RANDOM + "x", "is 33 bytes long", id="one-too-many"),
        pytest.param("é" * 32, "is 64 bytes long", id="32-characters-of-64-bytes"),
        pytest.param(encoded(os.urandom(16)), "is 16 bytes long", id="aes-128"),
        pytest.param(base64.b64encode(os.urandom(32)).decode(), "is 44 bytes long", id="base64-without-the-word"),
        pytest.param("base64:not base64!", "is no base64", id="no-base64"),
        pytest.param("base64:é", "is no base64", id="no-ascii"),
        pytest.param("your-32-character-encryption-key", "is a placeholder", id="of-the-source-system"),
        pytest.param("YOUR-32-CHARACTER-ENCRYPTION-KEY", "is a placeholder", id="in-capitals"),
        pytest.param(encoded(b"your-32-character-encryption-key"), "is a placeholder", id="in-base64"),
        pytest.param("your_32_character_encryption_key", "is a placeholder", id="with-underscores"),
        pytest.param("changeme-changeme-changeme-32byt", "is a placeholder", id="changeme"),
        pytest.param("change-me-to-32-random-bytes-now", "is a placeholder", id="change-me"),
        pytest.param("replace_me_with_a_real_key_soon!", "is a placeholder", id="replace-me"),
        pytest.param("my-secret-key-of-thirty-two-byte", "is a placeholder", id="secret-key"),
        pytest.param("a" * 32, "is easily guessed", id="one-letter"),
        pytest.param(encoded(bytes(32)), "is easily guessed", id="zeros"),
        pytest.param("abcabca" + "bcabcba" * 3 + "cbab", "is easily guessed", id="few-letters"),
        pytest.param("0123456789abcdef0123456789abcdef", "is easily guessed", id="repeats"),
        pytest.param("12345678901234567890123456789012", "is easily guessed", id="repeats-not-to-the-end"),
        pytest.param("abcdefghijklmnopqrstuvwxyz123456", "is easily guessed", id="counts-up"),
        pytest.param(encoded(bytes(range(255, 223, -1))), "is easily guessed", id="counts-down"),
    ],
)
def test_keys_that_are_refused(text: str, sentence: str) -> None:
    """The sentence says why, what to do, and nothing of the text."""
    with pytest.raises(ValueError, match=sentence) as caught:
        usable(text)
    assert "openssl rand -base64 32" in str(caught.value)
    assert not text or text not in str(caught.value)
