"""What a listener is told by the configuration. Light to import: no web framework."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the schema is generated from the annotation
from typing import TYPE_CHECKING, Any, Literal

from exporter.config.options import option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exporter.web.web_config import WebConfig

DEFAULT_ADDRESS = "127.0.0.1:10900"
Part = Literal["metrics", "api", "webhook", "page"]
PARTS: tuple[Part, ...] = ("metrics", "api", "webhook", "page")

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%A-Za-z]+\]|[A-Za-z0-9._-]*):(?P<port>[0-9]{1,5})", re.ASCII)
_HIGHEST_PORT = 65535
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+/?", re.ASCII)
TAKEN = frozenset({"-", "api", "docs", "health", "healthz", "openapi.json", "probe", "static"})
"""First steps of the paths that Watchbridge keeps for itself, whatever a listener serves."""


def split_address(address: str) -> tuple[str | None, int]:
    """Return host and port of `host:port`, `:port` or `[::1]:port`; the host is None for every interface.

    Port 0 lets the system choose. ValueError holds what was wanted.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        raise ValueError("wanted host:port, :port or [address]:port with a port from 0 to 65535")
    return found["host"].strip("[]") or None, int(found["port"])


def overlap(one: str, other: str) -> bool:
    """Return whether only one of two addresses can be listened on: the same port, and one host or all hosts."""
    try:
        (host, port), (other_host, other_port) = split_address(one.lower()), split_address(other.lower())
    except ValueError:
        return False
    return port == other_port != 0 and (host == other_host or None in {host, other_host})


def path_mistake(path: str) -> str | None:
    """Return why the metrics cannot be served at a path, or None."""
    if not _PATH.fullmatch(path):
        return "wanted a path such as /metrics: letters, digits and -._~ between slashes"
    if path.split("/")[1] in TAKEN:
        return "wanted a path such as /metrics: this one is taken by other pages of Watchbridge"
    return None


def web_config_mistake(path: Path) -> str | None:
    """Return what is wrong with a web configuration file and the files that it names, or None."""
    found = _web_config(path)
    return found if isinstance(found, str) else None


def _web_config(path: Path) -> WebConfig | str:
    """Return a web configuration that can be used, or what is wrong with it."""
    from exporter.errors import WebConfigError  # noqa: PLC0415 - TLS is imported only where a file is named
    from exporter.web.tls import server_context  # noqa: PLC0415
    from exporter.web.web_config import load_web_config  # noqa: PLC0415

    try:
        found = load_web_config(path)
        if found.tls is not None:
            server_context(found.tls)
    except WebConfigError as error:
        return str(error.facts["reason"])
    except ValueError as error:
        return f"tls_server_config: {error}"
    return found


def is_loopback(address: str) -> bool:
    """Return whether an address to listen on is reached from this host alone; of names, only localhost is taken to be.

    ValueError when it is no address.
    """
    host, _ = split_address(address)
    if host is None or host.lower() == "localhost":
        return host is not None
    import ipaddress  # noqa: PLC0415 - most listeners are asked about no webhook

    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback if isinstance(found, ipaddress.IPv4Address) else str(found) == "::1"


def webhook_mistake(listener: ListenerOptions, configuration: Any) -> str | None:
    """Return why a listener must not be begun with: whoever reaches it would find a webhook without any credential.

    None where nobody can tell, because of another mistake: in the address, the web configuration, `alertmanager`.
    """
    alertmanager = getattr(configuration, "alertmanager", None)
    try:
        if "webhook" not in listener.serve or alertmanager is None or is_loopback(listener.address):
            return None
    except ValueError:
        return None
    if listener.web_config is not None:
        from exporter.web.access import identifies  # noqa: PLC0415 - the same as above

        found = _web_config(listener.web_config)
        if isinstance(found, str) or identifies(found):
            return None
    if alertmanager.bearer_token:
        return None
    rest = ", ".join(part for part in listener.serve if part != "webhook")
    other = f"take webhook out of serve (serve: [{rest}])" if rest else "listen on 127.0.0.1"
    return (
        f"webhook would be served at {listener.address}, beyond this host, and nobody could prove that they may send: "
        f"set alertmanager.bearer_token_file, or {other}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerOptions:
    """One address to listen on and what is served there; /-/healthy, /-/ready, /health and /healthz are everywhere."""

    address: str = option(
        DEFAULT_ADDRESS,
        help="Where to listen: host:port, :port for all interfaces, [::1]:port for IPv6; port 0: any free one.",
        example="127.0.0.1:10900",
    )
    serve: tuple[Part, ...] = option(
        PARTS,
        help="What is served here: metrics (/metrics, /probe), api (/-/reload), webhook (/api/v1/alerts, for "
        "Alertmanager), page (/). Beyond this host, webhook needs a credential: alertmanager.bearer_token_file, or "
        "users or client certificates of the web_config.",
        example=["metrics"],
    )
    web_config: Path | None = option(
        None,
        help="A web configuration file in exporter-toolkit's format: TLS, client certificates, users, headers.",
        example="web-config.yml",
    )

    def problems(self, configuration: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Yield a bad address or `serve`, a web configuration that cannot be used, and a webhook for just anybody."""
        try:
            split_address(self.address)
        except ValueError as error:
            yield ("address",), f"found {self.address!r}, {error}"
        if any(overlap(self.address, one.address) for one in _before(self, configuration)):
            yield ("address",), f"{self.address!r} is listened on by an entry before it: join them, or change its port"
        if not self.serve:
            yield ("serve",), "is empty: name at least one of metrics, api, webhook, page"
        if len(set(self.serve)) < len(self.serve):
            yield ("serve",), "names something twice: name each once"
        if self.web_config is not None and (mistake := web_config_mistake(self.web_config)) is not None:
            yield ("web_config",), f"cannot be used: {mistake}"
        # The last one: it asks for another section, which may be unread.
        if (mistake := webhook_mistake(self, configuration)) is not None:
            yield ("serve",), mistake


def _before(listener: ListenerOptions, configuration: Any) -> Iterator[ListenerOptions]:
    """Yield the listeners before this one; equal ones are told apart by being another object."""
    for one in configuration.listen if configuration is not None else ():
        if one is listener:
            return
        yield one
