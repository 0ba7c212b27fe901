"""What the configuration says of alerts and of what is done about them."""

from exporter.bridge.options.notify import NotifyOptions, notify_identities, notify_mistakes
from exporter.bridge.options.queues import ActionTiming, QueueOptions, Rate, VerifyTiming, queue_mistakes
from exporter.bridge.options.rules import RuleOptions, RuleStep, mistakes
from exporter.bridge.options.sides import AlertmanagerOptions, BacklogOptions, IncidentsOptions, Login
from exporter.bridge.options.words import BUILT_IN, DEFAULT, NOTIFICATIONS, RESTARTS

__all__ = [
    "BUILT_IN",
    "DEFAULT",
    "NOTIFICATIONS",
    "RESTARTS",
    "ActionTiming",
    "AlertmanagerOptions",
    "BacklogOptions",
    "IncidentsOptions",
    "Login",
    "NotifyOptions",
    "QueueOptions",
    "Rate",
    "RuleOptions",
    "RuleStep",
    "VerifyTiming",
    "mistakes",
    "notify_identities",
    "notify_mistakes",
    "queue_mistakes",
]
