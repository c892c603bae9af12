"""What is learnt from failures: suggestions with evidence, applied only when accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.improver import ImproverAgent
from workflow_agent.agents.improving_rules import Failure, failures_of, suggestion_for
from workflow_agent.agents.recovery_rules import Bounds, FailureClass
from workflow_agent.agents.serving import serve
from workflow_agent.integrations import Registry, builtin_folder
from workflow_agent.model.event import RecordKind

if TYPE_CHECKING:
    from tests.unit.agents.conftest import Bench

RUN = "r-1"


def failure(kind: FailureClass, cause: str = "") -> Failure:
    return Failure(failure=kind, evidence="the line", run_id=RUN, step="prepare", cause=cause)


def suggested(kind: FailureClass, cause: str = "", **more: Any) -> dict[str, Any] | None:
    known: dict[str, Any] = {"integration": "nginx", "parameters": {"port": 80}, "ports": ["port"]}
    made = suggestion_for(failure(kind, cause), bounds=Bounds(), script_s=900.0, **known | more)
    return made["suggestion"] if made else None


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (FailureClass.LOCK, "recovery.lock_attempts", 5),
        (FailureClass.NETWORK, "recovery.attempts", 5),
        (FailureClass.TIME_OUT, "timeouts.script_s", 1800.0),
    ],
)
def test_a_class_that_a_setting_helps_against_names_the_setting(kind: FailureClass, name: str, value: float) -> None:
    said = suggested(kind)

    assert said is not None
    assert (said["kind"], said["name"], said["value"]) == ("setting", name, value)


@pytest.mark.parametrize(
    "kind", [FailureClass.DISK, FailureClass.SIGNATURE, FailureClass.DEPENDENCY, FailureClass.PERMISSION]
)
def test_what_no_value_helps_against_is_for_a_person(kind: FailureClass) -> None:
    said = suggested(kind)

    assert said is not None
    assert said["kind"] == "by-hand"


def test_what_is_not_recognised_gives_no_suggestion() -> None:
    assert suggested(FailureClass.UNKNOWN) is None
    assert suggested(FailureClass.PORT, "a port is taken") is None


def test_another_port_is_suggested_where_one_parameter_has_the_one_that_is_taken() -> None:
    taken = "port-in-use: port 80 is taken by haproxy (pid 12)"

    assert suggested(FailureClass.PORT, taken) == {
        "kind": "parameter",
        "name": "port",
        "value": 81,
        "text": "use another port for `port`: 80 is taken",
    }
    by_hand = suggested(FailureClass.PORT, taken, parameters={"port": 8080})
    two = suggested(FailureClass.PORT, taken, parameters={"a": 80, "b": 80}, ports=["a", "b"])
    assert [by_hand and by_hand["kind"], two and two["kind"]] == ["by-hand", "by-hand"]


def test_a_suggestion_never_asks_for_more_attempts_than_are_allowed() -> None:
    made = suggestion_for(
        failure(FailureClass.NETWORK),
        integration=None,
        parameters={},
        ports=(),
        bounds=Bounds(attempts=20),
        script_s=1.0,
    )

    assert made is not None
    assert made["suggestion"]["value"] == 20


def test_the_same_failure_of_two_runs_is_one_suggestion() -> None:
    ids = set()
    for run in ("r-1", "r-2"):
        one = Failure(failure=FailureClass.LOCK, evidence=run, run_id=run, step="prepare")
        made = suggestion_for(one, integration="x", parameters={}, ports=(), bounds=Bounds(), script_s=1.0)
        assert made is not None
        ids.add(made["improvement_id"])

    assert len(ids) == 1


def test_without_recorded_attempts_the_error_of_the_run_is_looked_at() -> None:
    error = {"code": "step-failed.service", "message": "bind: Address already in use", "details": {}}
    run = {"run_id": RUN, "error": error, "steps": [{"id": "activate", "status": "failed"}]}

    (found,) = failures_of(run, [])

    assert (found.failure, found.step) == (FailureClass.PORT, "activate")
    assert failures_of({"run_id": RUN, "error": None}, []) == []
    assert failures_of({"run_id": RUN, "error": {"message": "odd"}}, []) == []
    assert failures_of({"run_id": RUN}, [{"class": "of another release"}]) == []


async def test_what_was_learnt_is_kept_and_counts_only_when_accepted(bench: Bench) -> None:
    attempt = {"step": "activate", "attempt": 1, "class": "port-in-use", "evidence": "address already in use"}
    attempt["cause"] = "port-in-use: port 9100 is taken by other (pid 1)"
    await bench.ran(
        "r-1",
        status="failed",
        changed=False,
        records=[(RecordKind.ATTEMPT, attempt), (RecordKind.ATTEMPT, attempt | {"attempt": 2})],
        integration="prometheus-node-exporter",
    )
    knowledge = bench.store.knowledge
    agent = ImproverAgent(
        bench.store.history,
        Registry([builtin_folder()]),
        knowledge,
        bench.clock,
        bounds=Bounds(),
        script_s=900.0,
    )
    served = await serve(bench.bus, agent)

    (made,) = (await bench.ask("improver.learn", run="r-1"))["suggestions"]

    assert made["suggestion"]["value"] == 9101
    assert len(made["evidence"]) == 1
    (row,) = await knowledge.suggestions()
    assert (row["state"], row["seen"], row["evidence"][0]["run_id"]) == ("open", 1, "r-1")
    assert (await bench.lookup())["parameters"]["port"] == 9100
    await knowledge.decide(made["improvement_id"], "accepted", by="ann", at=1.0)
    assert (await bench.lookup())["parameters"]["port"] == 9101
    assert (await bench.lookup(parameters={"port": 9200}))["parameters"]["port"] == 9200
    await knowledge.decide(made["improvement_id"], "rejected", by="ann", at=2.0)
    assert (await bench.lookup())["parameters"]["port"] == 9100
    await served.close()


async def test_an_integration_that_is_gone_is_no_reason_to_learn_nothing(bench: Bench) -> None:
    attempt = {"step": "prepare", "attempt": 1, "class": "lock", "evidence": "could not get lock", "cause": ""}
    await bench.ran("r-2", status="failed", records=[(RecordKind.ATTEMPT, attempt)], integration="gone")
    agent = ImproverAgent(
        bench.store.history,
        Registry([builtin_folder()]),
        bench.store.knowledge,
        bench.clock,
        bounds=Bounds(),
        script_s=900.0,
    )
    served = await serve(bench.bus, agent)

    (made,) = (await bench.ask("improver.learn", run="r-2"))["suggestions"]

    assert made["suggestion"]["name"] == "recovery.lock_attempts"
    await served.close()
