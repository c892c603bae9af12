"""The corpus: every dangerous script refused at the right line, no harmless one, in the strict form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workflow_agent.integrations import Registry, builtin_folder, load_folder
from workflow_agent.model.errors import ScriptRefusedError
from workflow_agent.model.system import Finding, Severity
from workflow_agent.scripts import refuse_on_errors, validate_script
from workflow_agent.scripts.policy import RULES, analyse
from workflow_agent.testing.bench.render_cases import RenderCase, rendered

CORPUS = Path(__file__).parents[2] / "corpus"
DANGEROUS = sorted((CORPUS / "dangerous").glob("*.sh"))
HARMLESS = sorted((CORPUS / "harmless").glob("*.sh"))
_EXPECTED = re.compile(r"^# expect: (\S+) at line (\d+)$", re.MULTILINE)


def header(text: str, key: str) -> str:
    """Give a line of a script's header, without its key."""
    found = re.search(rf"^# {key}: (.+)$", text, re.MULTILINE)
    return found[1] if found else ""


def strictly(path: Path) -> list[Finding]:
    """Validate as for a script that nothing takes back."""
    text = path.read_text(encoding="utf-8")
    declared = header(text, "declares").split() or None
    return validate_script(text, inside_transaction=False, declared_paths=declared)


@pytest.mark.parametrize("path", DANGEROUS, ids=lambda path: path.stem)
def test_every_dangerous_script_is_refused_for_the_right_reason_at_the_right_line(path: Path) -> None:
    expected = {(rule, int(line)) for rule, line in _EXPECTED.findall(path.read_text(encoding="utf-8"))}

    findings = strictly(path)

    assert expected
    assert expected <= {(finding.rule, finding.line) for finding in findings}
    with pytest.raises(ScriptRefusedError):
        refuse_on_errors(findings)


@pytest.mark.parametrize("path", HARMLESS, ids=lambda path: path.stem)
def test_no_harmless_script_is_refused(path: Path) -> None:
    findings = strictly(path)

    refuse_on_errors(findings)
    assert [finding for finding in findings if finding.source == "policy"] == []


@pytest.mark.parametrize("name", Registry([builtin_folder()]).names())
def test_no_script_of_a_shipped_integration_is_refused(name: str) -> None:
    manifest = load_folder(builtin_folder() / name)
    sums = {"sha256": "0" * 64} if "sha256" in manifest.parameters else {}

    texts = [rendered(manifest, RenderCase(action=action, parameters=sums)) for action in manifest.actions]

    assert len(texts) == len(manifest.actions) >= 2  # each has passed the validator, or this had raised


def test_the_corpus_is_large_and_each_harmless_script_has_a_dangerous_one_that_it_looks_like() -> None:
    names = {path.stem for path in DANGEROUS}

    assert len(DANGEROUS) >= 60
    assert len(HARMLESS) >= 60
    for path in (*DANGEROUS, *HARMLESS):
        assert header(path.read_text(encoding="utf-8"), "shows"), path.name
    assert {header(path.read_text(encoding="utf-8"), "looks like") for path in HARMLESS} <= names


def test_every_rule_but_the_one_for_unreadable_text_is_shown_by_the_corpus() -> None:
    shown = {rule for path in DANGEROUS for rule, _ in _EXPECTED.findall(path.read_text(encoding="utf-8"))}

    assert shown == RULES.keys() - {"unparsable"}


def test_inside_a_transaction_only_what_can_be_taken_back_exactly_is_a_warning() -> None:
    softer = {rule.id for rule in RULES.values() if rule.inside is Severity.WARNING}

    assert softer == {
        "world-writable",
        "system-owner",
        "system-closed",
        "traces-wiped",
        "crontab-removed",
        "account-removed",
        "sudoers-unchecked",
        "undeclared-path",
    }
    text = (CORPUS / "dangerous" / "account-removed.sh").read_text(encoding="utf-8")
    assert [finding.severity for finding in analyse(text)] == [Severity.WARNING]
    assert [finding.severity for finding in analyse(text, inside_transaction=False)] == [Severity.ERROR]
