"""The shipped pipelines from end to end, on a target in memory: ends, errors, history, reports, events."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import (
    CaptureError,
    CheckFailedError,
    CommitError,
    ConflictError,
    ConsentError,
    DeclinedError,
    InterruptedRunError,
    NotFoundError,
    ParameterError,
    PathConflictError,
    RollbackIncompleteError,
    RolledBackError,
    ScriptFailedError,
    ServiceFailedError,
    TargetLockedError,
    ValidationError,
    WorkflowAgentError,
)
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.message import Message
from workflow_agent.model.status import TERMINAL_RUN
from workflow_agent.testing.fake_app import open_fake_app
from workflow_agent.testing.fake_target import FakeWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from workflow_agent.app import App

NODE_ONLY = {"integration": "prometheus-node-exporter"}
NODE = {**NODE_ONLY, "approve": True}
PATH = "/etc/default/prometheus-node-exporter"
STEPS = [
    "lookup", "current", "build", "validate", "prepare", "agree", "decide", "approve", "commit", "activate",
    "configure",
    "verify",
]  # fmt: skip


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
async def app(tmp_path: Path, world: FakeWorld) -> AsyncIterator[App]:
    async with open_fake_app(tmp_path, world) as opened:
        yield opened


def fail(world: FakeWorld, verb: str, error: Exception) -> None:
    async def hook() -> None:
        raise error

    world.hooks[verb] = hook


def block(world: FakeWorld, verb: str) -> asyncio.Event:
    reached = asyncio.Event()

    async def hook() -> None:
        reached.set()
        await asyncio.Event().wait()

    world.hooks[verb] = hook
    return reached


async def yes(_: Mapping[str, Any]) -> bool:
    return True


async def no(_: Mapping[str, Any]) -> bool:
    return False


def statuses(report: Mapping[str, Any]) -> dict[str, str]:
    return {step["id"]: step["status"] for step in report["steps"]}


# -- the happy path ------------------------------------------------------------------------------------------------


def assert_reported(report: Mapping[str, Any], run_id: str) -> None:
    """What the contract promises of a run of an action."""
    assert json.loads(json.dumps(report)) == report
    assert report["run_id"] == run_id
    assert (report["action"], report["integration"], report["version"]) == ("install", NODE["integration"], "1.0.0")
    assert (report["target"], report["status"], report["changed"], report["tier"]) == (
        "host",
        "succeeded",
        True,
        "exact",
    )
    assert {key: report["changes"][key] for key in ("created", "modified", "deleted")} == {
        "created": 1,
        "modified": 0,
        "deleted": 0,
    }
    assert [item["path"] for item in report["changes"]["items"]] == [PATH]
    assert {"id", "status", "observed", "expected"} <= report["checks"][0].keys()
    assert {check["status"] for check in report["checks"]} == {"passed"}
    assert report["generation"]["run_id"] == run_id
    assert report["rollback_command"] == f"workflow-agent rollback {run_id}"
    assert report["started_at"] <= report["finished_at"]
    assert (report["host"], bool(report["user"])) == (socket.gethostname(), True)
    assert report["output"]["truncated"] is False
    assert [step["id"] for step in report["steps"]] == STEPS
    assert {name: status for name, status in statuses(report).items() if status != "succeeded"} == {
        "current": "skipped",
        "agree": "skipped",
        "decide": "skipped",
        "configure": "skipped",
    }


async def test_an_installation_is_reported_recorded_and_told_in_order(app: App, world: FakeWorld) -> None:
    told: list[tuple[str, str | None, str]] = []
    lines: list[str] = []
    summaries: list[Mapping[str, Any]] = []

    async def approve(summary: Mapping[str, Any]) -> bool:
        summaries.append(summary)
        return True

    run_id = new_run_id()

    async def say() -> None:
        data = {"step": "prepare", "line": "Reading package lists"}
        await app.bus.publish(Message(f"run.{run_id}.output", data))

    world.hooks["prepare"] = say
    report = await app.run(
        "install",
        {"integration": "prometheus-node-exporter"},
        run_id=run_id,
        approver=approve,
        on_event=lambda event, status: told.append((event["type"], event["step"], status)),
        on_output=lambda _, line: lines.append(line),
    )

    assert_reported(report, run_id)
    kinds = {record.kind for record in await app.history.records(run_id)}
    always = {"subject", "script", "output", "change-set", "transaction", "check", "accuracy", "generation"}
    assert kinds == always | ({"finding"} if report["findings"] else set())
    assert summaries[0]["change_set"]["changes"][0]["path"] == PATH
    assert lines == ["Reading package lists"]
    assert told[0] == ("RunCreated", None, "queued")
    assert told[-1] == ("RunFinished", None, "succeeded")
    begun = [(step, status) for kind, step, status in told if kind == "StepStarted"]
    assert begun == [
        ("lookup", "planning"),
        ("build", "planning"),
        ("validate", "planning"),
        ("prepare", "planning"),
        ("approve", "awaiting-approval"),
        ("commit", "running"),
        ("activate", "running"),
        ("verify", "verifying"),
    ]
    assert world.files.keys() == {PATH}
    assert world.running == {NODE["integration"]}
    assert world.holder is None


async def test_installing_again_changes_nothing_and_is_no_candidate_for_a_rollback(app: App, world: FakeWorld) -> None:
    first = await app.run("install", NODE)
    world.calls.clear()

    again = await app.run("install", NODE)
    rolled_back = await app.run("rollback", {"approve": True})

    assert (again["status"], again["changed"], again["rollback_command"]) == ("succeeded", False, None)
    assert statuses(again)["current"] == "unchanged"
    assert again["checks"]
    assert "prepare" not in world.calls[:6]
    assert rolled_back["undoes"] == first["run_id"]


async def test_other_parameters_missing_paths_and_red_checks_install_again(app: App, world: FakeWorld) -> None:
    await app.run("install", NODE)
    other = await app.run("install", {**NODE, "parameters": {"port": 9200}})
    del world.files[PATH]
    repaired = await app.run("install", {**NODE, "parameters": {"port": 9200}})

    assert (other["changed"], other["changes"]["modified"]) == (True, 1)
    assert (repaired["changed"], repaired["changes"]["created"]) == (True, 1)
    assert len(await app.history.generations("host")) == 1


async def test_a_plan_shows_and_leaves_nothing(app: App, world: FakeWorld) -> None:
    report = await app.run("plan", {"integration": "nginx"})

    assert (report["status"], report["changed"], report["rollback_command"]) == ("succeeded", False, None)
    assert report["changes"]["created"] >= 1
    assert report["transaction"]["state"] == "discarded"
    assert (world.files, world.transactions, world.holder) == ({}, {}, None)


async def test_what_somebody_else_installed_can_be_verified(app: App, world: FakeWorld) -> None:
    report = await app.run("verify", NODE_ONLY)
    world.red.add(report["checks"][0]["id"])

    with pytest.raises(CheckFailedError) as failed:
        await app.run("verify", NODE_ONLY)

    assert (report["status"], report["changed"], report["generation"]) == ("succeeded", False, None)
    assert failed.value.exit_code == 1
    red = await app.report(str(failed.value.run_id))
    assert (red["status"], red["checks"][0]["status"]) == ("failed", "failed")


async def test_two_runs_at_once_are_two_runs(app: App) -> None:
    reports = await asyncio.gather(app.run("verify", NODE_ONLY), app.run("install", NODE), app.run("verify", NODE_ONLY))

    assert [report["status"] for report in reports] == ["succeeded"] * 3


# -- a fault at every step -----------------------------------------------------------------------------------------

NOTHING_BEGUN = [
    ({"integration": "nginxx"}, None, NotFoundError, 5),
    ({"parameters": {"prot": 1}}, None, ParameterError, 2),
    ({"target": "hots"}, None, NotFoundError, 5),
    ({}, ("facts", CaptureError("no facts")), CaptureError, 1),
    ({"allow": ["nonsense"]}, None, ValidationError, 2),
    ({}, ("prepare", ScriptFailedError("exit code 1")), ScriptFailedError, 1),
    ({}, ("commit", PathConflictError("/etc/x")), PathConflictError, 6),
    ({}, ("commit", CommitError("no space")), CommitError, 1),
]


@pytest.mark.parametrize("case", NOTHING_BEGUN)
async def test_a_fault_before_the_commit_changes_nothing(
    app: App,
    world: FakeWorld,
    case: tuple[dict[str, Any], tuple[str, Exception] | None, type[WorkflowAgentError], int],
) -> None:
    inputs, fault, error, code = case
    if fault:
        fail(world, *fault)

    with pytest.raises(error) as failed:
        await app.run("install", {**NODE, **inputs})

    assert type(failed.value) is error
    assert failed.value.exit_code == code
    assert failed.value.state
    report = await app.report(str(failed.value.run_id))
    assert (report["status"], report["changed"], report["rollback_command"]) == ("failed", False, None)
    assert report["error"]["code"] == error.code
    is_captured = statuses(report).get("prepare") == "succeeded"
    assert statuses(report)["recover"] == ("succeeded" if is_captured else "unchanged")
    assert (world.files, world.transactions, world.running, world.holder) == ({}, {}, set(), None)
    assert await app.history.generations("host") == []


@pytest.mark.parametrize(
    ("verb", "error"), [("activate", ServiceFailedError("it ended at once")), ("check", CaptureError("no probe"))]
)
async def test_a_fault_after_the_commit_is_rolled_back(
    app: App, world: FakeWorld, verb: str, error: WorkflowAgentError
) -> None:
    fail(world, verb, error)

    with pytest.raises(RolledBackError, match=error.message) as failed:
        await app.run("install", NODE)

    assert failed.value.exit_code == 9
    report = await app.report(str(failed.value.run_id))
    assert (report["status"], report["changed"], report["rollback_command"]) == ("rolled-back", False, None)
    assert report["transaction"]["state"] == "rolled-back"
    assert (world.files, world.running, world.holder) == ({}, set(), None)
    with pytest.raises(NotFoundError, match="nothing to roll back"):
        await app.run("rollback", {"approve": True})


async def test_a_red_check_is_rolled_back_and_its_evidence_is_kept(app: App, world: FakeWorld) -> None:
    world.red.add("page")

    with pytest.raises(RolledBackError, match=r"1 of \d+ checks failed: page") as failed:
        await app.run("install", NODE)

    report = await app.report(str(failed.value.run_id))
    assert {check["id"] for check in report["checks"] if check["status"] == "failed"} == {"page"}
    assert world.files == {}


async def test_a_rollback_that_fails_is_incomplete_and_offers_another(app: App, world: FakeWorld) -> None:
    fail(world, "activate", ServiceFailedError("it ended"))
    fail(world, "rollback", RollbackIncompleteError("1 path is left"))

    with pytest.raises(RollbackIncompleteError, match="it ended") as failed:
        await app.run("install", NODE)
    report = await app.report(str(failed.value.run_id))
    world.hooks.clear()
    again = await app.run("rollback", {"run": failed.value.run_id, "approve": True})

    assert failed.value.exit_code == 10
    assert (report["status"], report["changed"]) == ("needs-attention", True)
    assert report["rollback_command"] == f"workflow-agent rollback {failed.value.run_id}"
    assert again["status"] == "succeeded"
    assert (world.files, world.holder) == ({}, None)


async def test_what_failed_stays_on_request(app: App, world: FakeWorld) -> None:
    world.red.add("page")

    with pytest.raises(RollbackIncompleteError) as failed:
        await app.run("install", {**NODE, "keep_on_failure": True})

    assert failed.value.state == "changes of the run are in place"
    assert PATH in world.files
    assert (await app.report(str(failed.value.run_id)))["status"] == "needs-attention"


async def test_no_is_no_failure_and_keeps_nothing(app: App, world: FakeWorld) -> None:
    with pytest.raises(DeclinedError) as declined:
        await app.run("install", NODE_ONLY, approver=no)

    assert (declined.value.exit_code, declined.value.state) == (1, "nothing was changed")
    assert (await app.report(str(declined.value.run_id)))["status"] == "cancelled"
    assert (world.files, world.transactions, world.holder) == ({}, {}, None)


async def test_without_anybody_to_ask_nothing_is_kept(app: App, world: FakeWorld) -> None:
    with pytest.raises(ConsentError) as refused:
        await app.run("install", NODE_ONLY)

    assert refused.value.exit_code == 2
    assert (await app.report(str(refused.value.run_id)))["status"] == "failed"
    assert (world.files, world.transactions, world.holder) == ({}, {}, None)


async def test_a_target_that_is_held_is_named_and_stays_held(app: App, world: FakeWorld) -> None:
    world.holder = "r-somebody"

    with pytest.raises(TargetLockedError, match="r-somebody") as locked:
        await app.run("install", NODE)

    assert locked.value.exit_code == 6
    assert world.holder == "r-somebody"
    assert world.files == {}


# -- cancelling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("facts", "cancelled"),
        ("prepare", "cancelled"),
        ("commit", "cancelled"),
        ("activate", "rolled-back"),
        ("check", "rolled-back"),
    ],
)
async def test_a_cancel_at_any_step_leaves_nothing(app: App, world: FakeWorld, verb: str, status: str) -> None:
    reached = block(world, verb)
    run_id = new_run_id()
    running = asyncio.create_task(app.run("install", NODE, run_id=run_id))
    await asyncio.wait_for(reached.wait(), 20)

    assert await app.cancel(run_id, "interrupted by SIGINT")
    with pytest.raises(InterruptedRunError, match="SIGINT") as interrupted:
        await running

    assert interrupted.value.exit_code == 130
    assert (await app.report(run_id))["status"] == status
    taken_back = status == "rolled-back"
    assert interrupted.value.state == (
        "everything that the run changed was taken back" if taken_back else "nothing was changed"
    )
    assert (world.files, world.running, world.holder) == ({}, set(), None)
    assert not await app.cancel(run_id, "again")


@pytest.mark.parametrize("step", ["lookup", "build", "validate"])
async def test_a_cancel_at_an_early_step_never_comes_to_the_target(app: App, world: FakeWorld, step: str) -> None:
    run_id = new_run_id()
    cancels: list[asyncio.Task[bool]] = []

    def look_on(event: Mapping[str, Any], _: str) -> None:
        if (event["type"], event["step"]) == ("StepStarted", step):
            cancels.append(asyncio.create_task(app.cancel(run_id, "interrupted by SIGINT")))

    with pytest.raises(InterruptedRunError, match="SIGINT") as interrupted:
        await app.run("install", NODE, run_id=run_id, on_event=look_on)

    assert [await cancel for cancel in cancels] == [True]
    assert interrupted.value.state == "nothing was changed"
    report = await app.report(run_id)
    assert report["status"] == "cancelled"
    assert statuses(report).get("prepare") != "succeeded"
    assert statuses(report)["recover"] == "unchanged"
    assert "prepare" not in world.calls
    assert (world.files, world.transactions, world.holder) == ({}, {}, None)


async def test_a_cancel_while_a_person_thinks_keeps_nothing(app: App, world: FakeWorld) -> None:
    asked = asyncio.Event()

    async def think(_: Mapping[str, Any]) -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    run_id = new_run_id()
    running = asyncio.create_task(app.run("install", NODE_ONLY, run_id=run_id, approver=think))
    await asyncio.wait_for(asked.wait(), 20)

    assert await app.cancel(run_id, "enough")
    with pytest.raises(InterruptedRunError):
        await running

    assert (world.files, world.transactions, world.holder) == ({}, {}, None)


async def test_a_cancel_that_cannot_be_taken_back_is_incomplete(app: App, world: FakeWorld) -> None:
    reached = block(world, "activate")
    fail(world, "rollback", RollbackIncompleteError("1 path is left"))
    run_id = new_run_id()
    running = asyncio.create_task(app.run("install", NODE, run_id=run_id))
    await asyncio.wait_for(reached.wait(), 20)

    await app.cancel(run_id, "enough")

    with pytest.raises(RollbackIncompleteError):
        await running


# -- rolling back --------------------------------------------------------------------------------------------------


async def test_a_rollback_and_its_rollback_and_that_ones(app: App, world: FakeWorld) -> None:
    installed = await app.run("install", NODE)
    text = world.files[PATH]
    summaries: list[Mapping[str, Any]] = []

    async def approve(summary: Mapping[str, Any]) -> bool:
        summaries.append(summary)
        return True

    first = await app.run("rollback", {}, approver=approve)
    gone = dict(world.files)
    second = await app.run("rollback", {"run": first["run_id"]}, approver=approve)
    back = dict(world.files)
    third = await app.run("rollback", {"run": second["run_id"][:20]}, approver=approve)

    assert [summary["direction"] for summary in summaries] == ["undo", "redo", "undo"]
    assert (gone, back, world.files) == ({}, {PATH: text}, {})
    assert first["undoes"] == installed["run_id"]
    assert (first["integration"], first["changed"]) == (NODE["integration"], True)
    assert first["rollback_command"] == f"workflow-agent rollback {first['run_id']}"
    assert third["undoes"] == second["run_id"]
    assert [(await app.report(one["run_id"]))["status"] for one in (installed, first, second, third)] == [
        "rolled-back",
        "rolled-back",
        "rolled-back",
        "succeeded",
    ]
    assert await app.history.generations("host") == []


async def test_what_comes_back_but_does_not_work_goes_again_and_can_be_tried_again(app: App, world: FakeWorld) -> None:
    await app.run("install", NODE)
    undone = await app.run("rollback", {"approve": True})
    world.red.add("page")

    with pytest.raises(RolledBackError, match="page"):
        await app.run("rollback", {"run": undone["run_id"], "approve": True})
    files = dict(world.files)
    live = await app.history.generations("host")
    world.red.clear()
    redone = await app.run("rollback", {"run": undone["run_id"], "approve": True})

    assert (files, live) == ({}, [])
    assert redone["status"] == "succeeded"
    assert PATH in world.files
    assert len(await app.history.generations("host")) == 1


async def test_a_rollback_after_which_something_is_left_needs_attention(app: App, world: FakeWorld) -> None:
    installed = await app.run("install", NODE)
    world.red.add("process-gone")

    with pytest.raises(RollbackIncompleteError, match="process-gone") as failed:
        await app.run("rollback", {"approve": True})

    assert failed.value.exit_code == 10
    assert (await app.report(str(failed.value.run_id)))["status"] == "needs-attention"
    assert (await app.report(installed["run_id"]))["undone_by"] == failed.value.run_id
    assert (world.files, world.holder) == ({}, None)


async def test_a_changed_file_is_a_conflict_before_anybody_is_asked(app: App, world: FakeWorld) -> None:
    await app.run("install", NODE)
    world.files[PATH] = "somebody else's"

    with pytest.raises(PathConflictError, match=PATH) as conflict:
        await app.run("rollback", {}, approver=yes)

    assert conflict.value.exit_code == 6
    assert world.files[PATH] == "somebody else's"
    assert (await app.report(str(conflict.value.run_id)))["changed"] is False


async def test_no_to_a_rollback_changes_nothing(app: App, world: FakeWorld) -> None:
    installed = await app.run("install", NODE)

    with pytest.raises(DeclinedError) as declined:
        await app.run("rollback", {}, approver=no)

    assert PATH in world.files
    assert (await app.report(str(declined.value.run_id)))["status"] == "cancelled"
    assert (await app.report(installed["run_id"]))["undone_by"] is None


# -- asking for runs -----------------------------------------------------------------------------------------------


async def test_an_unknown_workflow_is_not_found_with_the_nearest_name(app: App) -> None:
    with pytest.raises(NotFoundError, match="instal") as unknown:
        await app.run("instal", NODE)

    assert unknown.value.hint == "did you mean `install` or `uninstall`?"
    assert unknown.value.run_id is None


@pytest.mark.parametrize("inputs", [{}, {"integration": "nginx", "aprove": True}, {"integration": 7}])
async def test_inputs_that_do_not_fit_create_nothing(app: App, tmp_path: Path, inputs: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await app.run("install", inputs)

    assert await app.history.runs() == []
    assert not (tmp_path / "state" / "artifacts").exists()


@pytest.mark.parametrize("run_id", ["", "r-1", "../../etc/x", "r-" + "0" * 27, "r-" + "o" * 26])
async def test_a_run_id_that_is_none_is_refused(app: App, run_id: str) -> None:
    with pytest.raises(ValidationError, match="no run id"):
        await app.run("verify", NODE_ONLY, run_id=run_id)


async def test_a_run_id_is_used_once(app: App) -> None:
    run_id = new_run_id()
    await app.run("verify", NODE_ONLY, run_id=run_id)

    with pytest.raises(ConflictError):
        await app.run("verify", NODE_ONLY, run_id=run_id)

    report = await app.report(run_id)
    assert report["status"] in {status.value for status in TERMINAL_RUN}
