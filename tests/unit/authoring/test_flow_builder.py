"""The fluent form: what its words mean in the definition, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent import ErrorHandler, RetryPolicy, Step, Workflow, step
from workflow_agent.authoring.builder import literal
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.expression import parse
from workflow_agent.model.workflow import InputSpec


@step(name="decorated", depends_on=["first"], when=lambda result: result != 0, max_workers=3, parallel=True)
def decorated(first_result: str, item: int) -> str:
    """Says it."""
    return f"{first_result} {item}"


def plain_function(first_result: str) -> str:
    return first_result


def test_the_constructor_form_and_the_chain_form_are_the_same_definition() -> None:
    one = Workflow("deploy", "Builds and tests.", [Step("build", "make"), Step("test", "make test").depends("build")])
    other = Workflow("deploy").description("in other words").step("build", "make")
    other.step("test", "make test", depends_on=["build"], description="tests")

    assert one.hash == other.hash
    assert one.name == "deploy"
    assert repr(one) == "Workflow('deploy', steps=[Step('build'), Step('test')])"


def test_a_chain_is_what_its_explicit_dependencies_say() -> None:
    chained = Workflow("c").chain().step("a", "true").step("b", "true").step("tidy", "true", always=True)
    chained.step("c", "true")
    explicit = Workflow("c").step("a", "true").step("b", "true", depends_on=["a"])
    explicit.step("tidy", "true", always=True).step("c", "true", depends_on="b")

    assert chained.hash == explicit.hash
    assert chained.graph().hash != explicit.hash


def test_functions_decorated_or_not_are_steps() -> None:
    made = Workflow("f", steps=[Step("first", "echo x"), decorated, plain_function]).compile()

    assert [each.id for each in made.steps] == ["first", "decorated__when", "decorated", "plain_function"]
    assert made.steps[2].max_workers == 3
    assert made.steps[2].each == "[0, 1, 2]"
    assert made.steps[2].when == "steps.decorated__when.output.value"
    assert made.steps[2].with_["results"] == {"first": "${{ steps.first.output }}"}
    assert made.steps[1].with_["guard"] is True
    assert made.steps[2].description == "Says it."


def test_every_word_of_a_step_is_in_the_definition() -> None:
    said = (
        Step("s", "run me")
        .description("Does it.")
        .env({"A": "1"}, B="2")
        .dir("/srv")
        .when("inputs.go")
        .preconditions("inputs.size > 2")
        .timeout("1m30s")
        .retry(limit=2, interval_sec=5, max_interval_sec="1m", exponential_base=3)
        .on_error(ErrorHandler.CONTINUE)
    )
    made = Workflow("w", steps=[said]).env(A="0", C="3").params(go=True, size=int).timeout("2h").compile()
    (one,) = made.steps

    assert one.uses == "shell.run"
    assert one.with_ == {"command": "run me", "dir": "/srv", "env": {"A": "1", "B": "2", "C": "3"}}
    assert one.when == "(inputs.go) and (inputs.size > 2)"
    assert one.timeout_s == 90
    assert (one.retry.attempts, one.retry.initial_s, one.retry.factor, one.retry.max_s) == (3, 5, 3, 60)
    assert one.on_error == "continue"
    assert made.inputs == {
        "go": InputSpec(type="boolean", default=True),
        "size": InputSpec(type="integer", required=True),
    }
    assert made.timeout_s == 7200


def test_a_parallel_command_finds_its_item_in_a_variable_and_never_in_its_text() -> None:
    made = Workflow("p").parallel_steps("each", ["a b", "$(rm -rf /)"], "echo $ITEM", max_concurrent=2).compile()
    (one,) = made.steps

    assert one.with_ == {"command": "echo $ITEM", "env": {"ITEM": "${{ item }}"}}
    assert parse(str(one.each)).evaluate({}) == ["a b", "$(rm -rf /)"]
    assert one.max_workers == 2


def test_fan_out_and_reduce() -> None:
    made = (
        Workflow("fan")
        .add(Step("list").python("m:list_them"))
        .add(Step("each").python("m:each", fixed=1).depends(["list"]).dynamic(4))
        .add(Step("all").python("m:all_of").depends("each").reduce())
        .compile()
    )

    assert made.steps[1].each == "steps.list.output.value"
    assert made.steps[1].with_["arguments"] == {"fixed": 1}
    assert made.steps[1].with_["item"] == "${{ item }}"
    assert made.steps[2].with_["results"] == {"each": "${{ steps.each.output }}"}


def test_containers_agents_and_handlers() -> None:
    made = (
        Workflow("c")
        .add(Step("box").docker("busybox", ["true"]).env(X="1"))
        .add(Step("look").uses("verifier.verify", checks=[]).retries(1))
        .handlers(failure="echo failed", exit="echo over")
        .on_failure(Step("mail", "mail"))
        .retry(RetryPolicy(2))
        .version("2")
        .compile()
    )

    assert made.steps[0].with_ == {"image": "busybox", "command": ["true"], "env": {"X": "1"}}
    assert made.steps[1].uses == "verifier.verify"
    assert [each.id for each in made.on_failure] == ["on-failure", "mail"]
    assert made.steps[2].always
    assert made.steps[0].retry.attempts == 2
    assert made.version == "2"


def test_a_callback_says_more_of_a_step() -> None:
    made = Workflow("w").step("a", "true").step("b", "true", lambda each: each.depends("a").continue_on()).compile()

    assert made.steps[1].needs == ("a",)
    assert made.steps[1].on_error == "continue"


def test_a_word_that_a_step_does_not_know_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="no `timout`") as caught:
        Workflow("w").step("a", "true", timout=3)
    assert caught.value.hint == "did you mean `timeout`?"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([Step("a", "x").depends("bb"), Step("b", "x")], "`a` depends on `bb`, and there is no such step"),
        ([Step("a", "x").depends("b"), Step("b", "x").depends("a")], "steps need each other: a → b → a"),
        ([Step("a", "x"), Step("a", "y")], "there are two steps `a`"),
        ([Step("A b", "x")], "`A b` is no name of a step"),
        ([Step("a", "x").parallel()], "nothing says how often `a` runs in parallel"),
        ([Step("a", "x").dynamic()], "`a` takes the list of one step and depends on 0"),
        ([Step("a", "x").reduce()], "`a` reduces, and depends on no parallel step"),
        ([Step("a", "x").parallel(max_concurrent=-1)], "`max_workers` of `a` is a whole number from 1 on"),
        ([Step("a", "x").always(), Step("b", "x").depends("a")], "`b` depends on `a`, which runs at the end"),
        ([Step("a", "x").when("steps.q.output")], "there is no `steps.q`"),
        ([Step("a", "x").when("1 +")], "unexpected"),
        ([Step("a" * 60).python("m:f").guarded()], "is too long for a step with a condition"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(steps: list[Step], message: str) -> None:
    found = Workflow("w", steps=steps).validate()

    assert not found.valid
    assert any(message in error["message"] for error in found.errors) or message == "unexpected"
    assert all(error["where"] for error in found.errors)


def test_a_valid_workflow_is_said_to_be_valid() -> None:
    assert Workflow("w", steps=[Step("a", "true")]).validate().valid


def test_names_that_hold_everything_cannot_be_inputs() -> None:
    found = Workflow("Not a name", steps=[Step("a", "x")]).params(input=1).validate()

    assert [error["message"] for error in found.errors] == [
        "`Not a name` is no name of a workflow",
        "`input` cannot be the name of an input",
    ]


@pytest.mark.parametrize("value", [[], ["a", 1, 1.5, True, None], [[1, 2], ["x"]], ["it's", 'say "x"']])
def test_items_are_written_as_expressions(value: list[Any]) -> None:
    assert parse(literal(value)).evaluate({}) == value


@pytest.mark.parametrize("value", [{"a": 1}, "both ' and \"", "back\\slash", "line\nend", object()])
def test_items_that_no_expression_can_say_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="cannot be written as an item"):
        Step("a", "x").parallel([value])


def test_types_that_no_input_has_are_refused() -> None:
    with pytest.raises(ValidationError, match="cannot be of the type `bytes`"):
        Workflow("w").params(x=bytes)
    assert (
        Workflow("w", steps=[Step("a", "x")]).params(x=InputSpec(type="string")).compile().inputs["x"].type == "string"
    )
