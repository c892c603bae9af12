"""Runs at a runner that was chosen by its name: it is asked whether it is well before each run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.client.remote import RemoteRuns
from workflow_agent.client.runners import asked_health, check_runner, needs_of, token_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from workflow_agent.client.port import KnownRun
    from workflow_agent.client.runners import Runner

__all__ = ["RunnerRuns"]


class RunnerRuns(RemoteRuns):
    """Begins runs at a runner that is well and has what their steps need.

    Args:
        runner: A server.
        required: Components that it must have besides.

    Raises:
        ParameterError: its token cannot be read.
    """

    def __init__(self, runner: Runner, required: Collection[str] = ()) -> None:
        super().__init__(str(runner.url), token_of(runner))
        self._runner = runner
        self._required = frozenset(required)

    def aside(self) -> RunnerRuns:
        """Give the same runs for another event loop."""
        return RunnerRuns(self._runner, self._required)

    async def begin(self, workflow: Any, given: Mapping[str, Any], *, is_awaited: bool, **wanted: Any) -> KnownRun:
        """Begin a run, or find the one of the key; raises UnreachableError where the runner is not fit for it."""
        needed = needs_of(compile_workflow(workflow)) | self._required
        check_runner(await asked_health(self._runner), needed)
        return await super().begin(workflow, given, is_awaited=is_awaited, **wanted)
