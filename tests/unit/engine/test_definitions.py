from __future__ import annotations

from workflow_agent.engine import definitions
from workflow_agent.engine.definitions import definition_of
from workflow_agent.model.workflow import Step, Workflow


def flow(name: str, description: str = "") -> Workflow:
    return Workflow(name=name, version="1", steps=(Step(id="a", uses="x.go"),), description=description)


def test_equal_workflows_share_one_object_and_their_hash_is_worked_out_once_for_each() -> None:
    first, second = flow("shared"), flow("shared", "told otherwise")

    assert definition_of(first) is definition_of(second)
    assert definition_of(second).workflow is first
    assert definition_of(first).hash == first.hash == definition_of(first).record.data["hash"]


def test_few_are_remembered() -> None:
    for number in range(200):
        assert definition_of(flow(f"w{number}")).workflow.name == f"w{number}"

    assert len(definitions._by_hash) <= 64
