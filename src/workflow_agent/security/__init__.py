"""Secrets: values that are never shown, where they come from, what stands for them, and how text is cleared of them.

secret (the type) · sources (``env:``, ``file:``, ``-``) · marks (what stands for a value in definitions and text) ·
fingerprint (equal or not, without the value) · spellings and masker (clearing text) · vault (the values of a process)
"""

from __future__ import annotations

__all__: list[str] = []
