"""Policy rules on the shell's syntax tree.

resolving (what a word can be) · unwrapping (commands behind commands) · calls (text to calls) · paths ·
deletes, host, secrets, bombs (matchers) · table (the rules) · analysis (all together)
"""

from __future__ import annotations

from workflow_agent.scripts.policy.analysis import analyse
from workflow_agent.scripts.policy.table import RULES, Rule

__all__ = ["RULES", "Rule", "analyse"]
