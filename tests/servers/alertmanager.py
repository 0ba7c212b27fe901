"""A real Alertmanager, alone or as one of a pair, and the questions tests ask it."""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import signal
import urllib.parse
from typing import TYPE_CHECKING, Any

from servers.programs import HOST, START_SECONDS, Child, ServerError, find, free_port, short_folder, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ANSWER_SECONDS = 10.0
STARTS = 3
"""How often a start is tried: another process may take a free port before Alertmanager does."""

SILENT: dict[str, Any] = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
"""A configuration that takes alerts and tells nobody."""


def webhook(url: str, *, token: str | None = None, **settings: Any) -> dict[str, Any]:
    """Return a configuration that sends every alert to a webhook at once, each alert in a group of its own.

    `settings` replace keys of the route, such as `group_by`, `group_wait`, `group_interval` or `repeat_interval`.
    """
    route = {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    hook: dict[str, Any] = {"url": url, "send_resolved": True}
    if token is not None:
        hook["http_config"] = {"authorization": {"credentials": token}}
    return {"route": route | settings, "receivers": [{"name": "hook", "webhook_configs": [hook]}]}


class Alertmanager:
    """A started Alertmanager with its data in `folder`. `cluster` is the port at which others find it, or None."""

    def __init__(
        self,
        folder: Path,
        config: str | Mapping[str, Any] = SILENT,
        *,
        clustered: bool = False,
        peers: tuple[int, ...] = (),
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self._peers = peers
        self._arguments = arguments
        self._clustered = clustered or bool(peers)
        self.configure(config)
        self.port = 0
        self.cluster: int | None = None
        self._start_somewhere()

    def _start_somewhere(self) -> None:
        for tried in range(STARTS):
            self.port = free_port()
            self.cluster = free_port() if self._clustered else None
            try:
                self.start()
            except ServerError as error:
                if "address already in use" not in str(error) or tried == STARTS - 1:
                    raise
            else:
                return

    def configure(self, config: str | Mapping[str, Any]) -> None:
        """Write the configuration (YAML text, or the object it means); one that runs takes it by `reload()`."""
        # JSON is YAML, and quotes everything.
        text = config if isinstance(config, str) else json.dumps(config)
        (self.folder / "alertmanager.yml").write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start, again on the same ports with what it remembers, and wait until it is ready."""
        cluster = "" if self.cluster is None else f"{HOST}:{self.cluster}"
        argv = [
            find("prometheus-alertmanager", "Alertmanager 0.25 or newer"),
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
            f"--cluster.listen-address={cluster}",
            "--log.level=info",
            *(f"--cluster.peer={HOST}:{peer}" for peer in self._peers),
            # A pair of the same machine needs no seconds to agree.
            *(("--cluster.settle-timeout=5s", "--cluster.gossip-interval=50ms") if cluster else ()),
            *self._arguments,
        ]
        self._child = Child(argv, self.folder / "log")
        self._child.wait_ready(self._ready)

    @property
    def url(self) -> str:
        """Return the URL without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._child.pid

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body of an answer; OSError where there is none."""
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)) as connection:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {} if data is None else {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _ready(self) -> bool:
        try:
            return self.ask("GET", "/-/ready")[0] == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def _wanted(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.ask(method, path, body)
        if status != http.HTTPStatus.OK:
            raise ServerError(f"Alertmanager answers {status}: {answer.decode(errors='replace')}\n{self.log()[-2000:]}")
        return json.loads(answer) if answer.strip() else None

    def get(self, path: str, **parameters: str) -> Any:
        """Return an answer of the HTTP API (`/api/v2/alerts`); ServerError with its sentence when it refuses."""
        return self._wanted("GET", f"{path}?{urllib.parse.urlencode(parameters)}")

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that have not ended, silenced ones too."""
        return list(self.get("/api/v2/alerts"))

    def silences(self) -> list[dict[str, Any]]:
        """Return the silences, ended ones too."""
        return list(self.get("/api/v2/silences"))

    def peers(self) -> int:
        """Return how many members its cluster has, itself among them; 0 without one."""
        return len(self.get("/api/v2/status")["cluster"].get("peers") or ())

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Post alerts as Prometheus does: each `{"labels": {…}, "annotations": {…}, "startsAt": …, "endsAt": …}`."""
        self._wanted("POST", "/api/v2/alerts", list(alerts))

    def fire(self, *, annotations: Mapping[str, str] | None = None, **labels: str) -> None:
        """Post one alert with these labels; it fires until five minutes after the last time."""
        self.post({"labels": labels, "annotations": annotations or {}})

    def reload(self) -> None:
        """Take the configuration as it is now; ServerError where it is refused."""
        self._wanted("POST", "/-/reload")

    def log(self) -> str:
        """Return what it has logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Stop; what it knows stays in the folder."""
        self._child.end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill (SIGKILL)."""
        self._child.end(signal.SIGKILL)


@contextlib.contextmanager
def alertmanager(folder: Path, config: str | Mapping[str, Any] = SILENT, **settings: Any) -> Iterator[Alertmanager]:
    """Give one Alertmanager that keeps its files in `folder`, alone unless `settings` say otherwise."""
    server = Alertmanager(folder, config, **settings)
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def alertmanager_pair(
    config: str | Mapping[str, Any] | tuple[str | Mapping[str, Any], str | Mapping[str, Any]] = SILENT,
    **settings: Any,
) -> Iterator[tuple[Alertmanager, Alertmanager]]:
    """Give two Alertmanagers that know of each other, as a pair for high availability; both have the configuration.

    A tuple of two gives each its own, for example a webhook through a proxy of its own.
    """
    configs = config if isinstance(config, tuple) else (config, config)
    with contextlib.ExitStack() as ends:
        pair: list[Alertmanager] = []
        for one in configs:
            folder = ends.enter_context(short_folder())
            known = tuple(other.cluster for other in pair if other.cluster is not None)
            server = Alertmanager(folder, one, clustered=True, peers=known, **settings)
            ends.callback(server.kill)
            pair.append(server)
        until(lambda: all(one.peers() == len(pair) for one in pair), START_SECONDS, "the pair knowing of each other")
        yield pair[0], pair[1]
