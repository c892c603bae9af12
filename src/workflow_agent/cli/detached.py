"""The process that drives a run without a terminal (``detaching`` starts it); not a command that people type.

It reads its job from standard input, says on descriptor 3 that the run has begun or why it has not, and writes what
would be talk into ``process.log`` in the run's folder. A signal stops it as it stops ``run``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.crash import crash_error
from workflow_agent.cli.detaching import REPORT_FD
from workflow_agent.cli.invocation import Invocation
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.security.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.app.flows import Flows
    from workflow_agent.cli.flow_session import Drive
    from workflow_agent.model.event import RunState

__all__ = ["main"]

#: Seconds between two looks whether the run has begun.
_LOOK_S = 0.01
_COLLECT_AFTER = 50_000


class _Report:
    """Says one thing to the process that started this one."""

    def __init__(self) -> None:
        self.is_said = False

    def say(self, answer: Mapping[str, Any]) -> None:
        """Say it and hang up; what comes after it is not heard."""
        if self.is_said:
            return
        self.is_said = True
        try:
            os.write(REPORT_FD, json.dumps(answer).encode() + b"\n")
            os.close(REPORT_FD)
        except OSError:  # whoever wanted to know has left
            return


def main() -> int:
    """Do the job on standard input."""
    gc.set_threshold(_COLLECT_AFTER)
    report = _Report()
    job: dict[str, Any] = json.load(sys.stdin.buffer)
    invocation = Invocation(config=Path(job["config"]) if job["config"] else None)
    try:
        drive = _drive(job, invocation)
        _redirect(invocation, drive.run_id)
        return asyncio.run(_driven(invocation, drive, report))
    except WorkflowAgentError as error:
        report.say({"error": error.to_dict()})
        return error.exit_code
    except Exception as error:  # noqa: BLE001  # the border: whoever waits is told
        crashed = crash_error(error, [sys.argv[0]], invocation)
        report.say({"error": crashed.to_dict()})
        return crashed.exit_code


def _drive(job: Mapping[str, Any], invocation: Invocation) -> Drive:
    from workflow_agent.authoring.sdk.loading import load_file  # noqa: PLC0415  # late: the Python front end
    from workflow_agent.cli.flow_session import (  # noqa: PLC0415  # late: the application
        Drive,
        FlowRequest,
        drive_of_resume,
        prepared_request,
    )

    secrets = {name: Secret(value) for name, value in job["secrets"].items()}
    if "resume" in job:
        return asyncio.run(drive_of_resume(invocation, job["resume"], secrets, one_step=job["one_step"]))
    if "fork" in job:
        return _drive_of_fork(job["fork"], invocation, secrets)
    request = FlowRequest(
        workflow=load_file(job["file"], job["workflow_config"]),
        given=job["given"],
        secrets=secrets,
        key=job["key"],
        tags=job["tags"],
        break_before=job["break_before"],
        source=job["source"],
        events=False,
    )
    run = prepared_request(request)
    return Drive(run_id=run.run_id, definition=run.definition, act=lambda flows: flows.run(run))


def _drive_of_fork(job: Mapping[str, Any], invocation: Invocation, secrets: Mapping[str, Secret]) -> Drive:
    from workflow_agent.app.flow_fork import Fork  # noqa: PLC0415  # late, loaded already
    from workflow_agent.cli.flow_session import drive_of_resume  # noqa: PLC0415  # late, loaded already
    from workflow_agent.cli.forking import drive_of_fork  # noqa: PLC0415  # late

    fork = Fork(**job, again=(), kept=())
    like = asyncio.run(drive_of_resume(invocation, fork.origin, secrets, one_step=False))
    return drive_of_fork(fork, like.definition, secrets)


def _redirect(invocation: Invocation, run_id: str) -> None:
    """Let what is printed from here on stand beside the run's other files."""
    folder = invocation.settings().paths.state / "artifacts" / run_id
    for each in (folder.parent.parent, folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True, parents=True)
    log = os.open(folder / "process.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


async def _driven(invocation: Invocation, drive: Drive, report: _Report) -> int:
    from workflow_agent.cli.flow_session import driven  # noqa: PLC0415  # late, loaded already
    from workflow_agent.cli.progress import Silent  # noqa: PLC0415  # late, loaded already

    telling: list[asyncio.Task[None]] = []

    def act(flows: Flows) -> Any:  # Any: an awaitable of the run's end
        telling.append(asyncio.ensure_future(_tell_when_begun(flows, drive.run_id, report)))
        return drive.act(flows)

    try:
        ended = await driven(invocation, _acting(drive, act), Silent(), sys.stdout)
    finally:
        for task in telling:
            task.cancel()
    report.say({"run_id": drive.run_id, "status": ended.report["status"]})  # it had ended before
    return 0 if ended.error is None else ended.error.exit_code


def _acting(drive: Drive, act: Any) -> Drive:  # Any: as above
    from dataclasses import replace  # noqa: PLC0415  # late, loaded already

    return replace(drive, act=act)


async def _tell_when_begun(flows: Flows, run_id: str, report: _Report) -> None:
    while not flows.is_driven(run_id) or not await flows.journal.events(run_id):  # noqa: ASYNC110  # the lock tells nobody
        await asyncio.sleep(_LOOK_S)
    state: RunState = await flows.state(run_id)
    report.say({"run_id": run_id, "status": state.status.value})


if __name__ == "__main__":
    sys.exit(main())
