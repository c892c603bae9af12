"""People's workflows as YAML or JSON: the keys of the fluent form, or those of tasks.

::

    name: nightly
    steps:
      - name: fetch
        function: shop.jobs:fetch
      - name: report
        command: ./report
        depends_on: [fetch]

The definitions that ``workflow_source`` reads are the model's own form. Which one a text is, its steps tell: here they
have a `name`, there an `id`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.authoring.builder import Step, Workflow
from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.problem import Problem, refusal
from workflow_agent.authoring.sdk.policies import RetryPolicy
from workflow_agent.authoring.task_source import DEFINED, TASK_KEYS, Tasks, spoken, task_problems
from workflow_agent.authoring.workflow_nesting import Flat, flattened
from workflow_agent.authoring.yaml_source import load_yaml
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.value_types import is_of_type, type_of
from workflow_agent.model.workflow import Durability, InputSpec
from workflow_agent.security.marks import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from workflow_agent.authoring.yaml_source import YamlDocument
    from workflow_agent.model.workflow import Workflow as Definition

__all__ = ["is_flow_text", "load_flow", "read_any"]

_WORKFLOW = {
    "name": "string",
    "id": "string",
    "version": "any",
    "description": "string",
    "inputs": "object",
    "env": "object",
    "timeout": "any",
    "retry": "object",
    "retry_config": "object",
    "error_handling": "string",
    "chain": "boolean",
    "durability": "string",
    "steps": "array",
    "on_failure": "array",
    "tasks": "array",
    "dependencies": "object",
    "agents": "array",
    "tools": "array",
}
#: Keys that the model has under the same names.
_MORE = {"concurrency": "object", "priority": "integer", "schedule": "array", "max_workers": "integer"}
_MORE_OF_STEP = {
    "edges": "object",
    "join": "any",
    "join_until": "string",
    "until": "string",
    "max_iterations": "integer",
    "cancels": "array",
    "enough": "string",
    "rest": "string",
    "grows": "boolean",
    "lock": "string",
    "rate": "object",
    "undo": "object",
    "scope": "string",
    "part": "string",
}
_STEP = {
    "name": "string",
    "description": "string",
    "command": "string",
    "function": "string",
    "image": "string",
    "uses": "string",
    "agent": "string",
    "prompt": "string",
    "with": "object",
    "env": "object",
    "credentials": "array",
    "dir": "string",
    "depends_on": "array",
    "when": "string",
    "guarded": "boolean",
    "timeout": "any",
    "retry": "object",
    "on_error": "string",
    "always_run": "boolean",
    "parallel": "boolean",
    "items": "any",
    "dynamic": "boolean",
    "reduce": "boolean",
    "max_workers": "integer",
    "pure": "boolean",
}
_RETRY = {
    "max_attempts": "integer",
    "backoff": "string",
    "initial_delay": "any",
    "max_delay": "any",
    "factor": "number",
}
_INPUT = {"type": "string", "required": "boolean", "default": "any", "description": "string"}
_ACTIONS: Final = ("command", "function", "image", "uses", "agent")
_ON_ERROR = ("fail", "continue")
_DURABILITY = tuple(mode.value for mode in Durability)
_ERROR_HANDLING = ("fail", "continue", "compensate")


def is_flow_text(document: YamlDocument) -> bool:
    """Say whether a text has the keys of this form; what is neither is left to the model's form to refuse."""
    data = document.data
    if not isinstance(data, dict):
        return False
    if "tasks" in data:
        return True
    steps = data.get("steps")
    return isinstance(steps, list) and any(isinstance(step, dict) and "id" not in step for step in steps)


def read_any(text: str, *, source: str) -> Definition:
    """Read a workflow of either form; raises ValidationError with ``file:line:column``."""
    from workflow_agent.authoring.workflow_source import load_workflow  # noqa: PLC0415  # late: pydantic

    document = load_yaml(text, source=source)
    if is_flow_text(document):
        return _compiled(document)
    return load_workflow(text, source=source)


def load_flow(text: str, *, source: str) -> Definition:
    """Read a workflow of this form.

    Raises:
        ValidationError: `where` is ``file:line:column`` of the first problem; ``details.problems`` has all that
            could be seen.
    """
    return _compiled(load_yaml(text, source=source))


def _compiled(document: YamlDocument) -> Definition:
    data = document.data
    if not isinstance(data, dict):
        raise refusal(document, [Problem((), "a workflow is a mapping with `name` and `steps`")])
    flat = flattened(data, "name")
    reading = _Reading(document, flat)
    problems = [*flat.problems, *flat.placed(reading.problems(flat.data))]
    if problems:
        raise refusal(document, problems)
    made = reading.workflow(flat.data)
    try:
        return made.compile()
    except ValidationError as error:
        raise reading.placed(error) from None


class _Reading:
    """One text on its way: the first problem of each value is kept with its place."""

    def __init__(self, document: YamlDocument, flat: Flat) -> None:
        self._document = document
        self._flat = flat
        self._ways: dict[str, tuple[str | int, ...]] = {}
        declared = flat.data.get("agents")
        found = declared if isinstance(declared, list) else ()
        self._agents = {str(each["id"]): each for each in found if isinstance(each, dict) and "id" in each}

    # -- shape -------------------------------------------------------------------------------------------------------

    def problems(self, data: Mapping[str, Any]) -> Iterator[Problem]:
        yield from _keys(data, _WORKFLOW | _MORE, ())
        if "name" not in data and "id" not in data:
            yield Problem((), "the key `name` is missing")
        groups = ("tasks" if "tasks" in data else "steps", "on_failure")
        if not data.get(groups[0]):
            yield Problem((groups[0],) if groups[0] in data else (), f"there are no {groups[0]}")
        for group in groups:
            found = data.get(group)
            for index, step in enumerate(found if isinstance(found, list) else ()):
                yield from self._step_problems(step, (group, index))
        for key, words in (("durability", _DURABILITY), ("error_handling", _ERROR_HANDLING)):
            if isinstance(data.get(key), str) and data[key] not in words:
                yield Problem((key,), f"must be one of {', '.join(words)}")
        yield from self._nested_problems(data)
        if "agents" in data or "tools" in data:
            from workflow_agent.authoring.agent_parts import part_problems  # noqa: PLC0415  # late: few texts have any

            yield from part_problems(data)

    @staticmethod
    def _nested_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
        for key in ("retry", "retry_config"):
            if isinstance(data.get(key), dict):
                yield from _keys(data[key], _RETRY, (key,))
        yield from _input_problems(data.get("inputs"))
        for index, each in enumerate(data["schedule"] if isinstance(data.get("schedule"), list) else ()):
            if not isinstance(each, dict):
                yield Problem(("schedule", index), "must be a mapping")
        for name, wanted in data["dependencies"].items() if isinstance(data.get("dependencies"), dict) else ():
            if not isinstance(wanted, list):
                yield Problem(("dependencies", name), f"must be of type array, not {type_of(wanted)}")

    def _step_problems(self, step: Any, way: tuple[str | int, ...]) -> Iterator[Problem]:
        if not isinstance(step, dict):
            yield Problem(way, "must be a mapping")
            return
        is_task = way[0] == "tasks"
        step = spoken(step) if is_task else step
        wrong = [*_keys(step, TASK_KEYS if is_task else _STEP | _MORE_OF_STEP, way)]
        yield from wrong
        name = "id" if is_task else "name"
        if name not in step:
            yield Problem(way, f"the key `{name}` is missing")
        if isinstance(step.get("retry"), dict):
            yield from _keys(step["retry"], _RETRY, (*way, "retry"))
        if is_task:
            yield from () if wrong else task_problems(step, way)
            return
        actions = [key for key in _ACTIONS if key in step]
        if len(actions) != 1:
            given = "none of them" if not actions else " and ".join(f"`{key}`" for key in actions)
            yield Problem(way, f"a step has one of {', '.join(f'`{key}`' for key in _ACTIONS)}; it has {given}")
        yield from self._agent_problems(step, way)
        if step.get("on_error", "fail") not in _ON_ERROR:
            yield Problem((*way, "on_error"), "must be one of fail, continue")
        if not isinstance(step.get("items", ""), str | list):
            yield Problem((*way, "items"), "must be a list, or an expression that gives one")

    def _agent_problems(self, step: Mapping[str, Any], way: tuple[str | int, ...]) -> Iterator[Problem]:
        if "prompt" in step and "agent" not in step:
            yield Problem((*way, "prompt"), "only a step with `agent` has a `prompt`", at_key=True)
        if "agent" not in step:
            return
        if "prompt" not in step:
            yield Problem(way, "the key `prompt` is missing: what the agent is asked")
        for key in (*DEFINED, "prompt"):
            if key in (step.get("with") or {}):
                yield Problem((*way, "with", key), f"`{key}` does not stand here", "see `agents`, `tools` and `prompt`")
        name = str(step["agent"])
        if name not in self._agents:
            hint = did_you_mean(name, self._agents) or "declare it under `agents`"
            yield Problem((*way, "agent"), f"there is no agent `{name[:64]}`", hint)

    # -- the fluent form ---------------------------------------------------------------------------------------------

    def workflow(self, data: Mapping[str, Any]) -> Workflow:
        made = Workflow(str(data.get("name", data.get("id"))), str(data.get("description", "")))
        if "version" in data:
            made.version(str(data["version"]))
        if data.get("env"):
            made.env(self._texts(data["env"], ("env",)))
        self._said(data, "timeout", (), made.timeout)
        if "durability" in data:
            made.durability(str(data["durability"]))
        for key in ("retry", "retry_config"):
            if key in data:
                made.retry(self._policy(data[key], (key,)))
        if "inputs" in data:
            made.params(**{name: _input(spec) for name, spec in data["inputs"].items()})
        if data.get("chain"):
            made.chain()
        made.more(**{key: data[key] for key in _MORE if key in data})
        for index, step in enumerate(data.get("steps") or ()):
            made.add(self._step(step, self._flat.way(("steps", index))))
        made.on_failure(
            *(self._step(step, ("on_failure", index)) for index, step in enumerate(data.get("on_failure") or ()))
        )
        for step in self._tasks(data):
            made.add(step)
        return made

    def _step(self, said: Mapping[str, Any], way: tuple[str | int, ...]) -> Step:
        step = Step(str(said["name"]), description=str(said.get("description", "")))
        self._ways[step.name] = way
        self._action(step, said, way)
        step.depends(*(str(name) for name in said.get("depends_on", ())))
        if "when" in said:
            step.when(said["when"])
        if said.get("guarded"):
            step.guarded()
        self._said(said, "timeout", way, step.timeout)
        if "retry" in said:
            step.retry(self._policy(said["retry"], (*way, "retry")))
        step.continue_on(said.get("on_error") == "continue")
        if said.get("always_run"):
            step.always()
        if said.get("pure"):
            step.pure()
        self._fan(step, said)
        return step.more(**{key: said[key] for key in _MORE_OF_STEP if key in said})

    def _action(self, step: Step, said: Mapping[str, Any], way: tuple[str | int, ...]) -> None:
        given = dict(said.get("with", {}))
        if "function" in said:
            step.python(str(said["function"]), **given)
        elif "uses" in said:
            step.uses(str(said["uses"]), **given)
        elif "agent" in said:
            self._acting(step, str(said["agent"]), {"prompt": str(said["prompt"]), **given})
        elif "image" in said:
            step.docker(str(said["image"])).args(**given)
        else:
            step.shell(str(said["command"])).args(**given)
        if "env" in said:
            step.env(self._texts(said["env"], (*way, "env")))
        if "credentials" in said:
            step.credentials(*said["credentials"])
        if "dir" in said:
            step.dir(str(said["dir"]))

    def _acting(self, step: Step, agent: str, given: Mapping[str, Any]) -> None:
        from workflow_agent.model.agent_definition import AgentDefinition, ToolDefinition  # noqa: PLC0415  # late: few

        tools = [ToolDefinition.model_validate(each) for each in self._flat.data.get("tools") or ()]
        step.act(AgentDefinition.model_validate(self._agents[agent]), tools=tools, **given)

    @staticmethod
    def _fan(step: Step, said: Mapping[str, Any]) -> None:
        limit = said.get("max_workers")
        if said.get("dynamic"):
            step.dynamic(limit)
        elif said.get("parallel") or "items" in said:
            step.parallel(said.get("items"), limit)
        if said.get("reduce"):
            step.reduce()

    def _texts(self, found: Mapping[str, Any], way: tuple[str | int, ...]) -> dict[str, Any]:
        wrong = [
            Problem((*way, key), "must be a text, or a secret: `{$secret: NAME}`")
            for key, value in found.items()
            if not isinstance(value, str) and not (isinstance(value, dict) and isinstance(value.get(SECRET), str))
        ]
        if wrong:
            raise refusal(self._document, wrong)
        return {str(key): value for key, value in found.items()}

    def _said(
        self, said: Mapping[str, Any], key: str, way: tuple[str | int, ...], take: Callable[[float], object]
    ) -> None:
        if key not in said:
            return
        try:
            take(duration_s(said[key]))
        except ValidationError as error:
            raise refusal(self._document, [Problem((*way, key), error.message, error.hint)]) from None

    def _policy(self, said: Mapping[str, Any], way: tuple[str | int, ...]) -> RetryPolicy:
        try:
            return RetryPolicy(**dict(said))
        except ValidationError as error:
            raise refusal(self._document, [Problem(way, error.message, error.hint)]) from None

    def _tasks(self, data: Mapping[str, Any]) -> list[Step]:
        tasks = Tasks(data, self._agents, self._acting)
        if tasks.problems:
            raise refusal(self._document, tasks.problems)
        self._ways |= {str(task["id"]): ("tasks", index) for index, task in enumerate(data.get("tasks") or ())}
        return tasks.steps()

    # -- places ------------------------------------------------------------------------------------------------------

    def placed(self, error: ValidationError) -> ValidationError:
        """Put lines of the text in the place of names of steps."""
        problems = error.details.get("problems") or [
            {"where": error.where, "message": error.message, "hint": error.hint}
        ]
        found = [
            Problem(self._way(str(each["where"] or "")), str(each["message"]), each["hint"], at_key=True)
            for each in problems
        ]
        return refusal(self._document, found)

    def _way(self, where: str) -> tuple[str | int, ...]:
        name, *rest = where.removeprefix("step ").split(" › ")
        way = self._ways.get(name)
        if way is None:
            return tuple(int(part) if part.isdigit() else part for part in rest) if rest and rest[0] in _MORE else ()
        found = next((at for at, part in enumerate(rest) if part in _MORE_OF_STEP), None)
        if found is not None:
            return (*way, *(int(part) if part.isdigit() else part for part in rest[found:]))
        return (*way, *rest[-1:]) if rest and rest[-1] in {"when", "with"} else way


def _keys(found: Mapping[str, Any], known: Mapping[str, str], way: tuple[str | int, ...]) -> Iterator[Problem]:
    for key, value in found.items():
        if key not in known:
            yield Problem((*way, key), "there is no such key", did_you_mean(key, known), at_key=True)
        elif not is_of_type(value, known[key]):
            yield Problem((*way, key), f"must be of type {known[key]}, not {type_of(value)}")


def _input_problems(inputs: Any) -> Iterator[Problem]:
    for name, spec in (inputs if isinstance(inputs, dict) else {}).items():
        if isinstance(spec, dict):
            yield from _keys(spec, _INPUT, ("inputs", name))


def _input(spec: Any) -> Any:
    """Give a declared input: a mapping with `type`, `required` or `default`, or simply its default value."""
    if isinstance(spec, dict) and spec and set(spec) <= set(_INPUT):
        return InputSpec(**spec)
    return spec
