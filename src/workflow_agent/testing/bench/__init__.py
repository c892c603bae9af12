"""The bench: an integration's tests, on paper and on disposable targets.

Layout, lowest first::

    outcomes        kinds of tests, and what became of one
    archives        archives made from folders of text, for targets to install from
    plan_file       `tests/bench.yaml`: what the targets of an integration need
    worlds          everything of a target that a test must find as it was
    targets         disposable targets, and the command that changes them
    render_cases    kind render · golden: kind plan
    breaking        kind negative: services that are stopped, an author's own ways
    walk            kinds that need a target, in an order in which each leaves it as it was
    suite           all kinds on all targets · junit: their report
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.testing.bench.junit import junit_text
    from workflow_agent.testing.bench.outcomes import BenchOutcome, Kind, Verdict
    from workflow_agent.testing.bench.render_cases import update_cases
    from workflow_agent.testing.bench.suite import Suite, TargetKind

__all__ = ["BenchOutcome", "Kind", "Suite", "TargetKind", "Verdict", "junit_text", "update_cases"]

_HOMES = {
    "Kind": "outcomes",
    "BenchOutcome": "outcomes",
    "Suite": "suite",
    "TargetKind": "suite",
    "Verdict": "outcomes",
    "junit_text": "junit",
    "update_cases": "render_cases",
}


def __getattr__(name: str) -> Any:  # Any: a class or a function, looked up by name
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
