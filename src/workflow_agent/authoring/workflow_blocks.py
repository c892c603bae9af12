"""One pipeline several times in one definition: copies of its steps under names of their own.

A copy reads its own steps, and its own value of the inputs that are given for it; all else it shares. Copies run one
after the other. What belongs here: the shape of the result. What does not: which copies there are, and why.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.expression_renaming import rename_in, rename_in_expression
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.workflow import InputSpec, Step, Workflow

__all__ = ["PARTS", "Block", "block_prefix", "with_blocks"]

#: Key of a step in `on_failure` whose list gets the entries of every copy, that which ran last first.
PARTS = "parts"
#: An id has at most 64 characters, and the longest id of a pipeline's step is short.
_PREFIX_LENGTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A copy: what its names begin with, and its own values of inputs that the definition declares."""

    prefix: str
    inputs: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON values


def block_prefix(name: str, taken: Sequence[str] = ()) -> str:
    """Give the beginning of a copy's names after what it is about: ``redis-server`` gives ``redis_server_``."""
    base = "".join(char if char.isalnum() else "_" for char in name.lower())[:_PREFIX_LENGTH]
    base = base if base[:1].isalpha() else f"n{base}"
    prefix, number = f"{base}_", 2
    while prefix in taken:
        prefix, number = f"{base}_{number}_", number + 1
    return prefix


def with_blocks(workflow: Workflow, *, before: Sequence[Block] = (), after: Sequence[Block] = ()) -> Workflow:
    """Put copies of a definition's steps before and after its own steps.

    The steps of `on_failure` are not copied: a list under the key ``parts`` gets what stands in it once more for each
    copy, that which ran last first.

    Raises:
        ValidationError: a copy has a value of an input that the definition does not declare, or a name is double.
    """
    copies = {block.prefix: _names(workflow, block) for block in (*before, *after)}
    inputs = dict(workflow.inputs)
    for block in (*before, *after):
        inputs |= _inputs(workflow, block)
    groups = [_steps(workflow, block, copies) for block in before]
    groups += [[*workflow.steps], *(_steps(workflow, block, copies) for block in after)]
    steps = _chained(groups)
    if len({step.id for step in (*steps, *workflow.on_failure)}) < len(steps) + len(workflow.on_failure):
        raise ValidationError(f"the copies of `{workflow.name}` have names of other steps")
    order = [*(copies[block.prefix] for block in before), {}, *(copies[block.prefix] for block in after)]
    recovery = tuple(replace(step, with_=_all_parts(step.with_, order[::-1])) for step in workflow.on_failure)
    return replace(workflow, steps=tuple(steps), on_failure=recovery, inputs=inputs)


def _names(workflow: Workflow, block: Block) -> dict[tuple[str, str], str]:
    names = {("steps", step.id): block.prefix + step.id for step in workflow.steps}
    return names | {("inputs", name): block.prefix + name for name in block.inputs}


def _inputs(workflow: Workflow, block: Block) -> dict[str, InputSpec]:
    unknown = sorted(name for name in block.inputs if name not in workflow.inputs)
    if unknown:
        raise ValidationError(f"`{workflow.name}` has no input `{unknown[0]}`")
    return {
        block.prefix + name: replace(workflow.inputs[name], required=False, default=value)
        for name, value in block.inputs.items()
    }


def _steps(workflow: Workflow, block: Block, copies: Mapping[str, Mapping[tuple[str, str], str]]) -> list[Step]:
    names = copies[block.prefix]
    return [
        replace(
            step,
            id=block.prefix + step.id,
            needs=tuple(block.prefix + need for need in step.needs),
            when=None if step.when is None else rename_in_expression(step.when, names),
            with_=rename_in(dict(step.with_), names),
        )
        for step in workflow.steps
    ]


def _chained(groups: Sequence[Sequence[Step]]) -> list[Step]:
    """Let the first steps of each copy need the last ones of the copy before it."""
    steps: list[Step] = []
    last: tuple[str, ...] = ()
    for group in groups:
        steps += [replace(step, needs=last) if not (step.needs or step.always) else step for step in group]
        needed = {need for step in group for need in step.needs}
        last = tuple(step.id for step in group if not step.always and step.id not in needed)
    return steps


def _all_parts(
    value: Mapping[str, Any],  # Any: JSON in, JSON out
    order: Sequence[Mapping[tuple[str, str], str]],
) -> dict[str, Any]:
    return {
        key: [rename_in(item, names) for names in order for item in part]
        if key == PARTS and isinstance(part, list)
        else part
        for key, part in value.items()
    }
