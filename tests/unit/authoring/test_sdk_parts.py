"""Durations, policies, names of callables, JSON values, arguments, and what decorators refuse."""

from __future__ import annotations

import runpy
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import workflow_agent
from workflow_agent import (
    AgentResult,
    Context,
    ErrorHandler,
    RetryPolicy,
    SecretStore,
    Workflow,
    WorkflowClient,
    WorkflowState,
    step,
    workflow,
)
from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.sdk import callables
from workflow_agent.authoring.sdk.compiling import compile_workflow, instance_input, instance_of, instance_to_run
from workflow_agent.authoring.sdk.values import as_json, json_text
from workflow_agent.model.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("2d", 172_800),
        (3, 3),
        (0.25, 0.25),
        (" 5m ", 300),
    ],
)
def test_durations_are_seconds(text: object, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["abc", "", "5", "1h 30m", "-5s", -1, 0, "0s", None, True, [1], "999999d", float("nan")]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValidationError, match="duration") as caught:
        duration_s(text, where="here")
    assert caught.value.where == "here"


def test_no_time_at_all_may_be_allowed() -> None:
    assert duration_s(0, zero=True) == 0


def test_a_policy_is_what_the_model_says() -> None:
    policy = RetryPolicy(max_attempts=5, backoff="exponential", max_delay="5m", factor=3)

    assert policy.backoff.to_dict() == {"attempts": 5, "initial_s": 1.0, "factor": 3.0, "max_s": 300.0}
    assert policy == RetryPolicy(5, max_delay=300, factor=3)
    assert len({policy, RetryPolicy(5, max_delay=300, factor=3), RetryPolicy(2, "constant")}) == 2
    assert repr(RetryPolicy(2, "constant")) == "RetryPolicy(2, backoff='constant', initial_delay=1, max_delay=60)"
    assert "factor=3" in repr(policy)
    with pytest.raises(AttributeError):
        policy.backoff = policy.backoff


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_attempts": 0}, "1 to 100"),
        ({"max_attempts": True}, "whole number"),
        ({"max_attempts": 2.5}, "whole number"),
        ({"backoff": "linear"}, "no backoff `linear`"),
        ({"factor": 0.5}, "`factor`"),
        ({"max_delay": "soon"}, "no duration"),
    ],
)
def test_policies_that_cannot_be_meant_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RetryPolicy(**arguments)


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


class Own:
    def to_json(self) -> object:
        return {"own": True}


def test_values_become_json_and_come_back_equal() -> None:
    value = {
        "at": datetime(2026, 1, 31, 12, tzinfo=UTC), "day": date(2026, 1, 31), "colour": Colour.RED, "point": Point(1),
        "path": PurePosixPath("/x"), "id": UUID(int=1), "own": Own(), "pair": (1, 2.5), "none": None, "yes": True,
        "agent": AgentResult({"n": 1}),
    }  # fmt: skip

    assert as_json(value, what="it") == {
        "at": "2026-01-31T12:00:00+00:00", "day": "2026-01-31", "colour": "red", "point": {"x": 1}, "path": "/x",
        "id": "00000000-0000-0000-0000-000000000001", "own": {"own": True}, "pair": [1, 2.5], "none": None, "yes": True,
        "agent": {"n": 1},
    }  # fmt: skip
    assert json_text({"day": date(2026, 1, 31), "umlaut": "ä"}) == '{"day": "2026-01-31", "umlaut": "ä"}'


def test_a_value_that_nests_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(ValidationError, match="nests deeper"):
        as_json(endless, what="it")


def test_a_result_of_a_container_reads_as_its_output() -> None:
    result = AgentResult({"a": 1}, exit_code=0, lines=("x",))

    assert (result["a"], "a" in result, list(result)) == (1, True, ["a"])
    assert result == AgentResult({"a": 1})
    assert result != {"a": 1}
    assert repr(result) == "AgentResult({'a': 1}, exit_code=0)"


def test_secrets_are_a_mapping_that_does_not_show_itself() -> None:
    store = SecretStore(frozenset({"b", "a"}), lambda name: f"value of {name}")

    assert (len(store), list(store), "a" in store, store["a"]) == (2, ["a", "b"], True, "value of a")
    assert (store.get("a"), store.get("c"), store.get("c", "d")) == ("value of a", None, "d")
    assert "value" not in f"{store!r} {store}"
    with pytest.raises(NotFoundError, match="no secret `c`"):
        store["c"]
    with pytest.raises(NotFoundError) as caught:
        SecretStore(frozenset(), str)["c"]
    assert caught.value.hint is not None
    assert "secrets=" in caught.value.hint


def test_state_knows_what_changed() -> None:
    state = WorkflowState({"a": 1, "b": [1], "c": 3})
    assert state.changes() == {}

    state["b"].append(2)
    del state["c"]
    state["d"] = (4,)
    assert state.changes() == {"set": {"b": [1, 2], "d": [4]}, "delete": ["c"]}
    with pytest.raises(KeyError):
        state["c"]


def test_a_function_is_found_by_its_name() -> None:
    assert callables.find(f"{__name__}:test_a_function_is_found_by_its_name") is test_a_function_is_found_by_its_name
    assert callables.find("json:JSONDecoder.decode").__name__ == "decode"


@pytest.mark.parametrize(
    ("name", "message"),
    [("no_such_module_:f", "cannot be imported"), ("json:dump_all", "no `dump_all`"), ("json:dumps.x.y", "no `x`")],
)
def test_a_name_that_means_nothing_is_refused(name: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        callables.find(name)


def test_functions_of_a_script_are_named_after_its_file(tmp_path: Path) -> None:
    script = tmp_path / "nightly.py"
    script.write_text(
        "from workflow_agent.authoring.sdk import callables\ndef job(): ...\n"
        "name = callables.register(job)\n"
        "found = callables.find(name) is job and callables.find('nightly:job') is job\n",
        encoding="utf-8",
    )
    main = sys.modules["__main__"]
    try:
        values = runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.modules["__main__"] = main

    assert values["name"].endswith(":job")
    assert values["found"] or values["name"] != "nightly:job"


def test_the_place_of_something_without_code_is_its_name() -> None:
    assert callables.place_of(Point) == f"{__name__}:Point"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: workflow(3), "is for classes and functions"),  # type: ignore[call-overload]
        (lambda: step(Point), "is for functions and methods"),
        (lambda: step(depends_on="a")(lambda: None), "is a list of names"),
        (lambda: step(when=3)(lambda: None), "`when` is a function or an expression"),  # type: ignore[call-overload]
        (lambda: workflow(max_retries=1, retry_policy=RetryPolicy(2))(lambda: None), "the same thing twice"),
        (lambda: workflow(max_retries=-1)(lambda: None), "a whole number from 0 on"),
        (lambda: workflow(timeout="soon")(lambda: None), "no duration"),
        (lambda: step(timeout="soon")(lambda: None), "no duration"),
        (lambda: compile_workflow(Point(1)), "is no workflow"),
        (lambda: compile_workflow(workflow(name="w")(type("Empty", (), {}))), "has no steps"),
    ],
)
def test_what_decorators_cannot_mean_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make()


def test_a_parameter_for_a_step_that_it_does_not_depend_on_is_refused_before_any_run() -> None:
    @step(name="total", depends_on=["fetch"])
    def total(fetc_result: int) -> int:
        return fetc_result

    @step(name="fetch")
    def fetch() -> int:
        return 1

    with pytest.raises(ValidationError, match="wants `fetc_result`") as caught:
        compile_workflow(Workflow("w", steps=[fetch, total]))
    assert caught.value.hint == "did you mean `fetch_result`?"
    assert caught.value.where is not None
    assert caught.value.where.startswith(__file__)


def test_steps_of_bases_come_first_and_can_be_replaced() -> None:
    class Base:
        @step
        def first(self) -> int:
            return 1

        @step
        def second(self) -> int:
            return 2

    @workflow
    class DerivedOne(Base):
        """Says what it is.

        At length.
        """

        @step(depends_on=["second"])
        def first(self) -> int:
            return 3

    made = compile_workflow(DerivedOne)

    assert made.name == "derived-one"
    assert made.description == "Says what it is."
    assert [(each.id, each.needs) for each in made.steps] == [("first", ("second",)), ("second", ())]
    assert compile_workflow(made) is made


def test_another_process_makes_the_same_instance() -> None:
    @workflow
    class Made:
        def __init__(self, first: str, *, second: int = 2) -> None:
            if second > 3:
                raise ValueError("too large")
            self.values = (first, second)

        @step
        def one(self) -> None:
            return None

    instance = instance_to_run(Made("a", second=3))
    again = instance_of(Made, instance_input(instance))

    assert isinstance(again, Made)
    assert again.values == ("a", 3)
    assert instance_input(Made(object())) is None  # type: ignore[arg-type]  # what JSON cannot say
    assert instance_input(None) is None
    with pytest.raises(ValidationError, match="not in the run's record"):
        instance_of(Made, None)
    with pytest.raises(ValidationError, match="cannot be made again"):
        instance_of(Made, {"arguments": ["a"], "named": {"second": 4}})
    with pytest.raises(ValidationError, match="cannot be made without arguments"):
        instance_to_run(Made)


def test_the_facade_gives_every_public_name_and_nothing_else() -> None:
    for name in workflow_agent.__all__:
        assert getattr(workflow_agent, name) is not None
    assert set(dir(workflow_agent)) == set(workflow_agent.__all__)
    with pytest.raises(AttributeError, match="no_such"):
        _ = workflow_agent.no_such
    assert workflow_agent.WorkflowClient is WorkflowClient


@pytest.mark.parametrize("handler", list(ErrorHandler))
def test_handlers_are_also_their_words(handler: ErrorHandler) -> None:
    @step(error_handler=handler.value)  # type: ignore[call-overload,untyped-decorator]  # as text
    def one() -> None:
        return None

    (made,) = compile_workflow(Workflow("w", steps=[one])).steps
    assert made.on_error == handler.value


def test_levels_and_metrics_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    @workflow(name="loud")
    async def loud(ctx: Context, what: str) -> None:
        if what == "level":
            ctx.log("x", level="loud")
        elif what == "metric":
            ctx.metric("x", True)
        else:
            await ctx.deploy_agent("a", "b", env={"A": 1})  # type: ignore[dict-item]

    client = WorkflowClient(settings={"paths.state": str(tmp_path)})
    for what, message in (("level", "no level `loud`"), ("metric", "is a number"), ("env", "is no text")):
        with pytest.raises(ValidationError, match=message):
            client.run(loud, input={"what": what})
