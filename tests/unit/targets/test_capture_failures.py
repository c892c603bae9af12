"""Where a script failed, from what bash noted and what shells say themselves."""

from __future__ import annotations

import pytest

from workflow_agent.model.errors import ScriptFailedError
from workflow_agent.model.system import Provenance, Script
from workflow_agent.targets.capture import OutputLines, failed_line, require_success, script_path, traces_failures

OWN = "/run/workflow-agent/own/a.sh"


def script(name: str = "a.sh", integration: str | None = None, interpreter: str = "/bin/sh", *options: str) -> Script:
    provenance = Provenance(integration=integration, action="apply", version="", template=name, template_hash="")
    return Script(text="1\n2\n3\n", hash="", provenance=provenance, interpreter=interpreter, options=options)


@pytest.mark.parametrize(
    ("noted", "tail", "line"),
    [
        ("1 3\n", [], 3),
        ("2 3\n", [], None),
        ("1 9\n", [], None),
        ("1 0\n", [], None),
        ("1 x\n", [], None),
        ("", [], None),
        ("", [f"{OWN}: 2: foo: not found"], 2),
        ("", [f"{OWN}: line 1: foo: command not found", f"{OWN}: line 3: x: unbound variable", "bye"], 3),
        ("", [f"{OWN}: line 77: foo"], None),
        ("", [f"  {OWN}: line 2: foo", "/run/workflow-agent/script: line 2: foo"], None),
        ("127 1\n", [f"{OWN}: line 3: foo"], 3),
    ],
)
def test_the_line_is_the_one_that_ended_it_or_that_a_shell_named_last(
    noted: str, tail: list[str], line: int | None
) -> None:
    assert failed_line(script(), 1, noted, tail) == line


def test_a_persons_own_script_lies_under_its_name_and_no_name_leads_elsewhere() -> None:
    assert script_path(script()) == OWN
    for name in ("../x", "a b", ".", "..", "-x", ""):
        assert script_path(script(name)) == "/run/workflow-agent/script"
    assert script_path(script("apt/install", "nginx")) == "/run/workflow-agent/script"


def test_only_bash_notes_lines() -> None:
    assert traces_failures(script("a", None, "/bin/bash", "-eu"))
    assert traces_failures(script("a", None, "/usr/bin/env", "bash"))
    assert not traces_failures(script("a", None, "/usr/bin/env", "python3"))
    assert not traces_failures(script("a", None, "/bin/dash"))


def test_a_failure_has_exit_code_line_and_last_words() -> None:
    lines = OutputLines(lambda _: None)
    lines.feed(b"one\ntwo\n")

    require_success(0, lines, 3)
    with pytest.raises(ScriptFailedError, match="exit code 4") as caught:
        require_success(4, lines, 3)

    assert caught.value.details == {"exit_code": 4, "line": 3, "tail": ["one", "two"]}
    assert caught.value.cause == "two"
