"""What of a text must never be shown."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

_SECRET_WORDS = ("password", "passwd", "secret", "token", "key")
_SHORTEST_GUESSED = 8
_SECRET_NAMES = (*_SECRET_WORDS, "authorization", "cookie", "credential")
# A key in base64 may begin with two slashes, and then looks like a URL.
_NO_DATABASES = frozenset({"http", "https", "base64"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PASSWORD = re.compile(r"[^:/]*:(?P<most>(?P<least>[^@]*)@(?:.*@)?)", re.DOTALL)


def is_secret(text: str) -> bool:
    """Return whether a text gives access: anything but the URL of a database without a password in it.

    A URL of a web hook is one even without a password: who knows it may post.
    """
    scheme = _SCHEME.match(text)
    return scheme is None or scheme[1].lower() in _NO_DATABASES or bool(_passwords(text))


def looks_secret(name: str, value: str) -> bool:
    """Return whether the value of a header or a variable is hardly meant to be seen, by its name.

    One that is shorter than eight characters is rather a word such as `true`, which must not be hidden everywhere.
    """
    return len(value) >= _SHORTEST_GUESSED and any(word in name.lower() for word in _SECRET_NAMES)


def parts(text: str) -> frozenset[str]:
    """Return what to redact: the text itself, and the password of a URL as it is written and as it is meant.

    Where the writer forgot to encode an @ of the password, all up to the last @ may belong to it, and each of its
    pieces is one that a driver may take for the host. Each line of a text of several is a secret, too.
    """
    if not is_secret(text):
        return frozenset()
    passwords = _passwords(text)
    lines = {line for line in map(str.strip, text.splitlines()) if line}
    return frozenset({text} | lines | passwords | {unquote(password) for password in passwords})


def _passwords(text: str) -> set[str]:
    rest = text.partition("//")[2]
    query = parse_qsl(rest.partition("?")[2])
    found = {value for name, value in query if any(word in name.lower() for word in _SECRET_WORDS)}
    if access := _PASSWORD.match(rest):
        most = access["most"].removesuffix("@")
        found |= {most, access["least"], *most.split("@")}
    return {word for word in found if word}
