"""What few people write: the rare branches of the forms, of loading and of conditions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workflow_agent import Context, Step, Workflow, WorkflowClient, step, workflow
from workflow_agent.authoring.durability import durability_of
from workflow_agent.authoring.flow import StepSource
from workflow_agent.authoring.flow_source import is_flow_text
from workflow_agent.authoring.parsed import ParsedWorkflows
from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.authoring.sdk.loading import load_file
from workflow_agent.authoring.task_source import spoken
from workflow_agent.authoring.yaml_source import load_yaml
from workflow_agent.model.errors import UsageError, ValidationError

SHIPPED = Path(__file__).parents[3] / "config" / "workflows"


def test_a_mode_that_is_none_is_refused_with_the_near_one() -> None:
    with pytest.raises(ValidationError, match="there is no durability `stric`") as caught:
        durability_of("stric", where="x.yaml:3")

    assert caught.value.where == "x.yaml:3"
    assert "strict" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("tasks: []", True), ("steps: [{name: a}]", True), ("steps: [{id: a}]", False), ("[1, 2]", False)],
)
def test_a_form_is_told_by_its_keys(text: str, is_one: bool) -> None:
    assert is_flow_text(load_yaml(text, source="x.yaml")) is is_one


def test_repeat_says_the_same_as_until() -> None:
    def told(last: Step) -> str:
        return compile_workflow(Workflow("w", steps=[last])).hash

    repeated = Step("a").python("shutil:which").repeat("iteration == 3", 3)
    assert told(repeated) == told(Step("a").python("shutil:which").until("iteration == 3", 3))


def test_what_is_no_task_is_left_to_be_refused() -> None:
    assert spoken("no task") == "no task"


def test_what_stands_for_a_step_has_to_say_which() -> None:
    with pytest.raises(NotImplementedError):
        next(iter(StepSource().flow_steps()))


def test_parsed_definitions_are_written_by_a_command(tmp_path: Path) -> None:
    text = (SHIPPED / "verify.yaml").read_text(encoding="utf-8")
    (tmp_path / "verify.yaml").write_text(text, encoding="utf-8")

    subprocess.run([sys.executable, "-m", "workflow_agent.authoring.parsed", str(tmp_path)], check=True)

    parsed = ParsedWorkflows(tmp_path)
    found = parsed.get(text)
    assert found is not None
    assert parsed.get(text) == found
    assert parsed.get("name: another") is None


_MODULE = """
from workflow_agent import workflow, step

@workflow(name="plain")
class Plain:
    def __init__(self, config=None):
        raise OSError("no such place")

    @step()
    def one(self):
        return 1

@workflow(name="function")
def single():
    return 1
"""


def test_a_configuration_that_a_class_refuses_is_said(tmp_path: Path) -> None:
    path = tmp_path / "refusing_module.py"
    path.write_text(_MODULE, encoding="utf-8")

    with pytest.raises(ValidationError, match="`Plain` refuses the configuration") as caught:
        load_file(f"{path}:Plain", {"a": 1})
    with pytest.raises(UsageError, match="only a workflow class takes a configuration"):
        load_file(f"{path}:single", {"a": 1})

    assert caught.value.cause == "OSError: no such place"


@workflow(name="optional")
class Optional:
    """A condition of a step takes a parameter that has a value of its own."""

    @step()
    def first(self) -> int:
        return 3

    @step(depends_on=["first"], when=lambda first_result, least=2: first_result > least)
    def second(self, ctx: Context) -> str:
        return repr(ctx).split(" in ", maxsplit=1)[0]


async def test_a_condition_may_have_parameters_with_values_of_their_own(tmp_path: Path) -> None:
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as client:
        result = await (await client.run_workflow(Optional())).get_result()

    assert result == "<Context of second"
