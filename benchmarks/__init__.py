"""Measurements that anybody can repeat: ``python -m benchmarks.<name> [--json]``. Figures: ``docs/benchmarks.md``."""

from __future__ import annotations
