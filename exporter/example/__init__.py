"""Example data for the demo: a package database, services in which something always happens, and their alerts."""

from exporter.example.alerts import Alerts
from exporter.example.mending import Mending
from exporter.example.packages import EVERY, Packages
from exporter.example.services import Services

__all__ = ["EVERY", "Alerts", "Mending", "Packages", "Services"]
