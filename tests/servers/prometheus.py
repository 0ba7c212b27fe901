"""A real Prometheus that scrapes every second, and the questions tests ask it."""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import signal
import urllib.parse
from typing import TYPE_CHECKING, Any

from servers.programs import HOST, Child, ServerError, find, free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

ANSWER_SECONDS = 10.0


class Prometheus:
    """A started Prometheus with its data in `folder`; it tells `alertmanagers` (their URLs) of alerts."""

    def __init__(
        self,
        folder: Path,
        scrape_configs: Sequence[Mapping[str, Any]],
        rule_files: Sequence[Path],
        alertmanagers: Sequence[str] = (),
        arguments: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        # JSON is YAML, and quotes everything.
        (folder / "prometheus.yml").write_text(
            json.dumps(
                {
                    "global": every,
                    "rule_files": [str(path) for path in rule_files],
                    "scrape_configs": list(scrape_configs),
                    **_alerting(alertmanagers),
                }
            ),
            encoding="utf-8",
        )
        argv = [
            find("prometheus", "Prometheus 2.42 or newer"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
            "--log.level=warn",
            *arguments,
        ]
        self._child = Child(argv, folder / "log")
        self._child.wait_ready(self._ready)

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._child.pid

    def _answer(self, path: str) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _ready(self) -> bool:
        try:
            return self._answer("/-/ready")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer of the HTTP API; ServerError with Prometheus' sentence when it refuses."""
        status, body = self._answer(f"{path}?{urllib.parse.urlencode(parameters)}")
        if status != http.HTTPStatus.OK:
            raise ServerError(f"Prometheus answers {status}: {body.decode()}")
        return json.loads(body)["data"]

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Return the instant vector (or scalar) of an expression: `[{"metric": {…}, "value": [time, "text"]}]`."""
        data = self.get("/api/v1/query", query=promql)
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else data["result"]

    def value(self, promql: str) -> float | None:
        """Return the only value of an expression, None where there is none; ServerError where there are several."""
        found = self.query(promql)
        if len(found) > 1:
            raise ServerError(f"{promql} gives {len(found)} series: {found}")
        return float(found[0]["value"][1]) if found else None

    def values(self, promql: str, label: str) -> dict[str, float]:
        """Return the values of an expression by one of their labels."""
        return {row["metric"].get(label, ""): float(row["value"][1]) for row in self.query(promql)}

    def wait_for(
        self, promql: str, accept: Callable[[list[dict[str, Any]]], bool] = bool, seconds: float = 30
    ) -> list[dict[str, Any]]:
        """Ask until `accept` likes the rows (by default: until there are any) and return them."""
        last: list[dict[str, Any]] = []

        def probe() -> tuple[list[dict[str, Any]]] | None:
            last[:] = self.query(promql)
            return (last,) if accept(last) else None

        try:
            return until(probe, seconds, promql)[0]
        except ServerError as error:
            raise ServerError(f"{error} Last rows: {last}; targets: {self.targets()}") from error

    def targets(self) -> list[dict[str, Any]]:
        """Return the active targets, each with `health`, `lastError`, `scrapeUrl`, `labels`."""
        return list(self.get("/api/v1/targets", state="active")["activeTargets"])

    def stop(self) -> None:
        """Stop; what it scraped stays in the folder."""
        self._child.end(signal.SIGTERM)


def _alerting(urls: Sequence[str]) -> dict[str, Any]:
    """Return the part of the configuration that says which Alertmanagers are told of alerts."""
    if not urls:
        return {}
    targets = [urllib.parse.urlsplit(url).netloc for url in urls]
    return {"alerting": {"alertmanagers": [{"static_configs": [{"targets": targets}]}]}}


def scrape(*urls: str, job: str = "watchbridge", **settings: Any) -> dict[str, Any]:
    """Return the scrape configuration of exporters by the URL of their metrics (or their base URL)."""
    parts = [urllib.parse.urlsplit(url) for url in urls]
    return {
        "job_name": job,
        "scheme": parts[0].scheme,
        "metrics_path": parts[0].path.rstrip("/") or "/metrics",
        "static_configs": [{"targets": [part.netloc for part in parts]}],
        **settings,
    }
