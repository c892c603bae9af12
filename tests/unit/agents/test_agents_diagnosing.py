"""Errors of the executor: their class, what is done about them, and the evidence that stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.attempts import keep_attempt
from workflow_agent.agents.executor import ExecutorAgent
from workflow_agent.agents.recovery_rules import Bounds
from workflow_agent.agents.serving import serve
from workflow_agent.bus import InProcessBus
from workflow_agent.model.errors import (
    CaptureError,
    ScriptFailedError,
    ServiceFailedError,
    TargetLockedError,
    UnreachableError,
    WorkflowAgentError,
)
from workflow_agent.model.message import Message
from workflow_agent.model.system import CheckResult, CheckStatus
from workflow_agent.testing.fake_target import FakeTarget, FakeTargets, FakeWorld

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.model.system import Check

NETWORK = "Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)"
PROVENANCE = {"integration": "x", "action": "install", "version": "1", "template": "t", "template_hash": "h"}


async def failed(
    folder: Path, verb: str, script: str = "", *, error: WorkflowAgentError | None = None, attempt: int = 1
) -> WorkflowAgentError:
    """Ask an executor whose target fails; gives its error."""
    world = FakeWorld()

    async def fail() -> None:
        assert error is not None
        raise error

    if error is not None:
        world.hooks[verb] = fail
    bus = InProcessBus()
    agent = ExecutorAgent(
        FakeTargets(world), bus, lambda _: folder, output_limit=1000, bounds=Bounds(attempts=2, first_pause_s=0.5)
    )
    served = await serve(bus, agent)
    data: dict[str, Any] = {"target": "host"}
    if verb == "prepare":
        data["script"] = {"text": script, "hash": "h", "provenance": PROVENANCE, "files": []}
    else:
        data |= {"transaction": "t", "services": []}
    message = Message(f"agent.executor.{verb}", data, run_id="r-1", step_id="prepare", attempt=attempt)
    try:
        with pytest.raises(WorkflowAgentError) as caught:
            await bus.request(message, timeout_s=20)
    finally:
        await served.close()
        await bus.drain()
    return caught.value


async def test_a_network_that_failed_is_told_repeated_and_its_evidence_kept(tmp_path: Path) -> None:
    error = await failed(tmp_path, "prepare", f"echo {NETWORK}\nexit 100")

    assert error.cause == f"network: {NETWORK}"
    assert "proxy" in str(error.hint)
    assert error.details["retry"] == {"pause_s": 0.5}
    assert error.details["failure"] == {
        "class": "network",
        "source": "output",
        "evidence": NETWORK,
        "decision": "retry",
        "attempt": 1,
    }
    record = error.details["_records"][-1]
    assert record["kind"] == "attempt"
    assert (record["data"]["class"], record["data"]["pause_s"], record["data"]["attempt"]) == ("network", 0.5, 1)
    kept = Path(record["data"]["folder"])
    assert kept == tmp_path / "attempts" / "prepare-1"
    assert (kept / "output.log").read_text(encoding="utf-8") == f"{NETWORK}\n"
    evidence = json.loads((kept / "evidence.json").read_text(encoding="utf-8"))
    assert evidence["error"]["code"] == "step-failed.script"
    assert evidence["failure"]["class"] == "network"


async def test_the_last_attempt_is_not_repeated(tmp_path: Path) -> None:
    error = await failed(tmp_path, "prepare", f"echo {NETWORK}\nexit 100", attempt=2)

    assert error.details["retry"] is None
    assert error.details["_records"][-1]["data"]["pause_s"] is None


async def test_after_the_commit_nothing_is_repeated(tmp_path: Path) -> None:
    error = await failed(tmp_path, "activate", error=ServiceFailedError("it ended", cause=NETWORK))

    assert (error.details["failure"]["decision"], error.details["retry"]) == ("roll-back", None)


async def test_an_unknown_failure_keeps_its_own_words(tmp_path: Path) -> None:
    error = await failed(tmp_path, "prepare", "echo strange\nexit 4")

    assert (error.cause, error.details["failure"]["class"]) == ("strange", "unknown")
    assert error.details["failure"]["decision"] == "stop"


async def test_a_package_lock_is_waited_for_but_a_target_that_a_run_holds_is_not(tmp_path: Path) -> None:
    lock = TargetLockedError("a package lock is held: /x", cause="held by apt-get (process 7)")
    by_run = TargetLockedError("the target is held by run r-9", details={"run_id": "r-9"})

    waited = await failed(tmp_path, "prepare", error=lock)
    refused = await failed(tmp_path, "prepare", error=by_run)

    assert waited.cause == "lock: a package lock is held: /x, held by apt-get (process 7)"
    assert waited.details["failure"]["decision"] == "wait"
    assert "failure" not in refused.details


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (
            [("/", 5e9, 9e9, 5), ("/var", 12_000_000, 3e9, 5)],
            "disk: no space left on /var: 12 MB free of 3.0 GB (No space left on device)",
        ),
        ([("/", 900, 9000, 0)], "disk: no space left on /: 900 B free of 9 kB, no entry (inode) free"),
        ([], "disk: No space left on device"),
    ],
)
async def test_a_full_disk_is_named_with_what_is_left(
    tmp_path: Path, free: Sequence[tuple[str, float, float, int]], said: str
) -> None:
    keys = ("path", "free_bytes", "total_bytes", "free_entries")
    rooms = [dict(zip(keys, room, strict=True)) for room in free]
    staged = {"count": 2, "entries": [{"path": "/opt/x", "kind": "file", "bytes": 3}]}
    full = CaptureError("it failed", cause="No space left on device", details={"free": rooms, "staged": staged})

    error = await failed(tmp_path, "prepare", error=full)

    assert str(error.cause).startswith(said)
    assert error.details["retry"] is None
    assert "staged" not in error.details
    assert error.details["_records"][-1]["data"]["staged"] == 2
    evidence = json.loads((tmp_path / "attempts/prepare-1/evidence.json").read_text(encoding="utf-8"))
    assert evidence["staged"] == staged


@pytest.mark.parametrize(
    ("words", "observed", "said"),
    [
        (
            "bind() to 0.0.0.0:80 failed (98: Address already in use)",
            "listens on 0.0.0.0 by /usr/sbin/nginx (pid 812)",
            "port-in-use: port 80 is taken by nginx (pid 812)",
        ),
        (
            "ts=07:25:15.269Z err=listen tcp :9100: bind: address already in use",
            "nothing listens",
            "port-in-use: port 9100 is taken",
        ),
        ("listen tcp :9100: bind: address already in use", None, "port-in-use: port 9100 is taken"),
        ("Address already in use", "", "port-in-use: a port is taken: Address already in use"),
    ],
)
async def test_a_port_that_is_taken_is_named_with_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, observed: str | None, said: str
) -> None:
    async def check(_: FakeTarget, checks: Sequence[Check]) -> list[CheckResult]:
        if observed is None:
            raise UnreachableError("the target does not answer")
        status = CheckStatus.PASSED
        return [CheckResult(id=checks[0].id, kind="port", status=status, observed=observed, expected="")]

    monkeypatch.setattr(FakeTarget, "check", check)  # who listens is the target's answer, whatever it may be

    error = await failed(tmp_path, "activate", error=ServiceFailedError("it ended", cause=words))

    assert error.cause == said


def test_evidence_that_cannot_be_written_does_not_hide_the_failure(tmp_path: Path) -> None:
    (tmp_path / "attempts").write_text("in the way", encoding="utf-8")
    evidence: dict[str, Any] = {
        "failure": {"class": "disk", "decision": "stop", "evidence": "x"},
        "error": ScriptFailedError("no").to_dict(),
        "retry": None,
        "staged": None,
    }

    kept = keep_attempt(tmp_path, "prepare", 1, evidence)

    assert (kept["folder"], kept["class"], kept["staged"]) == (None, "disk", 0)
