"""Probes that a request asks for, as blackbox_exporter runs them: `GET /probe`."""

from exporter.ondemand.requests import FAMILIES, OnDemand

__all__ = ["FAMILIES", "OnDemand"]
