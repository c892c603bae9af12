"""The Python front end: decorators, what a step sees, and policies.

policies · decorators · callables (names of functions) · values (what JSON can say) · context · containers
"""

from __future__ import annotations

__all__: list[str] = []
