"""Frozen data, ports and errors. Imports nothing of ours.

errors · identity · status · message · workflow · event · system · expression · ports
"""

from __future__ import annotations
