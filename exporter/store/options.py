"""Where the store is. No database code is imported here: `check-config` reads this too."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from exporter.config.options import Secret, option
from exporter.databases.urls import mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.store.credentials import KeyRing

FILE_NAME = "watchbridge.db"
_IN_MEMORY: Final = re.compile(r"sqlite(\+\w+)?://(/|/:memory:.*)?(\?.*)?", re.ASCII | re.IGNORECASE)
KEY_VARIABLE: Final = "ENCRYPTION_KEY"
FORMS: Final = "sqlite:////path/to/file, postgresql://user:password@host/name or mysql://user:password@host/name"


def state_directory(environ: Mapping[str, str], *, windows: bool) -> Path:
    """Return the folder in which this user's programs keep what they must remember.

    systemd names it in STATE_DIRECTORY, several of them parted by colons (systemd.exec(5)); else the XDG base
    directory specification does; on Windows it is the local application data.
    """
    if given := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    if windows:
        local = environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "watchbridge"
    state = environ.get("XDG_STATE_HOME", "")
    # A relative XDG_STATE_HOME is to be ignored, says the specification.
    return (Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state") / "watchbridge"


def default_url() -> Secret:
    """Return the URL of the embedded store: an SQLite file in the state directory."""
    path = state_directory(os.environ, windows=sys.platform == "win32") / FILE_NAME
    return Secret(f"sqlite:///{path.as_posix()}")


def default_key() -> Secret | None:
    """Return the encryption keys that the environment holds, or None."""
    text = os.environ.get(KEY_VARIABLE, "")
    return Secret(text) if text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Where Watchbridge keeps what it must remember; a bare string is the URL."""

    url: Secret = option(
        default_factory=default_url,
        help="The database of the store: sqlite:////path/to/watchbridge.db (a folder of its own, made with mode "
        "0700), postgresql://user:password@host/name or mysql://user:password@host/name. Left out: an SQLite file "
        "in the state directory. Several replicas need PostgreSQL, MySQL 8 or MariaDB 10.6 and newer.",
        example="sqlite:////var/lib/watchbridge/watchbridge.db",
    )
    key: Secret | None = option(
        default_factory=default_key,
        help="What encrypts the credentials of services made by the API: 32 characters, or base64: and 32 bytes in "
        "base64. One a line: the first encrypts, further ones are older and only read. Left out: the environment's "
        "ENCRYPTION_KEY; without any, no credential is stored.",
    )

    @classmethod
    def from_scalar(cls, text: str) -> Self:
        """Read `store: URL`."""
        return cls(url=Secret(text))

    def problems(self, configuration: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Yield what is wrong with the URL and the keys; never these themselves, as they are or hold secrets."""
        del configuration
        if self.key is not None and (reason := _key_problem(self.key)):
            yield ("key",), f"in the environment's {KEY_VARIABLE} {reason}" if self.key == default_key() else reason
        url = self.url.reveal().strip()
        if _IN_MEMORY.fullmatch(url):
            yield ("url",), "a store in memory would forget everything: name a file, sqlite:////path/to/watchbridge.db"
        elif reason := mistake(url):
            yield ("url",), f"the URL is not usable: {reason}; write it as {FORMS}"


def _key_problem(key: Secret) -> str | None:
    from exporter.store.credentials import KeyRing  # noqa: PLC0415 - most configurations have no key

    try:
        KeyRing.parse(key.reveal())
    except ValueError as error:
        return str(error)
    return None


def key_ring(options: StoreOptions) -> KeyRing | None:
    """Return the keys of stored credentials; None without any. The options were checked when they were read."""
    from exporter.store.credentials import KeyRing  # noqa: PLC0415 - as above

    return None if options.key is None else KeyRing.parse(options.key.reveal())
