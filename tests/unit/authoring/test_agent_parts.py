"""Agents and tools as people declare them: the schema, and what is refused, at its line."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import pytest

from workflow_agent import AgentDefinition, Context, MemoryConfig, Step, ToolDefinition, Workflow, tool_id
from workflow_agent.authoring import dump_workflow, load_workflow
from workflow_agent.authoring.flow_source import load_flow
from workflow_agent.authoring.sdk.tool_schema import described, function_schema
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.json_shape import shape_problems

if TYPE_CHECKING:
    from workflow_agent.model.workflow import Workflow as Definition

WHOLE = """\
name: shop
agents:
  - id: clerk
    name: The clerk
    description: Knows prices.
    llm_backend: default
    model: big
    system_prompt: Be short.
    tools: ["shop.jobs:price", weigh]
    memory_config: {window_size: 4, long_term: true, collection: shop}
    max_iterations: 5
tools:
  - id: weigh
    description: Counts bytes.
    parameters:
      what: {type: string, description: The text.}
      unit: {type: string, enum: [g, kg], default: g}
    command: printf %s "$ARG_WHAT" | wc -c
    timeout: 5s
steps:
  - name: ask
    agent: clerk
    prompt: What does it cost?
    with: {as_json: true}
"""
MODEL_FORM = """\
name: shop
version: "1"
steps:
  - id: ask
    uses: model.act
    with:
      prompt: What does it cost?
      agent: {id: clerk, tools: [weigh]}
      tools: [{id: weigh, command: wc -c}]
"""


def clerk() -> AgentDefinition:
    return AgentDefinition(
        id="clerk",
        name="The clerk",
        description="Knows prices.",
        llm_backend="default",
        model="big",
        system_prompt="Be short.",
        tools=("shop.jobs:price", "weigh"),
        memory_config=MemoryConfig(window_size=4, long_term=True, collection="shop"),
        max_iterations=5,
    )


def weigh() -> ToolDefinition:
    return ToolDefinition(
        id="weigh",
        description="Counts bytes.",
        parameters={
            "what": {"type": "string", "description": "The text."},
            "unit": {"type": "string", "enum": ["g", "kg"], "default": "g"},
        },
        command='printf %s "$ARG_WHAT" | wc -c',
        timeout="5s",
    )


def test_every_field_is_read_and_is_part_of_the_definition() -> None:
    text = load_flow(WHOLE, source="w.yaml")
    made = Workflow("shop").add(Step("ask").act(clerk(), "What does it cost?", [weigh()], as_json=True)).compile()

    assert text.hash == made.hash
    assert text.steps[0].uses == "model.act"
    agent = AgentDefinition.model_validate(text.steps[0].with_["agent"])
    assert agent == clerk()
    assert [field.name for field in dataclasses.fields(agent)] == [
        "id", "name", "description", "llm_backend", "model", "system_prompt", "tools", "memory_config",
        "max_iterations",
    ]  # fmt: skip
    assert agent.max_iterations == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        agent.model = "other"  # type: ignore[misc]


def test_the_models_own_form_is_the_same_definition_too() -> None:
    agent = AgentDefinition(id="clerk", tools=("weigh",))
    step = Step("ask").act(agent, "What does it cost?", [ToolDefinition(id="weigh", command="wc -c")])
    wordy = {
        "agent": {"id": "clerk", "name": "", "tools": ["weigh"], "max_iterations": 10, "memory_config": {}},
        "tools": [{"id": "weigh", "command": "wc -c", "method": "GET"}, {"id": "unused", "command": "true"}],
    }
    forms = [
        Workflow("shop").add(step).compile(),
        load_workflow(MODEL_FORM, source="m.yaml"),
        load_workflow(MODEL_FORM.replace("tools: [weigh]}", "tools: [weigh], max_iterations: 10}"), source="m.yaml"),
        Workflow("shop").add(Step("ask").uses("model.act", prompt="What does it cost?", **wordy)).compile(),
    ]

    assert [form.hash for form in forms] == [forms[0].hash] * 4
    assert load_workflow(dump_workflow(forms[0]), source="d.yaml").hash == forms[0].hash


def test_the_tools_that_were_given_cannot_be_changed_later() -> None:
    given: Any = ["m:f"]
    agent = AgentDefinition(id="a", tools=given)
    given.append("m:g")

    assert agent.tools == ("m:f",)
    assert agent == AgentDefinition(id="a", tools=("m:f",))
    wrong: Any = "weigh"
    result = Workflow("w").add(Step("s").act(AgentDefinition(id="a", tools=wrong), "Do.", [weigh()])).validate()
    assert not result.valid


def test_what_is_left_out_has_its_default() -> None:
    agent = AgentDefinition.model_validate({"id": "a"})

    assert agent == AgentDefinition(id="a", tools=(), memory_config=MemoryConfig(), max_iterations=10)
    assert agent.memory_config == MemoryConfig(window_size=20, long_term=False, collection="")
    assert agent.to_dict() == {"id": "a"}
    assert AgentDefinition.model_json_schema()["required"] == ["id"]


@pytest.mark.parametrize("field", [{"max_iterations": 11}, {"tools": []}, {"model": "x"}, {"name": "x"},
                                   {"memory_config": {"window_size": 5}}])  # fmt: skip
def test_every_change_is_another_definition(field: dict[str, Any]) -> None:
    def with_agent(**more: Any) -> Definition:
        said = {"id": "a", "tools": ["m:f"], **more}
        return Workflow("w").add(Step("s").act(AgentDefinition.model_validate(said), "Do.")).compile()

    assert with_agent().hash != with_agent(**field).hash


def test_a_declared_agent_is_the_agent_of_a_task() -> None:
    tasks = """\
name: shop
agents: [{id: clerk, tools: ["shop.jobs:price"]}]
tasks:
  - {id: fetch, type: tool, tool_id: "shop.jobs:fetch", outputs: {question: ask.prompt}}
  - {id: ask, type: agent, agent_id: clerk, inputs: {max_tokens: 50}}
"""
    steps = load_flow(tasks, source="t.yaml").steps

    assert steps[1].uses == "model.act"
    assert steps[1].needs == ("fetch",)
    assert steps[1].with_ == {
        "agent": {"id": "clerk", "tools": ["shop.jobs:price"]},
        "max_tokens": 50,
        "prompt": "${{ steps.fetch.output.value.question }}",
    }


@pytest.mark.parametrize(
    ("old", "new", "where", "told", "hint"),
    [
        (", weigh]", ", wiegh]", "9:32", "there is no tool `wiegh`", "did you mean `weigh`?"),
        (", weigh]", ', "shop.jobs"]', "9:32", "there is no tool `shop.jobs`", "known are `weigh`"),
        (", weigh]", ', "a:B.c"]', "9:32", "`a:B.c` is no function", "no method"),
        (", weigh]", ', "x:weigh", weigh]', "9:43", "have one name for the model", None),
        ("id: clerk\n", "id: Clerk\n", "3:9", "is no name of an agent", "lower case"),
        ("    model: big", "    modle: big", "7:5", "there is no such key", "did you mean `model`?"),
        ("window_size: 4", "window: 4", "10:21", "there is no such key", "window_size"),
        ("window_size: 4", "window_size: 0", "10:34", "greater than or equal to 1", None),
        ("collection: shop", "collection: a b", "10:66", "a collection is", None),
        ("max_iterations: 5", "max_iterations: many", "11:21", "must be a whole number", None),
        ("max_iterations: 5", "max_iterations: 0", "11:21", "greater than or equal to 1", None),
        ("agent: clerk", "agent: clark", "22:12", "there is no agent `clark`", "did you mean `clerk`?"),
        ("    prompt: What does it cost?\n", "", "21:5", "the key `prompt` is missing", None),
        ("    agent: clerk\n", "    command: x\n", "23:5", "only a step with `agent` has a `prompt`", None),
        ("what: {type: string", "What: {type: string", "16:7", "lower case", None),
        ("what: {type: string", "what: {type: text", "16:20", "`type` must be one of string", None),
        ("what: {type: string", "what: {tpye: x, type: string", "16:14", "there is no such key", "type"),
        ("default: g}", "default: 3}", "17:52", "must be of type string", None),
        ("    command: printf", "    url: printf", "18:10", "an address begins with", None),
        ("    timeout: 5s", "    function: m:f", "13:5", "it has `command` and `function`", None),
        ("timeout: 5s", "timeout: soon", "19:14", "no duration", None),
        ("    timeout: 5s", "    effect: twice", "19:13", "must be one of at_least_once, at_most_once", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_line(old: str, new: str, where: str, told: str, hint: str | None) -> None:
    assert WHOLE.count(old) == 1
    with pytest.raises(ValidationError) as refused:
        load_flow(WHOLE.replace(old, new), source="w.yaml")

    problems = refused.value.details["problems"]
    found = [each for each in problems if told in each["message"]]
    assert [each["where"] for each in found] == [f"w.yaml:{where}"], problems
    if hint is not None:
        assert hint in found[0]["hint"]


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ("{}", "must be of type array"),
        ("[weigh]", "must be a mapping"),
        ("[{id: Weigh, command: x}]", "`Weigh` is no name of a tool"),
        ("[{id: weigh}]", "it has none of them"),
        ("[{id: weigh, function: weigh}]", "`weigh` is no function"),
        ("[{id: weigh, function: 'm:f', parameters: {a: {type: string}}}]", "the parameters of its signature"),
        ("[{id: weigh, command: x, parameters: {a: string}}]", "must be a mapping with `type`"),
        ("[{id: weigh, command: x, parameters: {a: {}}}]", "`type` must be one of string"),
        ("[{id: weigh, command: x, parameters: {a: {type: array, items: string}}}]", "must be a mapping"),
        ("[{id: weigh, command: x, parameters: {a: {type: array, items: {type: text}}}}]", "`items` has a `type`"),
        ("[{id: weigh, command: x, parameters: {a: {type: string, enum: x}}}]", "must be a list"),
        ("[{id: weigh, command: x, parameters: {a: {type: string, required: 3}}}]", "must be a bool"),
        ("[{id: weigh, url: 'https://example.org/x', method: SEND}]", "must be one of GET"),
        ("[{id: weigh, url: 'https://example.org/{b}', parameters: {a: {type: string}}}]", "no parameter `b`"),
        ("[{id: weigh, url: 'https://{a}.example.org/', parameters: {a: {type: string}}}]", "not for the model to say"),
        ("[{id: weigh, url: '//example.org'}]", "an address begins with"),
    ],
)
def test_a_tool_that_is_none_is_refused(tools: str, told: str) -> None:
    text = f"name: w\nagents: [{{id: a}}]\ntools: {tools}\nsteps: [{{name: s, agent: a, prompt: Go.}}]\n"
    with pytest.raises(ValidationError) as refused:
        load_flow(text, source="t.yaml")

    assert any(told in each["message"] for each in refused.value.details["problems"]), refused.value.details


def test_the_parts_of_the_models_own_form_are_lists_and_mappings() -> None:
    for inputs in ({"agent": {"id": "a"}, "tools": {}}, {"agent": "a"}, {"agent": {"id": "a"}, "tools": [3]}):
        result = Workflow("w").add(Step("s").uses("model.act", prompt="Go.", **inputs)).validate()
        assert not result.valid
        assert str(result.errors[0]["message"]).startswith("must be a ")


def test_two_of_one_id_are_refused() -> None:
    with pytest.raises(ValidationError, match="there are two of the id `clerk`"):
        load_flow(WHOLE.replace("tools:\n", "  - id: clerk\ntools:\n"), source="w.yaml")


def test_where_a_request_goes_is_said_by_the_author() -> None:
    for url in ("https://{host}/x", "ftp://example.org/{what}", "https://example.org/{other}"):
        tool = ToolDefinition(id="look", url=url, parameters={"host": {"type": "string"}, "what": {"type": "string"}})
        result = Workflow("w").add(Step("s").act(AgentDefinition(id="a", tools=("look",)), "Do.", [tool])).validate()
        assert not result.valid
        assert "steps" not in str(result.errors[0]["message"])


def test_the_other_forms_refuse_the_same() -> None:
    assert load_workflow(MODEL_FORM, source="m.yaml").steps[0].uses == "model.act"
    with pytest.raises(ValidationError, match=r"there is no tool `weihg`") as refused:
        load_workflow(MODEL_FORM.replace("tools: [weigh]", "tools: [weihg]"), source="m.yaml")
    assert (refused.value.where, refused.value.hint) == ("m.yaml:8:34", "did you mean `weigh`?")
    with pytest.raises(ValidationError, match="the key `agent` is missing"):
        load_workflow(MODEL_FORM.replace("agent: {", "agnet: {"), source="m.yaml")
    with pytest.raises(ValidationError, match="there is no tool `wiegh`") as unknown:
        Workflow("w").add(Step("s").act(AgentDefinition(id="a", tools=("wiegh",)), "Do.", [weigh()])).compile()
    assert unknown.value.hint == "did you mean `weigh`?"


def test_a_task_of_an_agent_that_is_not_there_is_refused() -> None:
    text = "name: w\nagents: [{id: clerk}]\ntasks: [{id: a, type: agent, agent_id: %s, inputs: {%s}}]\n"
    with pytest.raises(ValidationError, match="there is no agent `clrek`") as refused:
        load_flow(text % ("clrek", "prompt: x"), source="t.yaml")
    assert refused.value.hint == "did you mean `clerk`?"
    with pytest.raises(ValidationError, match="the input `prompt` is missing"):
        load_flow(text % ("clerk", ""), source="t.yaml")


# -- what a model is told of a function --------------------------------------------------------------------------------


def whole(
    a: str, b: list[int], c: dict[str, float], d: Literal["x", 3], e: int | None = None, *, ctx: Context, f: Any = 0
) -> None:
    """Does it.

    And more.

    Args:
        a: The first,
            over two lines.
        e (int): The fifth.

    Returns:
        Nothing: b is no argument here.
    """


def odd(when: complex) -> None: ...


def of_checkers(a: int, b, ctx: OnlyForCheckers) -> None:  # type: ignore[no-untyped-def, name-defined]  # noqa: F821
    """Does it.

    Args:
        (what is given)
        a: The first.

        b: The second.
    Whatever else there is.
    """


def unknown(a: OnlyForCheckers) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def test_a_functions_schema_follows_from_its_types_and_docstring() -> None:
    assert described(whole) == "Does it.\n\nAnd more."
    assert function_schema(whole) == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "The first, over two lines."},
            "b": {"type": "array", "items": {"type": "integer"}},
            "c": {"type": "object", "additionalProperties": {"type": "number"}},
            "d": {"enum": ["x", 3]},
            "e": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "The fifth."},
            "f": {},
        },
        "additionalProperties": False,
        "required": ["a", "b", "c", "d"],
    }
    assert function_schema(of_checkers)["properties"] == {
        "a": {"type": "integer", "description": "The first."},
        "b": {"description": "The second."},
    }
    with pytest.raises(ValidationError, match="the types of a tool's parameters cannot be read") as unread:
        function_schema(unknown)
    assert "OnlyForCheckers" in str(unread.value.cause)
    with pytest.raises(ValidationError, match="the parameter `when` of a tool has a type that no model can be told"):
        function_schema(odd)
    assert tool_id(odd).endswith("test_agent_parts:odd")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"a": "x", "b": [1], "c": {"k": 1.5}, "d": 3, "e": None, "f": [{}]}, None),
        ({"a": "x", "b": [1, "2"], "c": {}, "d": "x"}, "`b[1]` must be of type integer, not string"),
        ({"a": "x", "b": [True], "c": {}, "d": "x"}, "`b[0]` must be of type integer, not boolean"),
        ({"a": "x", "b": [], "c": {"k": "v"}, "d": "x"}, "`c.k` must be of type number, not string"),
        ({"a": "x", "b": [], "c": {}, "d": "y"}, '`d` must be one of "x", 3'),
        ({"a": "x", "b": [], "c": {}, "d": 3, "e": "z"}, "`e` is of none of the types that it may have"),
        ({"a": "x", "b": [], "c": {}}, "`d` is missing"),
        ({"a": "x", "b": [], "c": {}, "d": 3, "g": 1}, "there is no `g`"),
        ([], "the value must be of type object, not array"),
    ],
)
def test_arguments_are_checked_against_the_schema(given: Any, problem: str | None) -> None:
    found = [*shape_problems(given, function_schema(whole))]

    assert found == [] if problem is None else found[0].startswith(problem)
