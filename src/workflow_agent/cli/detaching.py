"""A run that outlives the terminal that began it: another process drives it, which says when it has begun.

What it is to do, and its secrets, go through a pipe: nothing of that is in its arguments or its environment.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import InternalError, error_from_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.cli.invocation import Invocation

__all__ = ["DETACHED", "REPORT_FD", "detach"]

#: The module that such a process runs.
DETACHED = "workflow_agent.cli.detached"
#: Where it says that it has begun, or why it has not.
REPORT_FD = 3


def detach(invocation: Invocation, job: Mapping[str, Any]) -> dict[str, Any]:
    """Start a process for a job; gives the run's id and the process's once the run is on disk and driven.

    Raises:
        WorkflowAgentError: the run was refused.
    """
    places = {"config": str(invocation.config.resolve()) if invocation.config else None}
    job_out, job_in = os.pipe()
    report_out, report_in = os.pipe()
    try:
        pid = _started(job_out, report_in)
    finally:
        os.close(job_out)
        os.close(report_in)
    try:
        with os.fdopen(job_in, "wb") as stream:
            stream.write(json.dumps({**job, **places}).encode())
        with os.fdopen(report_out, "rb") as stream:
            said = stream.readline()
    except KeyboardInterrupt:
        os.kill(pid, signal.SIGINT)
        raise
    answer: dict[str, Any] = json.loads(said) if said else {}
    if "error" in answer:
        raise error_from_dict(answer["error"])
    if "run_id" not in answer:
        raise InternalError("the process that was to drive the run ended at once", cause=f"process {pid}")
    return {**answer, "pid": pid}


def _started(job: int, report: int) -> int:
    """Start it in a session of its own, so that the end of the terminal is none of its business."""
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", DETACHED],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, job, 0),
            # over what may have been one of the pipes: both have been copied, or are copied from a higher number
            (os.POSIX_SPAWN_DUP2, report, REPORT_FD),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
        setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
    )
