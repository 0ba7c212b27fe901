"""What each listener answers: a path that it does not serve does not exist there."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.web import probe, webhook
from exporter.web.auth import Users
from exporter.web.health import HealthPages
from exporter.web.limits import BODY_LIMIT, Bodies
from exporter.web.logging_limit import Limited
from exporter.web.metrics import DEFAULT_TIMEOUT, OFFSET, Metrics
from exporter.web.middleware import DELIVERY, admitting, answering, counting, dressing, guard, with_body
from exporter.web.page import STATIC, Page
from exporter.web.reload import Reload

if TYPE_CHECKING:
    from exporter.web.access import WatchedAccess
    from exporter.web.options import ListenerOptions
    from exporter.web.services import Services

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What all listeners have in common: the path of the metrics, how long a scrape may take, the room for bodies."""

    telemetry_path: str = "/metrics"
    scrape_timeout: float = DEFAULT_TIMEOUT
    scrape_offset: float = OFFSET
    bodies: Bodies = field(default_factory=Bodies)


def application(options: ListenerOptions, services: Services, access: WatchedAccess, served: Served) -> web.Application:
    """Return the application of one listener."""
    failures, users, clock = Limited(logger, services.clock), Users(), services.clock
    middlewares = [answering(failures, clock), guard, admitting(access, users, clock), with_body]
    if "webhook" in options.serve:
        middlewares.insert(0, counting(services.count_delivery))
    app = web.Application(middlewares=middlewares, client_max_size=BODY_LIMIT)
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
    if "webhook" in options.serve:
        hook = webhook.Webhook(services, access, users, served.bodies)
        app.router.add_post(webhook.PATH, hook.post, name=DELIVERY, expect_handler=webhook.expect)
    if "page" in options.serve:
        page = Page(services, served.telemetry_path if "metrics" in options.serve else None)
        app.router.add_get("/", page.get)
        for path in STATIC:
            app.router.add_get(path, page.static)
    return app
