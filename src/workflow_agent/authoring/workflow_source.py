"""Workflow definitions as text: YAML or JSON in, YAML out. Reading what was written gives an equal workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.authoring.problem import Problem, refusal, schema_problems
from workflow_agent.authoring.workflow_nesting import flattened
from workflow_agent.authoring.workflow_soundness import soundness
from workflow_agent.authoring.yaml_source import load_yaml, scalar
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.workflow import Step, Workflow

__all__ = ["dump_workflow", "load_workflow", "read_definition"]

_WIDTH = 110


def load_workflow(text: str, *, source: str) -> Workflow:
    """Read one definition.

    Args:
        text: YAML 1.2 or JSON; keys as in ``Step.to_dict``, durations also as text (``90s``, ``10m``).
        source: Name of the file, as errors show it.

    Raises:
        ValidationError: `where` is ``file:line:column`` of the first problem; ``details.problems`` lists all
            that could be seen (each with where, path, message, hint).
    """
    import pydantic  # noqa: PLC0415  # late: 36 ms

    from workflow_agent.authoring.workflow_schema import WorkflowDefinition, keys_at  # noqa: PLC0415  # late

    document = load_yaml(text, source=source)
    if not isinstance(document.data, dict):
        raise refusal(document, [Problem((), "a workflow is a mapping with `name`, `version` and `steps`")])
    flat = flattened(document.data)
    if flat.problems:
        raise refusal(document, flat.problems)
    try:
        workflow = WorkflowDefinition.model_validate(flat.data).build()
    except pydantic.ValidationError as error:
        raise refusal(document, flat.placed(schema_problems(error, keys_at))) from None
    if problems := soundness(workflow):
        raise refusal(document, flat.placed(problems))
    return workflow


def read_definition(data: Mapping[str, Any]) -> Workflow:
    """Read the canonical form that ``Workflow.to_dict`` gives.

    Raises:
        ValidationError: it is none of this release.
    """
    import pydantic  # noqa: PLC0415  # late: 36 ms

    from workflow_agent.authoring.workflow_schema import WorkflowDefinition  # noqa: PLC0415  # late

    try:
        return WorkflowDefinition.model_validate(data).build()
    except pydantic.ValidationError as error:
        raise ValidationError("a kept definition cannot be read", cause=str(error)[:300]) from error


def dump_workflow(workflow: Workflow) -> str:
    """Write a workflow as YAML that :func:`load_workflow` reads back to an equal one."""
    import yaml  # noqa: PLC0415  # late: 16 ms

    class Dumper(yaml.SafeDumper):
        """Quotes what our reader would not take for a text, writes paragraphs as blocks, never aliases."""

        def ignore_aliases(self, _data: object) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else _quotes(value)
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(_ordered(workflow), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def _quotes(value: str) -> str | None:
    """Choose quotes for a text that the 1.1 rules of the writer leave plain but our reader takes for more."""
    try:
        return None if isinstance(scalar(value), str) else '"'
    except ValueError:
        return '"'


def _ordered(workflow: Workflow) -> dict[str, Any]:
    plain = workflow.to_dict()
    result: dict[str, Any] = {key: plain[key] for key in ("schema", "name", "version")}
    if workflow.description:
        result["description"] = workflow.description
    for key in ("timeout_s", "max_workers", "durability", "output"):
        if key in plain:
            result[key] = plain[key]
    if workflow.inputs:
        result["inputs"] = {
            name: plain["inputs"][name] | ({"description": spec.description} if spec.description else {})
            for name, spec in workflow.inputs.items()
        }
    result["steps"] = [_step(step) for step in workflow.steps]
    if workflow.on_failure:
        result["on_failure"] = [_step(step) for step in workflow.on_failure]
    return result | {key: value for key, value in plain.items() if key not in result}


def _step(step: Step) -> dict[str, Any]:
    plain = step.to_dict()
    head = {key: plain.pop(key) for key in ("id", "uses")}
    return head | ({"description": step.description} if step.description else {}) | plain
