"""How mail leaves, and which addresses it may go to. Cheap to load: `check-config` reads this too."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.config.options import Duration, Secret, option
from exporter.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# RFC 5321 4.5.3.1: 64 octets before the @, 255 after it. Narrower than RFC 5322 on purpose: no quoted local part, no
# comment, no list, and a first character that no mail program takes for an option, a pipe or a file.
_ADDRESS = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._%+'=-]{0,63}"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}))*"
)
# Mail of cron goes to such names: a user of this machine.
_LOCAL_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_HOST = r"[A-Za-z0-9._:\[\]-]+"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MailOptions:
    """How mail leaves: the section `email` of the configuration, or the variables SMTP_* of the environment."""

    host: str = option(help="The SMTP server.", example="smtp.example.com", pattern=_HOST)
    port: int | None = option(
        None, help="Its port; by default 465 with tls, 587 with starttls, else 25.", minimum=1, maximum=65535
    )
    starttls: bool = option(default=False, help="Ask for TLS after connecting, and send nothing if it is refused.")
    tls: bool = option(default=False, help="Speak TLS from the first byte.")
    ca_file: Path | None = option(None, help="Certificates (PEM) to trust instead of the system's.")
    username: str | None = option(None, help="The user to log in as; without it no login is tried.")
    password: Secret | None = option(None, help="The user's password.")
    sender: str | None = option(
        None, help="The From address; by default watchbridge@ and this host's name.", example="watchbridge@example.com"
    )
    timeout: Duration = option(
        Duration(10.0), help="The whole conversation with the server may take this long.", minimum=0.1, maximum=300
    )

    def effective_port(self) -> int:
        """Return the port to connect to (RFC 8314: 465 for implicit TLS; RFC 6409: 587 for submission)."""
        if self.port is not None:
            return self.port
        if self.tls:
            return 465
        return 587 if self.starttls else 25

    def where(self) -> str:
        """Return the server as errors name it."""
        return f"the SMTP server {self.host}:{self.effective_port()}"

    def problems(self, configuration: object) -> Iterable[tuple[tuple[str | int, ...], str]]:  # noqa: ARG002 - the protocol of options
        """Yield what contradicts itself, as (path, sentence)."""
        if self.tls and self.starttls:
            yield ("starttls",), "tls and starttls exclude each other: keep one of them"
        if (self.username is None) != (self.password is None):
            yield ("username",), "username and password belong together: give both, or neither"
        if self.password is not None and not (self.tls or self.starttls or _is_loopback(self.host)):
            yield ("password",), "a password would be sent in clear: set starttls or tls to true"
        if self.sender is not None and not is_address(self.sender):
            yield ("sender",), f"{self.sender!r} is not a mail address such as watchbridge@example.com"


def is_address(text: str) -> bool:
    """Return whether this is one plain mail address, safe in a header and in an argument list."""
    return _ADDRESS.fullmatch(text) is not None


def is_recipient(text: str) -> bool:
    """Return whether mail may be sent to this: one plain address, or the name of a user of this machine."""
    return is_address(text) or _LOCAL_USER.fullmatch(text) is not None


def options_from_environment(environ: Mapping[str, str]) -> MailOptions | None:
    """Return the options that SMTP_HOST, SMTP_PORT, SMTP_USERNAME, SMTP_PASSWORD or SMTP_PASSWORD_FILE, SMTP_FROM,
    SMTP_STARTTLS and SMTP_TLS give; None without SMTP_HOST. ConfigurationError names the variable that is wrong.
    """  # noqa: D205 - the list of variables is the summary
    host = environ.get("SMTP_HOST")
    if not host:
        return None
    if not re.fullmatch(_HOST, host):
        raise ConfigurationError(
            reason=f"SMTP_HOST is {host!r}: write the name or address of a server, without a port."
        )
    options = MailOptions(
        host=host,
        port=_port(environ.get("SMTP_PORT")),
        starttls=_flag(environ, "SMTP_STARTTLS"),
        tls=_flag(environ, "SMTP_TLS"),
        username=environ.get("SMTP_USERNAME") or None,
        password=_password(environ),
        sender=environ.get("SMTP_FROM") or None,
    )
    for _, sentence in options.problems(None):
        raise ConfigurationError(reason=f"The SMTP_* variables of the environment do not fit together: {sentence}.")
    return options


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:  # noqa: PLR2004 - the range of TCP
        return int(text)
    raise ConfigurationError(reason=f"SMTP_PORT is {text!r}: write a port number, such as 587.")


def _flag(environ: Mapping[str, str], name: str) -> bool:
    if (text := environ.get(name, "").strip().lower()) in _TRUE | _FALSE:
        return text in _TRUE
    raise ConfigurationError(reason=f"{name} is {text!r}: write true or false.")


def _password(environ: Mapping[str, str]) -> Secret | None:
    text, path = environ.get("SMTP_PASSWORD"), environ.get("SMTP_PASSWORD_FILE")
    if text and path:
        raise ConfigurationError(reason="SMTP_PASSWORD and SMTP_PASSWORD_FILE are both set: keep one of them.")
    if path:
        try:
            return Secret(Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r"))
        except (OSError, UnicodeDecodeError) as error:
            reason = f"SMTP_PASSWORD_FILE cannot be read ({type(error).__name__}): check its path and its rights."
            raise ConfigurationError(reason=reason) from error
    return Secret(text) if text else None
