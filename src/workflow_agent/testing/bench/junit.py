"""A report of tests as JUnit XML, which continuous integration reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET  # what is written here is ours; nothing is parsed

from workflow_agent._version import __version__
from workflow_agent.testing.bench.outcomes import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.testing.bench.outcomes import BenchOutcome

__all__ = ["junit_text"]

#: What XML cannot hold, escaped or not. Source: XML 1.0, production 2.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_text(name: str, version: str, outcomes: Sequence[BenchOutcome]) -> str:
    """Write the report of one integration: a case for each test, the versions as properties."""
    suite = ET.Element("testsuite", name=name, tests=str(len(outcomes)))
    for key, verdict in (("failures", Verdict.FAILED), ("skipped", Verdict.SKIPPED)):
        suite.set(key, str(sum(outcome.verdict is verdict for outcome in outcomes)))
    suite.set("errors", "0")
    suite.set("time", f"{sum(outcome.seconds for outcome in outcomes):.3f}")
    properties = ET.SubElement(suite, "properties")
    for key, value in (("integration", f"{name} {version}"), ("workflow-agent", __version__)):
        ET.SubElement(properties, "property", name=key, value=value)
    for outcome in outcomes:
        _case(suite, name, outcome)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, name: str, outcome: BenchOutcome) -> None:
    title = " ".join(filter(None, (outcome.kind.value, outcome.case)))
    group = ".".join(filter(None, (name, outcome.target or "paper")))
    case = ET.SubElement(suite, "testcase", classname=group, name=title, time=f"{outcome.seconds:.3f}")
    if outcome.verdict is Verdict.FAILED:
        lines = [*outcome.details, *([f"evidence: {outcome.evidence}"] if outcome.evidence else [])]
        ET.SubElement(case, "failure", message=_clean(outcome.message)).text = _clean("\n".join(lines))
    elif outcome.verdict is Verdict.SKIPPED:
        ET.SubElement(case, "skipped", message=_clean(outcome.message))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
