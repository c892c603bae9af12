"""A finding in a rendered script names the template's line and the manifest keys whose values are there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import ScriptRefusedError
from workflow_agent.scripts import locate_findings, refuse_on_errors, render_script, validate_script

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workflow_agent.model.system import Finding, Script

INNER = "inner {{ parameters.port }}\nsecond\n"
OUTER = """{# a comment of
two lines -#}
set -e
folder={{ folder }}
{% for package in packages %}
printf '%s\\n' {{ package }} \\
  {{ parameters.port }}
{% endfor %}
{% include "inner" %}
{% set label = parameters.label ~ "-x" %}
{% if label %}
rm -rf "$folder"/{{ label }}
{% endif %}
words=(
{% for package in packages %}
  {{ package }}
{% endfor %}
)
last "${words[@]}"
"""
CONTEXT = {"folder": "/", "packages": ["one", "two"], "parameters": {"port": 1, "label": "a"}}


def render(folder: Path, outer: str = OUTER, context: Mapping[str, object] = CONTEXT) -> Script:
    (folder / "outer.sh.j2").write_text(outer, encoding="utf-8")
    (folder / "inner.sh.j2").write_text(INNER, encoding="utf-8")
    return render_script("outer", context, search=[folder], integration="demo", action="install", version="1")


def at_lines(script: Script) -> list[Finding]:
    """Make a finding of shellcheck's for each line, and locate them."""
    first = validate_script("x=$1\n")[0]
    count = script.text.rstrip("\n").count("\n") + 1
    return locate_findings([replace(first, line=line) for line in range(1, count + 1)], script)


def test_each_line_of_a_script_knows_its_line_in_a_template_and_the_values_in_it(tmp_path: Path) -> None:
    script = render(tmp_path)

    told = [(str(item.origin).removeprefix(f"{tmp_path}/"), item.keys) for item in at_lines(script)]

    packages, port = ("actions.install.with.packages",), ("parameters.port",)
    assert told == [
        ("outer.sh.j2:3", ()),
        ("outer.sh.j2:4", ("actions.install.with.folder",)),
        ("outer.sh.j2:6", packages),
        ("outer.sh.j2:7", port),
        ("outer.sh.j2:6", packages),
        ("outer.sh.j2:7", port),
        ("inner.sh.j2:1", port),
        ("inner.sh.j2:2", ()),
        ("outer.sh.j2:12", ("actions.install.with.folder", "parameters.label")),
        ("outer.sh.j2:14", ()),
        ("outer.sh.j2:16", packages),
        ("outer.sh.j2:16", packages),
        ("outer.sh.j2:18", ()),
        ("outer.sh.j2:19", packages),
    ]


def test_a_refusal_names_the_template_the_key_and_what_would_allow_it(tmp_path: Path) -> None:
    template = 'target={{ parameters.folder }}\ncopy=$target\n\nrm -rf "$copy"\n'
    script = render(tmp_path, template, {"parameters": {"folder": "/etc"}})

    with pytest.raises(ScriptRefusedError) as caught:
        refuse_on_errors(locate_findings(validate_script(script.text), script))

    assert caught.value.where == f"{tmp_path}/outer.sh.j2:4 (script:4:1), from parameters.folder"
    assert "`--allow system-delete:4`" in str(caught.value.hint)
    assert caught.value.details["findings"][0]["keys"] == ["parameters.folder"]


def test_a_script_that_does_not_say_where_it_came_from_keeps_its_own_lines() -> None:
    findings = validate_script("reboot\n")

    with pytest.raises(ScriptRefusedError) as caught:
        refuse_on_errors(findings)
    assert caught.value.where == "script:1:1"


def test_a_finding_is_allowed_by_its_rule_or_by_its_rule_and_line() -> None:
    text = "reboot\ntrue\nreboot\n"

    assert [item.allowed for item in validate_script(text, allow=["power"])] == [True, True]
    assert [item.allowed for item in validate_script(text, allow=["power:3"])] == [False, True]
