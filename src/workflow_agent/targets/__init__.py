"""Transactions on a system: capture, plan, commit, rollback; services; probes.

Names are resolved late: the namespace programs import this package without anything heavy.
"""

from __future__ import annotations
