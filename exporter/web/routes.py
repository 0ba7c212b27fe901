"""What each listener answers: a path that it does not serve does not exist there."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.web import probe
from exporter.web.health import HealthPages
from exporter.web.limits import BODY_LIMIT
from exporter.web.logging_limit import Limited
from exporter.web.metrics import DEFAULT_TIMEOUT, OFFSET, Metrics
from exporter.web.middleware import admitting, answering, dressing, guard, with_body
from exporter.web.page import STATIC, Page
from exporter.web.reload import Reload

if TYPE_CHECKING:
    from exporter.web.access import WatchedAccess
    from exporter.web.options import ListenerOptions
    from exporter.web.services import Services

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the configuration says of what is served: the path of the metrics and how long a scrape may take."""

    telemetry_path: str = "/metrics"
    scrape_timeout: float = DEFAULT_TIMEOUT
    scrape_offset: float = OFFSET


def application(options: ListenerOptions, services: Services, access: WatchedAccess, served: Served) -> web.Application:
    """Return the application of one listener."""
    failures = Limited(logger, services.clock)
    app = web.Application(
        middlewares=[answering(failures, services.clock), guard, admitting(access, services.clock), with_body],
        client_max_size=BODY_LIMIT,
    )
    app.on_response_prepare.append(dressing(access))
    health = HealthPages(services)
    app.router.add_get("/-/healthy", health.healthy)
    app.router.add_get("/-/ready", health.ready)
    app.router.add_get("/health", health.health)
    app.router.add_get("/healthz", health.healthz)
    if "metrics" in options.serve:
        metrics = Metrics(services, served.scrape_timeout, served.scrape_offset)
        app.router.add_get(served.telemetry_path, metrics.get)
        app.router.add_get(probe.PATH, probe.Probe(services, served.scrape_offset).get)
    if "api" in options.serve:
        app.router.add_post("/-/reload", Reload(services).post)
    if "page" in options.serve:
        page = Page(services, served.telemetry_path if "metrics" in options.serve else None)
        app.router.add_get("/", page.get)
        for path in STATIC:
            app.router.add_get(path, page.static)
    return app
