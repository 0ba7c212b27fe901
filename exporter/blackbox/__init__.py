"""blackbox_exporter's file of modules, read as our own probes: `probe_modules_file` and `watchbridge import`."""

from exporter.blackbox.known import Known, known, problems
from exporter.blackbox.modules import Modules, load, read, read_text

__all__ = ["Known", "Modules", "known", "load", "problems", "read", "read_text"]
