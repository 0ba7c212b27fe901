"""Works off the backlog: claim, gate, act, verify, record."""

from exporter.worker.by_hand import Processed, process_once
from exporter.worker.worker import Worker

__all__ = ["Processed", "Worker", "process_once"]
