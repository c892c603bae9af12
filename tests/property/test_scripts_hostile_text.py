"""Any text through lint, render and policy: a verdict, in bounded time, and never another kind of error."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent.model.errors import ParameterError
from workflow_agent.scripts import lint_template, render_script
from workflow_agent.scripts.policy import analyse

PIECES = st.sampled_from(
    [
        "rm -rf ", "/", "$X", '"', "'", "`", "$(", ")", "${", "}", "{", "[[", "]]", "((", "))", "<<EOF\n", "EOF\n",
        "|", "&", ";", "\n", "#", "\\", "eval ", "sh -c ", "curl x", "X=", "X+=", "for i in ", "; do ", "done", "f() ",
        "*", "~", "$1", "$@", "set -- ", "a b", "{{ x }}", "{% if x %}", "{% endif %}", "case ", " in ", "esac", "é",
        "\ue000", "<(", ">", "2>&1", "cd ", "find ", "xargs ", "sudo ", "-exec ", "echo ", "set -x",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=80))


@given(TEXTS)
@settings(deadline=None, max_examples=300)
def test_the_policy_judges_any_text(text: str) -> None:
    before = time.perf_counter()

    for finding in analyse(text):
        assert finding.line >= 1
        assert finding.column >= 1

    assert time.perf_counter() - before < 5


@given(TEXTS)
@settings(deadline=None, max_examples=300)
def test_lint_judges_any_template(text: str) -> None:
    for finding in lint_template(text, "t", declared=["x"]):
        assert finding.line >= 1


@given(st.lists(st.one_of(TEXTS, st.text(max_size=12)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_any_value_is_refused_or_arrives_in_bash_as_it_is(values: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "t.sh.j2").write_text("words=({{ values }} x{{ values[0] }})\nprintf '%s\\0' \"${words[@]}\"\n")
        try:
            script = render_script("t", {"values": values}, search=[folder], integration="i", action="a", version="1")
        except ParameterError:
            return
        done = subprocess.run(
            ["bash", "-c", script.text], cwd=folder, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
        )
        assert done.stdout.decode().split("\0")[:-1] == [*values, f"x{values[0]}"]
        assert [path.name for path in folder.iterdir()] == ["t.sh.j2"]


def test_growth_of_variables_stays_bounded() -> None:
    """Values that refer to each other would be exponential if every combination were followed."""
    lines = [f"V{i}={'$V' + str((i * 7 + 3) % 60)}$V{(i * 11 + 5) % 60}a\nV{i}=b$V{i}" for i in range(60)]
    before = time.perf_counter()

    analyse("\n".join([*lines, *(f'rm -rf "$V{i}" $(echo $V{i})' for i in range(60))]))

    assert time.perf_counter() - before < 10
