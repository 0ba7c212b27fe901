"""What of a text must never be shown."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_SECRET_WORDS = ("password", "passwd", "secret", "token", "key")


def is_secret(text: str) -> bool:
    """Return whether a text gives access: anything but the URL of a database without a password in it.

    A URL of a web hook is one even without a password: who knows it may post.
    """
    url = _url(text)
    return url is None or url.scheme in {"http", "https"} or bool(_passwords(url))


def parts(text: str) -> frozenset[str]:
    """Return what to redact: the text itself, and the password of a URL as it is written and as it is meant."""
    if not is_secret(text):
        return frozenset()
    url = _url(text)
    passwords = _passwords(url) if url else set()
    return frozenset({text} | passwords | {unquote(password) for password in passwords})


def _url(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    return url if url.scheme and "://" in text else None


def _passwords(url: SplitResult) -> set[str]:
    _, _, password = url.netloc.rpartition("@")[0].partition(":")
    query = {value for name, value in parse_qsl(url.query) if any(word in name.lower() for word in _SECRET_WORDS)}
    return {word for word in {password} | query if word}
