"""The policy on example scripts: every danger found, nothing harmless touched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workflow_agent.scripts.policy import RULES, analyse

EXAMPLES = Path(__file__).parents[2] / "examples" / "scripts"


def sections(folder: str) -> list[tuple[str, str]]:
    """Split the files of a folder into (heading, script)."""
    found = []
    for path in sorted((EXAMPLES / folder).glob("*.txt")):
        parts = re.split(r"^### (.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        found += list(zip(parts[::2], parts[1::2], strict=True))
    return found


DANGEROUS = sections("dangerous")
HARMLESS = sections("harmless")


@pytest.mark.parametrize(("heading", "script"), DANGEROUS, ids=[heading for heading, _ in DANGEROUS])
def test_dangers_are_found(heading: str, script: str) -> None:
    expected = set(heading.partition("|")[0].split())

    assert {finding.rule for finding in analyse(script)} == expected


@pytest.mark.parametrize(("heading", "script"), HARMLESS, ids=[heading for heading, _ in HARMLESS])
def test_harmless_scripts_have_no_findings(heading: str, script: str) -> None:
    assert analyse(script, inside_transaction=False) == [], heading


def test_there_are_enough_examples_and_one_for_each_rule() -> None:
    assert len(DANGEROUS) >= 40
    assert len(HARMLESS) >= 40
    shown = {rule for heading, _ in DANGEROUS for rule in heading.partition("|")[0].split()}
    assert shown == RULES.keys() - {"undeclared-path"}
