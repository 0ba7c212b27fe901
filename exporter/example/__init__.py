"""Example data for the demo: a package database and a few services in which something always happens."""

from exporter.example.packages import EVERY, Packages
from exporter.example.services import Services

__all__ = ["EVERY", "Packages", "Services"]
