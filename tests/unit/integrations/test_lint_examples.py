"""Every lint rule has a good and a bad example; `bad.txt` is all that lint says about the bad one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workflow_agent.integrations import lint, load_manifest, readme
from workflow_agent.integrations.linting import RULES, LintFinding
from workflow_agent.model.errors import ManifestError, NotFoundError
from workflow_agent.model.system import Severity

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"


def _folder(rule: str, kind: str, tmp_path: Path) -> Path:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLES / rule / kind, folder)
    if (rule, kind) != ("readme-missing", "bad") and not (folder / "README.md").exists():
        try:
            (folder / "README.md").write_text(readme(load_manifest(folder)), encoding="utf-8")
        except ManifestError:
            assert kind == "bad"
    return folder


def _line(finding: LintFinding) -> str:
    place = finding.where.rsplit("/", 1)[1]
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{place} {finding.severity} {finding.code} {finding.key}: {finding.message}{hint}\n"


def test_every_rule_has_an_example() -> None:
    assert sorted(RULES) == sorted(entry.name for entry in EXAMPLES.iterdir())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_good_examples_are_clean(rule: str, tmp_path: Path) -> None:
    assert lint(_folder(rule, "good", tmp_path)) == []


@pytest.mark.parametrize("rule", sorted(RULES))
def test_bad_examples_are_found(rule: str, tmp_path: Path) -> None:
    findings = lint(_folder(rule, "bad", tmp_path))

    assert (EXAMPLES / rule / "bad.txt").read_text(encoding="utf-8") == "".join(map(_line, findings))
    assert {rule} == {finding.code for finding in findings}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_errors_refuse_to_load_or_stop_an_author_and_warnings_do_not(rule: str, tmp_path: Path) -> None:
    folder = _folder(rule, "bad", tmp_path)

    if RULES[rule] is Severity.WARNING:
        assert load_manifest(folder).name == "example"
    elif rule not in {"secret-default", "free-text", "template-missing", "hook"}:
        with pytest.raises(ManifestError) as caught:
            load_manifest(folder)
        assert rule in {error["code"] for error in caught.value.details["errors"]}


def test_a_folder_without_a_manifest_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        lint(tmp_path)
