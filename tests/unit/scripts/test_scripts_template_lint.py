"""Lint of templates: rule, line, and nothing said of what is fine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workflow_agent.model.system import Severity
from workflow_agent.scripts.template_lint import lint_template

SHIPPED = Path(__file__).parents[3] / "templates"


def rules(text: str, declared: list[str] | None = None) -> list[tuple[str, int]]:
    """Give rule and line of each finding."""
    return [(finding.rule, finding.line) for finding in lint_template(text, "t", declared=declared)]


@pytest.mark.parametrize(
    "text",
    [
        "echo {{ x }} 'it''s' \"a $(echo {{ x }}) b\"\n",
        "# it's a comment\necho {{ x }}\n",
        "echo a#b {{ x }}\n",
        "x={{ x }}; cat > {{ x }} <<< {{ x }}\n",
        "cat <<EOF\nfixed 'text'\nEOF\necho {{ x }}\n",
        "cat <<'A' <<-\"B\"\none\nA\ntwo\n\tB\necho {{ x }}\n",
        'echo "${x:-\'}" {{ x }}\n',
        "echo \\' {{ x }} \\\\{{ x }}\n",
        "echo $((1 + 2)) {{ x }}; (( a = 1 )); echo {{ x }}\n",
        "echo `date` {{ x }}\n",
        'echo "a `date` b" {{ x }} "c \\" d" {{ x }}\n',
        "names=({{ x }}) # why\n{% if x %}\necho {{ x }}\n{% endif %}\n",
        "(cd /tmp && ls {{ x }})\n",
        "case $1 in a) echo {{ x }} ;; esac\n",
        '{# it\'s only a note: "{{ y }}" #}\n',
        "{% raw %}{{{% endraw %}\n",
        "declare -r y={{ x }}; export z={{ x }}a\n",
        'for i in {{ x }}; do echo "$i"; done\n',
        "sudo -u {{ x }} env A={{ x }} true\n",
    ],
)
def test_plain_places_are_fine(text: str) -> None:
    assert rules(text, ["x"]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('true\necho "{{ x }}"\n', [("template.misplaced", 2)]),
        ("cat <<E\n\n{{ x }}\nE\n", [("template.misplaced", 3)]),
        ("cat <<E\n{% if x %}\na\n{% endif %}\nE\n", [("template.misplaced", 2), ("template.misplaced", 4)]),
        ("echo {{ x | raw }}\n", [("template.raw", 1)]),
        ("true\n{{ x }} a\n", [("template.code-position", 2)]),
        ("declare {{ x }}=1\n", [("template.code-position", 1)]),
        ("echo {{ x }}\necho {{ y }} {{ y }}\n", [("template.unknown-variable", 2)]),
        ("true\n{% if %}\n", [("template.syntax", 2)]),
        ("{{ x | attr('a') }}\n", [("template.syntax", 1)]),
    ],
)
def test_findings_name_rule_and_line(text: str, expected: list[tuple[str, int]]) -> None:
    assert rules(text, ["x"]) == expected


def test_only_raw_is_a_warning() -> None:
    findings = lint_template("echo {{ x | raw }} '{{ x }}'\n", "some/file")

    assert {finding.rule: finding.severity for finding in findings} == {
        "template.raw": Severity.WARNING,
        "template.misplaced": Severity.ERROR,
    }
    assert {finding.source for finding in findings} == {"some/file"}


def test_unknown_names_are_not_checked_without_a_declaration() -> None:
    assert rules("echo {{ anything }}\n") == []


def test_names_set_by_the_template_itself_are_known() -> None:
    assert rules("{% for a in x %}{% set b = a %}echo {{ b }} {{ loop.index }}\n{% endfor %}", ["x"]) == []


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.sh.j2")), ids=lambda path: path.name)
def test_shipped_templates_are_clean_and_name_what_they_are_given(path: Path) -> None:
    text = path.read_text()
    head = text.partition("#}")[0]
    declared = re.findall(r"^   ([a-z_0-9]+): ", head, re.MULTILINE)

    assert lint_template(text, str(path), declared=declared) == []


def test_a_template_that_is_nested_too_deeply_is_said_so() -> None:
    text = "{% if x %}" * 3000 + "{% endif %}" * 3000

    (finding,) = lint_template(text, "deep")

    assert (finding.rule, finding.message) == ("template.syntax", "the template is nested too deeply")
