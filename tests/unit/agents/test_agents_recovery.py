"""What becomes of a run that failed, and who is asked before anything is changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.serving import Reply, Request, Verb, plain, serve
from workflow_agent.bus import InProcessBus
from workflow_agent.model.errors import (
    CheckFailedError,
    ConsentError,
    DeclinedError,
    InternalError,
    InterruptedRunError,
    NoResponderError,
    RollbackIncompleteError,
    ServiceFailedError,
    UnreachableError,
    WorkflowAgentError,
)
from workflow_agent.model.message import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.agents.conftest import Bench

FAILED = CheckFailedError().to_dict()


async def transaction(bench: Bench, *, commit: bool) -> str:
    prepared = await bench.ask("executor.prepare", target="host", script=await bench.built())
    if commit:
        await bench.ask("executor.commit", target="host", transaction=prepared["transaction"])
    name: str = prepared["transaction"]
    return name


async def recover(bench: Bench, name: str | None, **data: Any) -> dict[str, Any]:
    return await bench.ask("recovery.recover", **{"target": "host", "transaction": name, "failure": FAILED} | data)


def outcome(reply: dict[str, Any]) -> tuple[str, str, bool]:
    return reply["decision"], reply["_run_status"], reply["_changed"]


def states(reply: dict[str, Any]) -> list[str]:
    return [record["data"]["state"] for record in reply["_records"] if record["kind"] == "transaction"]


def failing(bench: Bench, verb: str, error: Exception) -> None:
    async def fail() -> None:
        raise error

    bench.world.hooks[verb] = fail


# -- decisions -----------------------------------------------------------------------------------------------------


async def test_where_nothing_was_begun_nothing_is_done(bench: Bench) -> None:
    reply = await recover(bench, None)

    assert outcome(reply) == ("nothing", "failed", False)
    assert reply["_status"] == "unchanged", "a step that takes nothing back claims no success"
    assert bench.world.calls == []


@pytest.mark.parametrize("error", [InterruptedRunError(), DeclinedError()])
async def test_a_run_that_a_person_stopped_is_cancelled_not_failed(bench: Bench, error: WorkflowAgentError) -> None:
    assert outcome(await recover(bench, None, failure=error.to_dict())) == ("nothing", "cancelled", False)
    captured = await transaction(bench, commit=False)
    assert outcome(await recover(bench, captured, failure=error.to_dict())) == ("discard", "cancelled", False)


async def test_a_capture_is_discarded_and_that_is_recorded(bench: Bench) -> None:
    reply = await recover(bench, await transaction(bench, commit=False))

    assert outcome(reply) == ("discard", "failed", False)
    assert states(reply) == ["discarded"]
    assert bench.world.transactions == {}


async def test_what_was_committed_is_rolled_back_and_that_is_recorded(bench: Bench) -> None:
    reply = await recover(bench, await transaction(bench, commit=True), committed=True)

    assert outcome(reply) == ("rollback", "rolled-back", False)
    assert reply["_status"] == "succeeded"
    assert states(reply) == ["rolled-back"]
    assert bench.world.files == {}


async def test_a_commit_that_never_exchanged_anything_is_discarded(bench: Bench) -> None:
    reply = await recover(bench, await transaction(bench, commit=False), committed=True)

    assert outcome(reply) == ("discard", "failed", False)
    assert bench.world.transactions == {}


async def test_a_target_that_went_before_the_commit_began_has_nothing_of_it(bench: Bench) -> None:
    name = await transaction(bench, commit=False)
    gone = UnreachableError("it does not run", details={"begun": False})
    failing(bench, "discard", gone)

    reply = await recover(bench, name, committed=True, failure=gone.to_dict())

    assert outcome(reply) == ("discard", "failed", False)


async def test_a_target_that_went_during_the_commit_needs_attention(bench: Bench) -> None:
    name = await transaction(bench, commit=True)
    gone = UnreachableError("it does not run")
    failing(bench, "rollback", gone)

    assert outcome(await recover(bench, name, committed=True, failure=gone.to_dict()))[1] == "needs-attention"


async def test_a_capture_that_the_next_run_forgot_is_gone(bench: Bench) -> None:
    assert outcome(await recover(bench, "r-1.1", committed=True)) == ("discard", "failed", False)


async def test_what_was_done_is_kept_on_request(bench: Bench) -> None:
    reply = await recover(bench, await transaction(bench, commit=True), committed=True, keep_on_failure=True)

    assert outcome(reply) == ("keep", "needs-attention", True)
    assert bench.world.files


async def test_a_capture_is_not_kept_even_on_request(bench: Bench) -> None:
    reply = await recover(bench, await transaction(bench, commit=False), keep_on_failure=True)

    assert outcome(reply) == ("discard", "failed", False)


async def test_a_rollback_that_fails_needs_attention(bench: Bench) -> None:
    name = await transaction(bench, commit=True)
    failing(bench, "rollback", RollbackIncompleteError("2 paths are left"))

    reply = await recover(bench, name, committed=True)

    assert outcome(reply) == ("rollback", "needs-attention", True)
    assert reply["result"]["message"] == "2 paths are left"


# -- rollbacks that failed -----------------------------------------------------------------------------------------


async def undoing(bench: Bench, name: str, **data: Any) -> dict[str, Any]:
    return await recover(bench, name, captured=False, taken_back=True, undoes=["r-0"], **data)


async def test_a_rollback_refused_before_it_began_changed_nothing(bench: Bench) -> None:
    name = await transaction(bench, commit=True)
    unasked = await recover(bench, name, captured=False)
    refused = await undoing(bench, name)
    bench.world.files["/etc/default/prometheus-node-exporter"] = "somebody else's"
    conflicting = await undoing(bench, name)

    assert outcome(unasked) == ("nothing", "failed", False)
    assert outcome(refused) == ("nothing", "failed", False)
    assert outcome(conflicting) == ("nothing", "failed", False)
    assert bench.world.transactions[name].state == "committed"


async def test_a_rollback_that_came_through_is_recorded_though_the_run_failed(bench: Bench) -> None:
    name = await transaction(bench, commit=True)
    await bench.ask("executor.rollback", target="host", transaction=name)

    reply = await undoing(bench, name)

    assert outcome(reply) == ("record", "needs-attention", True)
    assert [record["data"] for record in reply["_records"] if record["kind"] == "undone"] == [{"run": "r-0"}]


async def test_a_rollback_that_stopped_half_way_needs_attention(bench: Bench) -> None:
    name = await transaction(bench, commit=True)
    incomplete = await undoing(bench, name, failure=RollbackIncompleteError().to_dict())
    bench.world.transactions[name].state = "rolling-back"
    half = await undoing(bench, name)
    failing(bench, "preview", ServiceFailedError("it does not stop"))
    unknown = await undoing(bench, name)

    for reply in (incomplete, half, unknown):
        assert outcome(reply) == ("nothing", "needs-attention", True)


# -- consent -------------------------------------------------------------------------------------------------------


async def test_without_anybody_to_ask_consent_is_refused(bench: Bench) -> None:
    with pytest.raises(ConsentError) as refused:
        await bench.ask("person.approve", summary={})

    assert (refused.value.exit_code, refused.value.state) == (2, "nothing was changed")


async def test_the_answer_is_that_of_whoever_started_the_run(bench: Bench) -> None:
    seen: list[Mapping[str, Any]] = []

    async def yes(summary: Mapping[str, Any]) -> bool:
        seen.append(summary)
        return True

    async def no(_: Mapping[str, Any]) -> bool:
        return False

    bench.person.ask_for("r-1", yes)
    bench.person.ask_for("r-2", no)
    approved = await bench.ask("person.approve", summary={"question": "Install this?"})
    with pytest.raises(DeclinedError):
        await bench.ask("person.approve", run_id="r-2", summary={})
    bench.person.ask_for("r-1", None)
    with pytest.raises(ConsentError):
        await bench.ask("person.approve", summary={})

    assert approved == {"approved": True}
    assert seen == [{"question": "Install this?"}]


# -- serving -------------------------------------------------------------------------------------------------------


class Slow:
    """An agent that never ends by itself."""

    name = "slow"

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    def verbs(self) -> Mapping[str, Verb]:
        return {"work": Verb(Request, Reply, self._work), "break": Verb(Request, Reply, self._break)}

    async def _work(self, _: Request, __: Message) -> tuple[Reply, Mapping[str, Any]]:
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            self.ended.set()
        raise AssertionError

    async def _break(self, _: Request, __: Message) -> tuple[Reply, Mapping[str, Any]]:
        raise RuntimeError("a defect")


async def test_a_request_that_is_withdrawn_ends_the_work() -> None:
    bus, slow = InProcessBus(), Slow()
    served = await serve(bus, slow)
    asked = asyncio.create_task(bus.request(Message("agent.slow.work")))
    await slow.begun.wait()

    asked.cancel()
    await asyncio.wait({asked})

    await asyncio.wait_for(slow.ended.wait(), 10)
    await served.close()
    await bus.drain()


async def test_a_defect_of_an_agent_is_an_error_and_the_agent_goes_on() -> None:
    bus, slow = InProcessBus(), Slow()
    served = await serve(bus, slow)

    for _ in range(2):
        with pytest.raises(InternalError):
            await bus.request(Message("agent.slow.break"))
    await served.close()
    with pytest.raises(NoResponderError):
        await bus.request(Message("agent.slow.break"))
    await bus.drain()


def test_values_of_the_model_become_json(tmp_path: Any) -> None:
    assert plain({"a": (tmp_path, [1.5, None]), 2: True}) == {"a": [str(tmp_path), [1.5, None]], "2": True}
