"""The web configuration of a listener as it is now: read again when one of its files changed."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.errors import WebConfigError
from exporter.web.files import Signature, signature
from exporter.web.tls import server_context
from exporter.web.web_config import WebConfig, load_web_config

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.model import Clock

logger = logging.getLogger(__name__)

_LOOK_EVERY = 1.0
"""Seconds between two looks at the files: a flood of connections costs one stat a second."""


def identifies(config: WebConfig) -> bool:
    """Return whether clients can prove who they are: as one of the users, or by a certificate that is verified."""
    return bool(config.users) or (config.tls is not None and config.tls.client_auth is not ssl.CERT_NONE)


@dataclass(frozen=True, slots=True)
class Access:
    """A web configuration with its TLS context (None: plain HTTP)."""

    config: WebConfig
    context: ssl.SSLContext | None


class WatchedAccess:
    """Gives the newest good `Access`; a change for the worse is logged once and the old one stays.

    TLS cannot be switched on or off by a change of the file: the address has been given out as http or https.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._looked = clock.monotonic()
        self._complaint: str | None = None
        self._seen: Signature = ()
        self._access = Access(WebConfig(), None)
        if path is not None:
            self._seen = signature((path,))
            self._access = _load(path)
            self._seen = signature(self._access.config.files)

    def current(self) -> Access:
        """Return what holds now; looks at the files at most once a second."""
        now = self._clock.monotonic()
        if self._path is not None and now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._look(self._path)
        return self._access

    def _look(self, path: Path) -> None:
        # The signature is taken before the content: what changes in between is seen by the next look.
        seen = signature(self._access.config.files)
        if seen == self._seen and self._complaint is None:
            return
        try:
            access = _load(path)
        except WebConfigError as error:
            self._complain(str(error))
            return
        if (access.context is None) != (self._access.context is None):
            reason = "TLS can only be switched on or off by a restart"
            self._complain(str(WebConfigError(path=path, reason=reason)))
            return
        if seen != self._seen or self._complaint is not None:
            logger.info("The web configuration was read again", extra={"fields": {"path": str(path)}})
        known = access.config.files == self._access.config.files
        self._seen = seen if known else signature(access.config.files)
        self._access, self._complaint = access, None

    def _complain(self, sentence: str) -> None:
        # A file that is bad is tried again at each look, because what it names may come later; it is told once.
        if sentence != self._complaint:
            logger.error("The old web configuration stays: %s", sentence)
        self._complaint = sentence


def _load(path: Path) -> Access:
    config = load_web_config(path)
    try:
        return Access(config, server_context(config.tls) if config.tls else None)
    except ValueError as error:
        raise WebConfigError(path=path, reason=f"tls_server_config: {error}") from None
