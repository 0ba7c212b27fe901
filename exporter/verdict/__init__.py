"""What an answer means: up, degraded or down, with the reason. Pure: no clock, no wire."""

from __future__ import annotations

from exporter.verdict.bodies import of_body
from exporter.verdict.judgement import MOST_COMPONENTS, Verdict, of_code, slowed, worse

__all__ = ["MOST_COMPONENTS", "Verdict", "of_body", "of_code", "slowed", "worse"]
