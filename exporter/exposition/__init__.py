"""From samples to the bytes that Prometheus reads: names, lines, forms, compression. No clock, no loop, no I/O."""

from exporter.exposition.answer import Answer
from exporter.exposition.families import checked
from exporter.exposition.gzipped import accepts_gzip, compressed
from exporter.exposition.negotiation import ContentType, Form, negotiate
from exporter.exposition.rendering import Exposition

__all__ = ["Answer", "ContentType", "Exposition", "Form", "accepts_gzip", "checked", "compressed", "negotiate"]
