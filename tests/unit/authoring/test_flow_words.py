"""The words of the fluent form for work and for whole workflows: what each is in the definition, what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent import Step, Workflow, daily, every_minutes, hourly, secret
from workflow_agent.authoring.beside_container import CACHES, DATABASES, QUEUES
from workflow_agent.model.errors import ValidationError


def said(step: Step) -> tuple[str, dict[str, Any]]:
    """Give the verb of a step and what it is given."""
    (one,) = Workflow("w", steps=[step]).compile().steps
    return one.uses, dict(one.with_)


def test_containers_with_what_stands_beside_them() -> None:
    verb, given = said(
        Step("t").docker("app:1", content="run").with_database().with_cache("memcached").with_message_queue("kafka")
        .with_service("own", "own:1", {"A": "1"}, ["serve"], ["probe"])
    )  # fmt: skip

    assert (verb, given["command"]) == ("container.run", ["/bin/sh", "-c", "run"])
    assert [service["name"] for service in given["services"]] == ["postgres", "memcached", "kafka", "own"]
    assert given["services"][-1] == {
        "name": "own", "image": "own:1", "env": {"A": "1"}, "command": ["serve"], "ready": ["probe"],
    }  # fmt: skip
    assert "outbound" not in given, "as it is usual"
    assert said(Step("t").docker("app:1", outbound=False))[1] == {"image": "app:1", "outbound": False}
    with pytest.raises(ValidationError, match="no service `postgre` is known") as refused:
        Step("t").docker("x").with_database("postgre")
    assert "postgres" in str(refused.value.hint)
    with pytest.raises(ValidationError, match="beside a container"):
        Step("t", "make").with_cache()
    every = {**DATABASES, **CACHES, **QUEUES}.values()
    assert not [service for service in every if ":" not in service["image"] or "PASSWORD" in service.get("env", {})]


def test_a_script_in_a_container_finds_its_arguments_in_variables() -> None:
    _, given = said(Step("t").tool_def("tools:1", "count", rows=3, token=secret("token")))

    assert given["env"] == {"ROWS": "3", "TOKEN": {"$secret": "token"}}


def test_words_of_commands() -> None:
    _, given = said(
        Step("t", "make").shell_type("/bin/bash").dotenv("a", "b").stdin("x").stdout("out").output("kept")
        .signal_on_stop("TERM").max_output_size(9).retry(1, exit_codes=[2])
    )  # fmt: skip

    assert given == {
        "command": "make", "shell": "/bin/bash", "dotenv": ["a", "b"], "stdin": "x", "stdout": "out",
        "keep_as": "kept", "stop_signal": "TERM", "max_output": 9, "retry_codes": [2],
    }  # fmt: skip
    with pytest.raises(ValidationError, match="only the output of commands"):
        Step("t").docker("x").output("kept")


def test_words_of_notices_and_waits() -> None:
    assert said(Step("t").mail("a@b.c", "s", "t", sender="x@y.z", server="m")) == (
        "notify.mail",
        {"to": ["a@b.c"], "subject": "s", "text": "t", "sender": "x@y.z", "server": "m"},
    )
    assert said(Step("t").wait_signal("paid")) == ("wait.signal", {"name": "paid"})
    assert said(Step("t").agent("verifier.verify", checks=[])) == ("verifier.verify", {"checks": []})
    assert said(Step("t").tool("m:f", a=1))[0] == "python.call"


def test_words_of_a_workflow() -> None:
    made = (
        Workflow("w")
        .type("chain")
        .queue("nightly", 2)
        .max_active_steps(3)
        .dotenv("own.env")
        .max_output_size(5)
        .cleanup_timeout("10s")
        .schedule(daily(2, 30))
        .sub_workflow("inner", "other", {"a": 1})
        .step("work", "make")
        .step("quiet", "make", callback=lambda one: one.max_output_size(1))
        .handlers(success="a", failure="b", exit="c", cancel="d")
        .compile()
    )

    steps = {step.id: step for step in (*made.steps, *made.on_failure)}
    assert made.concurrency == {"key": "nightly", "limit": 2, "on_conflict": "wait"}
    assert made.max_workers == 3
    assert made.schedule[0]["cron"] == "30 2 * * *"
    assert steps["work"].needs == ("inner",)
    assert steps["work"].with_ == {"dotenv": ["own.env"], "max_output": 5, "command": "make"}
    assert steps["quiet"].with_["max_output"] == 1
    assert (steps["on-exit"].timeout_s, steps["work"].timeout_s) == (10, None)
    assert steps["on-success"].when == "failure == null"
    assert steps["on-cancel"].when == "failure.error.code == 'interrupted'"
    assert Workflow("own").max_active_runs(1).step("a", "x").compile().concurrency == {
        "key": "own", "limit": 1, "on_conflict": "wait",
    }  # fmt: skip
    with pytest.raises(ValidationError, match="a chain or a graph"):
        Workflow("w").type("tree")  # type: ignore[arg-type]


def test_a_precondition_comes_before_all_and_is_followed_where_it_was_left_out() -> None:
    made = (
        Workflow("w").params(a=True).preconditions("inputs.a").delay(5).step("x", "y").step("z", "y", depends_on=["x"])
    )

    steps = {step.id: step for step in made.compile().steps}

    assert steps["preconditions"].when == "not ((inputs.a))"
    assert (steps["delay"].needs, steps["delay"].edges) == (("preconditions",), {"preconditions": "skip"})
    assert (steps["x"].needs, steps["z"].needs) == (("delay",), ("x",))


def test_mails_about_the_end_fail_no_run() -> None:
    made = (
        Workflow("w")
        .step("x", "y")
        .notifications(["a@b.c"], mail_on_success=True, sender="s@b.c", server="m")
        .compile()
    )

    (failure,) = made.on_failure
    success = made.steps[-1]
    assert (failure.on_error, success.on_error, success.always) == ("continue", "continue", True)
    assert failure.with_["subject"] == "w failed"
    assert not Workflow("w").step("x", "y").notifications("a@b.c", mail_on_failure=False).compile().on_failure


@pytest.mark.parametrize(
    "wrong", [lambda: daily(24), lambda: daily(1, 60), lambda: hourly(-1), lambda: every_minutes(0)]
)
def test_times_of_schedules_are_checked(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="whole number from"):
        wrong()
    assert (hourly(5), every_minutes(10)) == ("5 * * * *", "*/10 * * * *")
