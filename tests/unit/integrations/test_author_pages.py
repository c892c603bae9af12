"""docs/integrations.md names everything that a manifest, a check, a file of tests and a finding of lint can be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.integrations import manifest as models
from workflow_agent.integrations.checks import CHECK_KINDS, CheckDeclaration
from workflow_agent.integrations.linting import RULES
from workflow_agent.testing.bench.outcomes import Kind
from workflow_agent.testing.bench.plan_file import BenchPlan, Break, Older

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = (Path(__file__).parents[3] / "docs" / "integrations.md").read_text(encoding="utf-8")


def keys_of(model: type[BaseModel]) -> set[str]:
    """Name the keys of a mapping, as people write them."""
    return {field.alias or name for name, field in model.model_fields.items()}


def row(section: str, *words: str) -> str:
    """Give the row of a section's table whose first cell names these words."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = [line for line in text.splitlines() if line.startswith("|")]
    cells = [line for line in found if set(words) <= set(re.findall(r"`([^`]+)`", line.split("|")[1]))]
    assert len(cells) == 1, f"{section}: {len(cells)} rows for {words}"
    return cells[0]


def said(text: str) -> set[str]:
    """Name the words that a text sets apart: `word`, and `word: value`, and keys at the begin of an example's line."""
    return set(re.findall(r"`(\w+)(?:`|: )", text)) | set(re.findall(r"(?m)^ +(\w+):", text))


@pytest.mark.parametrize("kind", sorted(CHECK_KINDS))
def test_every_kind_of_check_stands_there_with_its_keys(kind: str) -> None:
    own = keys_of(CHECK_KINDS[kind]) - keys_of(CheckDeclaration) - {"kind"}

    assert own - said(row("Checks", kind)) == set()


def test_defaults_of_checks_are_those_that_count() -> None:
    for kind, model in CHECK_KINDS.items():
        for name, field in model.model_fields.items():
            key, default = field.alias or name, field.default
            if key in keys_of(CheckDeclaration) or field.is_required() or default is None:
                continue
            shown = str(default).lower() if isinstance(default, bool) else str(default)
            assert f"`{key}` [{shown}]" in row("Checks", kind), f"{kind}: {key} is {shown} without it"


@pytest.mark.parametrize("key", sorted(keys_of(models.Manifest)))
def test_every_key_of_a_manifest_stands_there(key: str) -> None:
    assert row("Keys", key)


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("services", models.ServiceDeclaration),
        ("state_data", models.StateData),
        ("upgrade", models.Upgrade),
        ("discovery", models.Discovery),
        ("platforms", models.Platform),
        ("actions", models.Action),
        ("effects", models.EffectDeclaration),
        ("documentation", models.Documentation),
    ],
)
def test_the_keys_of_its_parts_stand_there(key: str, model: type[BaseModel]) -> None:
    assert keys_of(model) - said(row("Keys", key)) == set()


@pytest.mark.parametrize(
    ("section", "model"),
    [("Files", models.FileDeclaration), ("Parameters", models.Parameter)],
)
def test_the_keys_that_have_a_section_stand_there(section: str, model: type[BaseModel]) -> None:
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]

    assert keys_of(model) - said(text) == set()


@pytest.mark.parametrize("rule", sorted({*RULES, "bench"}))
def test_every_rule_of_lint_stands_there(rule: str) -> None:
    text = PAGE.partition("\n## Lint\n")[2].partition("\n## ")[0]

    assert f"`{rule}`" in text


@pytest.mark.parametrize("model", [BenchPlan, Break, Older])
def test_every_key_of_a_file_of_tests_stands_there(model: type[BaseModel]) -> None:
    text = PAGE.partition("\n## Tests\n")[2].partition("\n## ")[0]

    assert keys_of(model) - said(text) == set()


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_tests_stands_there(kind: Any) -> None:
    assert f"\n| `{kind.value}` | " in PAGE.partition("\n## Tests\n")[2].partition("\n## ")[0]
