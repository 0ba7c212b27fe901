"""What a listener is told by the configuration. Light to import: no web framework."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the schema is generated from the annotation
from typing import TYPE_CHECKING, Any, Literal

from exporter.config.options import option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    return None


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
        help="What is served here: metrics (/metrics), api (/-/reload), page (/). webhook is a word for a "
        "later version: it is taken, and serves nothing yet.",
        example=["metrics"],
    )
    web_config: Path | None = option(
        None,
        help="A web configuration file in exporter-toolkit's format: TLS, client certificates, users, headers.",
        example="web-config.yml",
    )

    def problems(self, configuration: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Yield an address that cannot be listened on, a bad `serve`, and a web configuration that cannot be used."""
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


def _before(listener: ListenerOptions, configuration: Any) -> Iterator[ListenerOptions]:
    """Yield the listeners before this one; equal ones are told apart by being another object."""
    for one in configuration.listen if configuration is not None else ():
        if one is listener:
            return
        yield one
