"""Every shipped integration lints without a finding; its cases give exactly the script and files beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.integrations import builtin_folder, lint
from workflow_agent.scripts import lint_template
from workflow_agent.testing.bench.render_cases import cases_of, check_case

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = sorted(file.parent for file in builtin_folder().glob("*/integration.yaml"))
CASES = [pytest.param(folder, case, id=f"{folder.name}-{case.stem}") for folder in SHIPPED for case in cases_of(folder)]


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_integration_lints_without_a_finding(folder: Path) -> None:
    templates = sorted((folder / "templates").rglob("*.sh.j2"))

    assert lint(folder) == []
    assert [found for file in templates for found in lint_template(file.read_text(encoding="utf-8"), str(file))] == []


@pytest.mark.parametrize(("folder", "case"), CASES)
def test_a_case_of_a_shipped_integration_gives_what_is_kept(folder: Path, case: Path) -> None:
    check_case(folder, case, update=False)
