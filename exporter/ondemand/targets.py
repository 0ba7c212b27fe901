"""Free targets of `/probe`: what their connections may reach, and the names that a request gives them."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

from exporter.guard import host_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.guard import Guard

_HOSTNAME_CHARACTERS: Final = 255
_PATH: Final = re.compile(r"[/?#]")


class GuardedWire:
    """The wire for a free target: each connection is judged by the host that it is made for.

    So a redirect from an allowed name to an address that is not allowed leads nowhere.
    """

    def __init__(self, wire: Any, guard: Guard, proxy: str | None) -> None:
        self._wire = wire
        self._guard = guard
        self._proxy = proxy

    async def call(self, call: Any, conversation: Any, timeout: float) -> Any:
        """Make a call of the wire."""
        return await self._wire.call(dataclasses.replace(call, allows=self._judge(call.host)), conversation, timeout)

    def _judge(self, host: str) -> Callable[[str], bool]:
        if host == self._proxy:
            return self._guard.configured
        return lambda address: self._guard.lets(host, address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)


def proxy_host(options: Any) -> str | None:
    """Return the host of the proxy that a module goes through; None without one."""
    proxy = getattr(options, "proxy", None)
    return host_of(proxy) if proxy else None


def named(kind: str, options: Any, hostname: str) -> Any:
    """Return the options with the name of a virtual host, as blackbox_exporter's `hostname` gives it.

    ValueError says why it cannot be: it is none, or the module names another.
    """
    if len(hostname) > _HOSTNAME_CHARACTERS:
        raise ValueError("the hostname is too long")
    if _PATH.search(hostname):
        raise ValueError("the hostname is more than a host: write a name, and perhaps a port")
    name = host_of(hostname)
    if kind == "http":
        given = {word: value for word, value in options.headers.items() if word.lower() == "host"}
        if any(value != hostname for value in given.values()):
            raise ValueError("the module has a header Host already: leave hostname out, or the header")
        others = {word: value for word, value in options.headers.items() if word not in given}
        return dataclasses.replace(options, headers={**others, "Host": hostname})
    if kind == "tcp" and (options.tls or any(step.starttls for step in options.query_response)):
        return dataclasses.replace(options, tls_config=_server(options.tls_config, name))
    return options


def without_redirects(options: Any) -> Any:
    """Return the options of a module with a proxy for a free target.

    Where a redirect leads, the proxy looks up by itself: nothing could be judged.
    """
    return (
        dataclasses.replace(options, follow_redirects=False) if getattr(options, "follow_redirects", False) else options
    )


def _server(tls: Any, name: str) -> Any:
    from exporter.wire.tls import TlsOptions  # noqa: PLC0415 -- only who names a host needs it

    if tls is not None and tls.server_name:
        return tls
    return dataclasses.replace(tls or TlsOptions(), server_name=name)
