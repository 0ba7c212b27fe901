"""What a listener is told by the configuration. Light to import: no web framework."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the schema is generated from the annotation
from typing import TYPE_CHECKING, Any, Literal

from exporter.config.options import option

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_ADDRESS = "127.0.0.1:10900"
Part = Literal["metrics", "api", "webhook", "page"]
PARTS: tuple[Part, ...] = ("metrics", "api", "webhook", "page")

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%A-Za-z]+\]|[A-Za-z0-9._-]*):(?P<port>[0-9]{1,5})", re.ASCII)
_HIGHEST_PORT = 65535


def split_address(address: str) -> tuple[str | None, int]:
    """Return host and port of `host:port`, `:port` or `[::1]:port`; the host is None for every interface.

    Port 0 lets the system choose. ValueError holds what was wanted.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        raise ValueError("wanted host:port, :port or [address]:port with a port from 0 to 65535")
    return found["host"].strip("[]") or None, int(found["port"])


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
        help="What is served here: metrics (/metrics), api (/-/reload), webhook, page (/).",
        example=["metrics"],
    )
    web_config: Path | None = option(
        None,
        help="A web configuration file in exporter-toolkit's format: TLS, client certificates, users, headers.",
        example="web-config.yml",
    )

    def problems(self, configuration: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:  # noqa: ARG002 - the protocol's
        """Yield an address that cannot be listened on, and an empty or doubled `serve`."""
        try:
            split_address(self.address)
        except ValueError as error:
            yield ("address",), f"found {self.address!r}, {error}"
        if not self.serve:
            yield ("serve",), "is empty: name at least one of metrics, api, webhook, page"
        if len(set(self.serve)) < len(self.serve):
            yield ("serve",), "names something twice: name each once"
