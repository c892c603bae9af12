"""The executor and its output log: what a script does reaches the target in steps, and is recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.output_log import OutputLog
from workflow_agent.model.errors import (
    InterruptedRunError,
    NotFoundError,
    ScriptFailedError,
    TargetLockedError,
    ValidationError,
)
from workflow_agent.model.message import Message

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agents.conftest import Bench

PATH = "/etc/default/prometheus-node-exporter"


def script(text: Any = "echo hello\necho world", **changes: Any) -> dict[str, Any]:
    provenance = {"integration": "x", "action": "install", "version": "1", "template": "t", "template_hash": "h"}
    files = [{"path": "/etc/x", "format": "text", "content": "new"}]
    return {"text": text, "hash": "h", "provenance": provenance, "files": files} | changes


async def prepare(bench: Bench, run_id: str = "r-1", **data: Any) -> dict[str, Any]:
    return await bench.ask("executor.prepare", run_id=run_id, **{"target": "host", "script": script()} | data)


def records(reply: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {record["kind"]: record["data"] for record in reply["_records"]}


# -- the life of a transaction -------------------------------------------------------------------------------------


async def test_a_built_script_is_captured_committed_started_and_taken_back(bench: Bench) -> None:
    prepared = await prepare(bench, script=await bench.built())
    named = {"target": "host", "transaction": prepared["transaction"]}
    assert PATH not in bench.world.files

    committed = await bench.ask("executor.commit", **named)
    assert PATH in bench.world.files
    services = (await bench.lookup())["services"]
    activated = await bench.ask("executor.activate", **named, services=services)
    configured = await bench.ask("executor.configure", **named, effects=[])
    undone = await bench.ask("executor.rollback", **named, undoes=["r-1", "r-0"])

    assert prepared["change_set"]["changes"][0]["path"] == PATH
    about = {"integration": "prometheus-node-exporter"}
    assert records(prepared)["change-set"] == prepared["change_set"] | about
    assert records(prepared)["transaction"] == {**named, "state": "captured", "tier": "exact"} | about
    assert (committed["operations"], committed["_changed"]) == (1, True)
    assert records(committed)["transaction"]["state"] == "committed"
    assert activated["services"][0]["action"] == "started"
    assert configured == {"done": []}
    assert (undone["was"], undone["_changed"]) == ("committed", True)
    assert [record["data"]["run"] for record in undone["_records"] if record["kind"] == "undone"] == ["r-1", "r-0"]
    assert PATH not in bench.world.files


async def test_what_was_there_already_is_no_change_of_ours(bench: Bench) -> None:
    bench.world.files["/etc/x"] = "new"
    prepared = await prepare(bench)

    committed = await bench.ask("executor.commit", target="host", transaction=prepared["transaction"])

    assert prepared["change_set"]["changes"] == []
    assert (committed["operations"], "_changed" in committed) == (0, False)


async def test_looking_at_a_rollback_records_nothing(bench: Bench) -> None:
    prepared = await prepare(bench)
    await bench.ask("executor.commit", target="host", transaction=prepared["transaction"])

    plan = await bench.ask("executor.rollback", target="host", transaction=prepared["transaction"], plan_only=True)

    assert plan["removed"] == 1
    assert not [key for key in plan if key.startswith("_")]
    assert bench.world.files["/etc/x"] == "new"


async def test_data_stays_only_when_asked_for(bench: Bench) -> None:
    kept = []
    for keep_data in (True, False):
        prepared = await prepare(bench)
        named = {"target": "host", "transaction": prepared["transaction"]}
        await bench.ask("executor.commit", **named)
        await bench.ask("executor.rollback", **named, keep=["/etc"], keep_data=keep_data)
        kept.append(bench.world.files.pop("/etc/x", None))

    assert kept == ["new", None]


async def test_a_capture_can_be_discarded_twice(bench: Bench) -> None:
    prepared = await prepare(bench)
    named = {"target": "host", "transaction": prepared["transaction"]}

    first = await bench.ask("executor.discard", **named)
    await bench.ask("executor.discard", **named)

    assert records(first)["transaction"]["state"] == "discarded"
    with pytest.raises(NotFoundError):
        await bench.ask("executor.commit", **named)


async def test_package_locks_are_held_only_where_nobody_is_asked(bench: Bench) -> None:
    await prepare(bench)
    held = "release_package_locks" not in bench.world.calls
    await prepare(bench, hold_locks=False)

    assert held
    assert bench.world.calls[-1] == "release_package_locks"


async def test_services_are_left_alone_when_asked(bench: Bench) -> None:
    prepared = await prepare(bench)
    services = (await bench.lookup())["services"]

    reply = await bench.ask(
        "executor.activate", target="host", transaction=prepared["transaction"], services=services, start=False
    )

    assert reply == {"services": []}
    assert bench.world.running == set()


async def test_effects_are_carried_out_and_taken_back_with_the_transaction(bench: Bench) -> None:
    transaction = (await prepare(bench))["transaction"]
    await bench.ask("executor.commit", target="host", transaction=transaction)
    command = {"argv": ["true"]}
    role = {"id": "role", "kind": "declared", "description": "A role.", "do": command, "undo": command}
    role["probe"] = {**command, "stdout_contains": "1"}
    mail = {"kind": "irreversible", "description": "mail"}

    said = await bench.ask("executor.configure", target="host", transaction=transaction, effects=[mail])
    assert (said, bench.world.effects) == ({"done": []}, set()), "what the script did is only said"
    reply = await bench.ask("executor.configure", target="host", transaction=transaction, effects=[mail, role])

    assert reply == {"done": [{"effect": "role", "description": "A role.", "state": "done"}]}
    assert bench.world.effects == {"role"}
    await bench.ask("executor.rollback", target="host", transaction=transaction)
    assert bench.world.effects == set()


async def test_another_run_is_refused_while_the_target_is_held(bench: Bench) -> None:
    await prepare(bench, "r-1")

    with pytest.raises(TargetLockedError, match="r-1"):
        await prepare(bench, "r-2")


# -- bad requests and ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "data", "key"),
    [
        ("prepare", {"script": {}}, "script.text"),
        ("prepare", {"script": script(text=7)}, "script.text"),
        ("prepare", {"script": script(), "timeout_s": 0}, "timeout_s"),
        ("prepare", {"script": script(), "timeout_s": float("nan")}, "timeout_s"),
        ("prepare", {"script": script(), "wait_s": -1}, "wait_s"),
        ("commit", {}, "transaction"),
        ("activate", {"transaction": "t", "services": [{}]}, "services.0.name"),
        ("configure", {"transaction": "t", "effects": ["x"]}, "effects.0"),
        ("rollback", {"transaction": "t", "keep": "/etc"}, "keep"),
        ("discard", {"transaction": "t", "all": True}, "all"),
    ],
)
async def test_a_request_that_is_not_valid_names_the_key(
    bench: Bench, verb: str, data: dict[str, Any], key: str
) -> None:
    with pytest.raises(ValidationError, match=key) as refused:
        await bench.ask(f"executor.{verb}", target="host", **data)

    assert any(problem.startswith(key) for problem in refused.value.details["problems"])
    assert bench.world.calls == []


async def test_a_request_without_a_run_is_refused(bench: Bench) -> None:
    with pytest.raises(ValidationError, match="belongs to a run"):
        await bench.ask("executor.commit", run_id=None, target="host", transaction="t")


async def test_what_a_failed_script_said_is_recorded(bench: Bench) -> None:
    with pytest.raises(ScriptFailedError) as failed:
        await prepare(bench, script=script("echo before\nexit 4"))

    record, attempt = failed.value.details["_records"]
    assert (record["kind"], attempt["kind"]) == ("output", "attempt")
    assert record["data"]["tail"] == ["before"]
    assert failed.value.details["exit_code"] == 4


async def test_a_cancel_while_the_script_runs_answers_interrupted_and_leaves_nothing(bench: Bench) -> None:
    lines: list[str] = []
    begun = asyncio.Event()

    async def seen(message: Message) -> None:
        lines.append(message.data["line"])
        begun.set()

    await bench.bus.subscribe("run.r-1.output", seen)
    asked = asyncio.create_task(prepare(bench, script=script("echo begun\nsleep 60")))
    await asyncio.wait_for(begun.wait(), 10)
    await bench.bus.publish(Message("ctl.cancel", {"run_id": "r-1", "step_id": "other"}))
    await bench.bus.publish(Message("ctl.cancel", {"run_id": "r-1", "step_id": "step"}))

    with pytest.raises(InterruptedRunError):
        await asyncio.wait_for(asked, 10)

    assert lines == ["begun"]
    assert bench.world.transactions == {}
    assert (await prepare(bench))["transaction"] == "r-1.1"


# -- the output log ------------------------------------------------------------------------------------------------


async def write(bench: Bench, folder: Path, lines: list[str], limit: int = 100) -> dict[str, Any]:
    log = OutputLog(bench.bus, folder, Message("agent.executor.prepare", run_id="r-1", step_id="s"), limit=limit)
    async with log:
        for line in lines:
            log.line(line)
    return log.summary()


async def test_output_is_kept_up_to_a_limit_and_says_when_it_was_cut(bench: Bench, tmp_path: Path) -> None:
    whole = await write(bench, tmp_path, ["a" * 49, "b" * 49])
    assert (tmp_path / "output.log").read_text() == "a" * 49 + "\n" + "b" * 49 + "\n"
    cut = await write(bench, tmp_path, ["a" * 49, "b" * 49, "c"])

    assert (whole["bytes"], whole["truncated"], whole["problem"]) == (100, False, None)
    assert (cut["bytes"], cut["truncated"], cut["tail"][-1]) == (102, True, "c")
    assert (tmp_path / "output.log").stat().st_size == 100


async def test_the_last_lines_are_kept_short(bench: Bench, tmp_path: Path) -> None:
    summary = await write(bench, tmp_path, [*map(str, range(30)), "x" * 5000])

    assert len(summary["tail"]) == 20
    assert len(summary["tail"][-1]) == 2000


async def test_a_full_disk_of_ours_does_not_stop_a_script(bench: Bench, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "output.log").symlink_to("/dev/full")

    at_the_end = await write(bench, full, ["a"])
    meanwhile = await write(bench, full, ["a" * 9000, "b" * 90000, "c"], limit=1 << 20)
    nowhere = await write(bench, tmp_path / "missing", ["a"])

    for summary in (at_the_end, meanwhile, nowhere):
        assert summary["truncated"]
        assert summary["problem"]
    assert meanwhile["tail"][-1] == "c"


async def test_who_watches_too_slowly_holds_nobody_up(bench: Bench, tmp_path: Path) -> None:
    released = asyncio.Event()

    async def slow(_: Message) -> None:
        await released.wait()

    subscription = await bench.bus.subscribe("run.r-1.output", slow, limit=1)
    async with asyncio.timeout(10):
        summary = await write(bench, tmp_path, [str(number) for number in range(3000)], limit=1 << 20)
    released.set()
    await subscription.close()

    assert not summary["truncated"]
    assert summary["tail"][-1] == "2999"
