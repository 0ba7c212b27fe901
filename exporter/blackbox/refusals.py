"""What blackbox_exporter's file may say and Watchbridge does not do: each thing with the sentence that tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exporter.blackbox.leniency import boolean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.config.mistakes import Path

PROBERS: Final = {
    "grpc": "gRPC health checks are not carried over: probe the port with the prober tcp, or an HTTP health page",
    "unix": "unix sockets are not carried over: probe a port with the prober tcp, or run a program with kind: command",
    "websocket": "websockets are not carried over: probe the port with the prober tcp, or an HTTP health page",
}
"""Probers that have no kind of probe here."""

_CEL: Final = "CEL expressions are not carried over: use fail_if_body_matches_regexp or fail_if_body_not_matches_regexp"

_HTTP: Final = {
    "oauth2": "OAuth 2.0 is not carried over: use bearer_token_file, and let something else renew that file",
    "fail_if_body_json_matches_cel": _CEL,
    "fail_if_body_json_not_matches_cel": _CEL,
    "enable_http3": "HTTP/3 is not carried over: probes speak HTTP/1.1",
    "proxy_from_environment": "a proxy of the environment is never used: give proxy_url",
    "no_proxy": "exceptions from a proxy are not carried over: make a module without proxy_url for those targets",
    "proxy_connect_header": "headers for a proxy are not carried over: use a proxy that knows this host by its address",
}


_BROTLI: Final = "brotli is not carried over: use gzip or deflate"


def take(module: dict[str, Any], path: Path, tell: Callable[[Path, str], None]) -> None:
    """Take out of a module what is not done here, and tell each thing that is really asked for."""
    prober = module.get("prober")
    if isinstance(prober, str) and prober in PROBERS:
        tell((*path, "prober"), PROBERS[prober])
    for word in PROBERS:
        module.pop(word, None)
    if isinstance(http := module.get("http"), dict):
        # The part of a prober that is not the module's own is read and not used.
        for steps, sentence in list(_taken(http)):
            if prober == "http":
                tell((*path, "http", *steps), sentence)


def _taken(http: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for word, sentence in _HTTP.items():
        if boolean(http.pop(word, None)):  # false, an empty text and an empty mapping are the defaults
            yield (word,), sentence
    if http.get("compression") == "br":
        del http["compression"]
        yield ("compression",), _BROTLI
