"""Runs of a server, asked for over HTTP: the same port as the runs of this process."""

from __future__ import annotations

import json
import secrets as random
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

from workflow_agent.authoring.flow_lowering import INSTANCE
from workflow_agent.authoring.sdk.compiling import compile_workflow, instance_input, instance_to_run
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.client.events import WorkflowEvent
from workflow_agent.client.http_api import HttpApi
from workflow_agent.client.port import KnownRun
from workflow_agent.model.errors import ConflictError, UsageError, ValidationError, error_from_dict
from workflow_agent.model.status import RunStatus
from workflow_agent.security.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from workflow_agent.client.logs import LogStream
    from workflow_agent.model.workflow import Workflow

__all__ = ["RemoteRuns"]

#: Seconds for which the server waits for an end before it says that there is none yet.
_WAIT_S: Final = 30
_MOST_RUNS: Final = 1000
_MOST_BYTES: Final = 1 << 20


class RemoteRuns:
    """Begins runs at a server, and looks at all runs that it knows.

    Args:
        url: Its address.
        token: Its token.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._api = HttpApi(url, token)

    @asynccontextmanager
    async def use(self) -> AsyncIterator[HttpApi]:
        """Keep the connection open inside the block."""
        async with self._api.use():
            yield self._api

    def aside(self) -> RemoteRuns:
        """Give the same runs for another event loop."""
        return RemoteRuns(self._url, self._token)

    # -- beginning ---------------------------------------------------------------------------------------------------

    async def begin(
        self,
        workflow: Any,
        given: Mapping[str, Any],
        *,
        is_awaited: bool,
        secrets: Mapping[str, str | Secret] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        durability: str | None = None,
        break_before: Collection[str] = (),
    ) -> KnownRun:
        """Begin a run, or find the one of the key; what the port says."""
        definition = compile_workflow(workflow)
        body: dict[str, Any] = {
            "workflow": definition.to_dict(),
            "input": as_json(dict(given), what="the input", where=f"workflow {definition.name}"),
            "tags": dict(tags or {}),
            "secrets": {name: _revealed(value) for name, value in (secrets or {}).items()},
            "instance": _instance(workflow, definition),
        }
        if break_before:
            body["break_before"] = sorted(break_before)
        if durability is not None:
            body["durability"] = durability
        _check_size(body)
        # With a key of its own the request can be repeated: a run cannot begin twice.
        found = await self._api.post("/workflows/execute", body, idempotency_key or random.token_hex(16))
        known = _known(found)
        if known.workflow_hash != definition.hash:
            raise ConflictError(
                "the server reads the definition otherwise",
                run_id=known.run_id,
                hint="use the same release at both ends",
            )
        if is_awaited:
            await self.end(known)
        return known

    async def find(self, run: str) -> KnownRun:
        """Find a run; raises NotFoundError."""
        return _known(await self._described(run))

    async def resume(self, run: str, secrets: Mapping[str, Secret] | None) -> KnownRun:
        """Let the server drive a run to its end whose process died; raises ConflictError."""
        body = {"secrets": {name: _revealed(value) for name, value in (secrets or {}).items()}}
        if (found := await self._described(run))["is_driven"]:
            raise ConflictError("a process drives the run", run_id=found["run_id"])
        known = _known(await self._api.post(f"/runs/{found['run_id']}/resume", body))
        await self.end(known)
        return known

    # -- one run -----------------------------------------------------------------------------------------------------

    async def _described(self, run: str, wait_s: int = 0) -> dict[str, Any]:
        query = {"wait": str(wait_s)} if wait_s else None
        found: dict[str, Any] = await self._api.get(f"/runs/{_plain_id(run)}", query)
        return found

    async def status(self, run: str) -> RunStatus:
        """Say where it stands."""
        return RunStatus((await self._described(run))["status"])

    async def end(self, run: KnownRun) -> RunStatus:
        """Wait for its end; raises ConflictError where nobody drives it."""
        return RunStatus((await self._ended(run))["status"])

    async def result(self, run: KnownRun) -> Any:  # Any: a JSON value
        """Wait for its end and give its result; raises the run's error when it did not succeed."""
        found = await self._ended(run)
        if found["error"] is not None:
            raise error_from_dict(found["error"])
        return found["result"]

    async def _ended(self, run: KnownRun) -> dict[str, Any]:
        while True:
            found = await self._described(run.run_id, _WAIT_S)
            if found["finished_at"] is not None:
                return found
            if not found["is_driven"]:
                hint = f"`workflow-agent resume {run.run_id}` where the server runs"
                raise ConflictError("no process drives the run", run_id=run.run_id, hint=hint)

    async def events(self, run_id: str, after: str) -> AsyncIterator[WorkflowEvent]:
        """Give its events behind a place, to its last, as they happen; also over a restart of the server."""
        async for each in self._api.stream(f"/runs/{_plain_id(run_id)}/events", after):
            data = each.data | {"timestamp": datetime.fromisoformat(each.data["timestamp"]), "id": each.id}
            yield WorkflowEvent(**data)

    async def cancel(self, run: str, reason: str) -> bool:
        """Ask it to stop; False when it is past that."""
        return bool((await self._api.post(f"/runs/{_plain_id(run)}/cancel", {"reason": reason}))["cancelled"])

    async def signal(self, run_id: str, name: str, data: Any) -> None:
        """Tell it that something happened."""
        said = {"name": name, "data": as_json(data, what="the signal's data")}
        await self._api.post(f"/runs/{_plain_id(run_id)}/signal", said)

    async def pause(self, run_id: str, reason: str) -> None:
        """Let nothing new start in it."""
        await self._api.post(f"/runs/{_plain_id(run_id)}/pause", {"reason": reason})

    async def unpause(self, run_id: str, *, one_step: bool) -> None:
        """Let it go on, or one step of it."""
        await self._api.post(f"/runs/{_plain_id(run_id)}/resume", {"step": one_step})

    async def logs(self, run: str) -> list[str]:
        """List what its steps said."""
        return list((await self._api.get(f"/runs/{_plain_id(run)}/logs"))["lines"])

    # -- all runs ----------------------------------------------------------------------------------------------------

    async def newest(self, workflow_name: str) -> list[dict[str, Any]]:
        """List the newest runs of a workflow, among the newest 1,000 of all."""
        found = await self._api.get("/runs", {"limit": str(_MOST_RUNS)})
        return [run for run in found["items"] if run["workflow"] == workflow_name]

    async def scraped(self) -> str:
        """Give figures of all runs, and of the server, as Prometheus reads them."""
        return str(await self._api.get("/metrics", text=True))

    # -- what is not served ------------------------------------------------------------------------------------------

    async def kept(self, run: str) -> NoReturn:
        """Refuse."""
        _not_served("what steps keep", f"`workflow-agent inspect {run}` shows it where the server runs")

    async def change(self, run_id: str, data: Mapping[str, Any]) -> NoReturn:
        """Refuse."""
        del data
        _not_served("a change of a run", f"`workflow-agent change {run_id}` does it where the server runs")

    async def look(self, run: KnownRun, step: str | None) -> NoReturn:
        """Refuse."""
        del step
        _not_served("a look into a run", f"`workflow-agent inspect {run.run_id}` does it where the server runs")

    def log_stream(self, run: str) -> LogStream:
        """Refuse."""
        _not_served("the log as it grows", f"`get_logs` gives what is there; `workflow-agent logs -f {run}` follows it")

    async def measured(self, run: str) -> NoReturn:
        """Refuse."""
        del run
        _not_served("the metrics of one run", "`get_metrics_text` has the newest values of all")

    def credentials(self) -> NoReturn:
        """Refuse."""
        _not_served("the list of credentials", "`workflow-agent secrets list` prints it where the server runs")

    def all_events(self, workflow_name: str | None) -> AsyncIterator[WorkflowEvent]:
        """Refuse."""
        del workflow_name
        _not_served("the events of all runs", "`execution.stream_events()` gives those of one run")


def _not_served(what: str, hint: str) -> NoReturn:
    raise UsageError(f"the server does not offer {what} in this release", where="WorkflowClient", hint=hint)


def _known(found: Mapping[str, Any]) -> KnownRun:
    return KnownRun(run_id=found["run_id"], workflow_name=found["workflow"], workflow_hash=found["workflow_hash"])


def _plain_id(run: str) -> str:
    """Give a run's id as it can stand in a path."""
    if not run.replace("-", "").isalnum() or not run.isascii():
        raise ValidationError(f"`{run[:60]}` is no run id")
    return run.upper().replace("R-", "r-", 1) if run[:2].lower() == "r-" else run


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _instance(workflow: Any, definition: Workflow) -> dict[str, Any] | None:
    """Give what the workflow's class was made with, where its steps are methods."""
    if INSTANCE not in definition.inputs or (instance := instance_to_run(workflow)) is None:
        return None
    made_with = instance_input(instance)
    if made_with is None:
        raise ValidationError(
            f"what `{type(instance).__qualname__}` was made with cannot be sent to a server",
            where=f"workflow {definition.name}",
            cause="its constructor was given something that JSON cannot say",
            hint="make such objects in the constructor, from texts and numbers",
        )
    return made_with


def _check_size(body: Mapping[str, Any]) -> None:
    if len(json.dumps(body)) > _MOST_BYTES:
        raise UsageError(
            "the workflow and its input are larger than 1 MiB", hint="give large values by a path or a URL"
        )
