"""blackbox_exporter's file of modules, read as our own probes: `probe_modules_file` and `watchbridge import`.

YAML and JSON Schema are imported where a file is read (`exporter.blackbox.modules`), not where it is asked what is
known without one.
"""

from exporter.blackbox.known import Known, known, problems

__all__ = ["Known", "known", "problems"]
