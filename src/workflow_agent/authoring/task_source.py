"""Tasks: the other set of keys for workflows in YAML and JSON, and what each is in the fluent form.

::

    tasks:
      - {id: fetch, type: tool, tool_id: shop.jobs:fetch, outputs: {rows: check.rows}}
      - {id: check, type: agent, agent_id: verifier.verify}
      - {id: many, type: condition, condition: steps.fetch.output.value.n > 9, then: [split], else: [load]}
      - {id: split, type: loop, tool_id: shop.jobs:part, items: steps.fetch.output.value.rows}

What belongs here: tasks. What does not: steps (``flow_source``), and what both share (``builder``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from workflow_agent.authoring.fluent_step import Step
from workflow_agent.authoring.problem import Problem
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    Way: TypeAlias = tuple[str | int, ...]

__all__ = ["DEFINED", "TASK_KEYS", "Tasks", "spoken", "task_problems"]

#: Inputs of a step of an agent that its definition gives.
DEFINED: Final = ("agent", "tools")

#: Keys of a task, with their types.
TASK_KEYS: Final[Mapping[str, str]] = {
    "id": "string",
    "type": "string",
    "agent_id": "string",
    "tool_id": "string",
    "inputs": "object",
    "outputs": "object",
    "condition": "string",
    "description": "string",
    "then": "array",
    "else": "array",
    "items": "any",
    "until": "string",
    "max_iterations": "integer",
    "max_workers": "integer",
    "undo": "object",
}
_KINDS: Final = ("agent", "tool", "condition", "loop")
#: Keys of a task that may be null, which says as much as leaving them out.
_NULLABLE: Final = frozenset({"agent_id", "tool_id", "condition"})
_WORKERS: Final = ("tool_id", "agent_id")
_BRANCHES: Final = {"then": "true", "else": "false"}


def spoken(task: Any) -> Any:  # Any: a JSON value
    """Give a task without the keys that say nothing."""
    if not isinstance(task, dict):
        return task
    return {key: value for key, value in task.items() if value is not None or key not in _NULLABLE}


def task_problems(task: Mapping[str, Any], way: Way) -> Iterator[Problem]:
    """Say what is wrong with a task on its own; the types of its keys are known to be good."""
    kind = task.get("type")
    if kind not in _KINDS:
        yield Problem((*way, "type"), f"must be one of {', '.join(_KINDS)}")
        return
    only = {"then": "condition", "else": "condition", "items": "loop", "until": "loop", "max_iterations": "loop"}
    for key, owner in only.items():
        if key in task and kind != owner:
            yield Problem((*way, key), f"only a task of the type {owner} has `{key}`", at_key=True)
    if kind == "condition":
        if "condition" not in task:
            yield Problem(way, "the key `condition` is missing")
        if not (task.get("then") or task.get("else")):
            yield Problem(way, "a condition says what follows: `then`, `else`: lists of tasks")
        return
    given = [key for key in _WORKERS if key in task]
    wanted = [f"{kind}_id"] if kind != "loop" else [*_WORKERS]
    if not [key for key in given if key in wanted]:
        yield Problem(way, f"the key {' or '.join(f'`{key}`' for key in wanted)} is missing")
    elif len(given) > 1:
        yield Problem(way, "a task has `tool_id` or `agent_id`, not both")
    if kind == "loop" and ("items" in task) is ("until" in task):
        yield Problem(way, "a loop has `items` (once for each) or `until` (until that holds)")


class Tasks:
    """The tasks of one text.

    Args:
        data: The workflow, its tasks being good on their own.
        agents: Ids of the agents that the text declares; every other `agent_id` is a verb.
        act: Says of a step which of them works, with which inputs.
    """

    def __init__(
        self, data: Mapping[str, Any], agents: Collection[str], act: Callable[[Step, str, Mapping[str, Any]], None]
    ) -> None:
        self._agents = agents
        self._act = act
        self._tasks: list[Mapping[str, Any]] = [spoken(task) for task in data.get("tasks") or ()]
        self._carry_on = data.get("error_handling") == "continue"
        said = data.get("dependencies") or {}
        self._needs = {str(name): [str(each) for each in wanted] for name, wanted in said.items()}
        self._inputs = {str(task["id"]): dict(task.get("inputs") or {}) for task in self._tasks}
        self._edges: dict[str, dict[str, str]] = {}
        self._kinds = {str(task["id"]): task for task in self._tasks}
        self.problems = [*self._unknown(), *self._wired(), *self._acting()]

    def steps(self) -> list[Step]:
        """Give the steps, in the order of the text."""
        return [self._step(task) for task in self._tasks]

    def _unknown(self) -> Iterator[Problem]:
        for name in self._needs:
            if name not in self._inputs:
                hint = did_you_mean(name, self._inputs)
                yield Problem(("dependencies", name), f"there is no task `{name[:60]}`", hint, at_key=True)

    def _acting(self) -> Iterator[Problem]:
        """Look at the tasks of agents; what others give to their inputs is known."""
        for index, task in enumerate(self._tasks):
            agent = str(task.get("agent_id", ""))
            if agent in self._agents and "prompt" not in self._inputs[str(task["id"])]:
                yield Problem(("tasks", index), "the input `prompt` is missing: what the agent is asked")
            elif agent in self._agents:
                for key in DEFINED:
                    if key in self._inputs[str(task["id"])]:
                        yield Problem(("tasks", index, "inputs", key), f"`{key}` is said under `agents`, not here")
            elif agent and "." not in agent:
                hint = did_you_mean(agent, self._agents) or "declare it under `agents`, or name a verb: `agent.verb`"
                yield Problem(("tasks", index, "agent_id"), f"there is no agent `{agent[:64]}`", hint)

    def _wired(self) -> Iterator[Problem]:
        """Wire outputs to inputs, and conditions to what follows."""
        for index, task in enumerate(self._tasks):
            for output, target in (task.get("outputs") or {}).items():
                problem = self._wire(task, output, str(target))
                if problem is not None:
                    yield Problem(("tasks", index, "outputs", output), *problem)
            for branch, case in _BRANCHES.items():
                for number, name in enumerate(task.get(branch) or ()):
                    if not isinstance(name, str) or name not in self._inputs:
                        hint = did_you_mean(str(name), self._inputs)
                        yield Problem(("tasks", index, branch, number), f"there is no task `{str(name)[:60]}`", hint)
                        continue
                    self._need(name, str(task["id"]))
                    self._edges.setdefault(name, {})[str(task["id"])] = case

    def _wire(self, task: Mapping[str, Any], output: str, target: str) -> tuple[str, str | None] | None:
        to, dot, name = target.partition(".")
        if not dot or to not in self._inputs:
            hint = did_you_mean(to, self._inputs) if dot else "write it as `task.input`"
            return f"there is no task `{to[:60]}` with an input", hint
        part = f".value.{output}" if "tool_id" in task else f".{output}"
        self._inputs[to][name] = f"${{{{ steps.{task['id']}.output{part} }}}}"
        self._need(to, str(task["id"]))
        return None

    def _need(self, name: str, before: str) -> None:
        if before not in self._needs.setdefault(name, []):
            self._needs[name].append(before)

    def _step(self, task: Mapping[str, Any]) -> Step:
        name = str(task["id"])
        step = Step(name, description=str(task.get("description", "")))
        if task["type"] == "condition":
            step.choice({"true": str(task["condition"])}, default="false")
        elif "tool_id" in task:
            step.python(str(task["tool_id"]), **self._inputs[name])
        elif task["agent_id"] in self._agents:
            self._act(step, str(task["agent_id"]), self._inputs[name])
        else:
            step.uses(str(task["agent_id"]), **self._inputs[name])
        step.depends(*self._needs.get(name, ()))
        if task.get("condition") and task["type"] != "condition":
            step.when(str(task["condition"]))
        if "items" in task:
            step.parallel(task["items"], task.get("max_workers"))
        if "until" in task:
            step.until(str(task["until"]), task.get("max_iterations"))
        more = {"edges": self._edges.get(name), "undo": task.get("undo")}
        step.more(**{key: value for key, value in more.items() if value})
        return step.continue_on(self._carry_on)
