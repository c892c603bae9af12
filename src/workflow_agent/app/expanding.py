"""The definition that a run is created with: the catalogue's, with a copy of its steps for each further part.

A workflow that declares the input ``required_by`` is carried out for every requirement first; one that declares
``part`` once for each transaction of the run that it is about. What cannot be expanded stays as it is: its first step
meets the same problem, and says so in a run that history has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import StoreError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.authoring import Block
    from workflow_agent.integrations import Registry
    from workflow_agent.model.ports import History
    from workflow_agent.model.workflow import Workflow

__all__ = ["expanded"]

#: Inputs of a pipeline that are each requirement's own, where the pipeline declares them.
_OWN: Mapping[str, Any] = {"action": "install", "planned": "install", "parameters": {}, "secrets": {}}  # Any: JSON


async def expanded(
    workflow: Workflow, inputs: Mapping[str, Any], registry: Callable[[], Registry], history: History
) -> Workflow:
    """Give the definition that a run with these inputs is to be created with.

    Raises:
        StoreError: history cannot be read.
    """
    try:
        if "required_by" in workflow.inputs and inputs.get("planned") != "uninstall":
            return _with_requirements(workflow, inputs, registry())
        if "part" in workflow.inputs:
            async with history.reading():
                return await _with_parts(workflow, inputs, history)
    except StoreError:
        raise
    except WorkflowAgentError:
        return workflow
    return workflow


def _with_requirements(workflow: Workflow, inputs: Mapping[str, Any], registry: Registry) -> Workflow:
    manifest = registry.brief(str(inputs.get("integration") or ""))
    if not manifest.requires:
        return workflow
    from workflow_agent.authoring import Block, block_prefix, with_blocks  # noqa: PLC0415  # late: few runs need it
    from workflow_agent.integrations import requirements_of  # noqa: PLC0415  # late

    blocks: list[Block] = []
    for requirement in requirements_of(manifest, registry.brief):
        values = {name: value for name, value in _OWN.items() if name in workflow.inputs}
        values |= {"integration": requirement.name, "required_by": list(requirement.required_by)}
        prefix = block_prefix(requirement.name, [block.prefix for block in blocks])
        blocks.append(Block(prefix=prefix, inputs=values))
    return with_blocks(workflow, before=blocks)


async def _with_parts(workflow: Workflow, inputs: Mapping[str, Any], history: History) -> Workflow:
    from workflow_agent.agents.parts import parts_of, source_of  # noqa: PLC0415  # late: few runs need it

    run_id = str(inputs.get("run") or "")
    if not run_id:
        latest = await history.latest_transaction(str(inputs.get("target") or "host"))
        run_id = str(latest["run_id"]) if latest else ""
    source, direction = await source_of(history, await history.run(await history.resolve(run_id)))
    parts = await parts_of(history, source)
    if len(parts) == 1:
        return workflow
    from workflow_agent.authoring import Block, block_prefix, with_blocks  # noqa: PLC0415  # late: few runs need it

    blocks: list[Block] = []
    for number, part in enumerate(parts[1:], start=1):
        prefix = block_prefix(part.integration or f"part-{number}", [block.prefix for block in blocks])
        blocks.append(Block(prefix=prefix, inputs={"part": number}))
    if direction == "redo":
        return with_blocks(workflow, before=blocks[::-1])
    return with_blocks(workflow, after=blocks)
