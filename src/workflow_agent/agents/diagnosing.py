"""Failures of the executor, told by their class: what happened, what is done about it, and the evidence that stays.

It wraps the verbs that work on a target. Whether a step is tried again is decided here, from the one table of
:mod:`workflow_agent.agents.recovery_rules`, and carried to the engine by the error itself (``details.retry``).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents.attempts import keep_attempt
from workflow_agent.agents.recovery_rules import Bounds, Diagnosis, FailureClass, decide, diagnose, retry_pause
from workflow_agent.agents.serving import Verb
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.system import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.agents.serving import Answer, Reply, VerbHandler
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import TargetRegistry
    from workflow_agent.security.vault import Vault

__all__ = ["Diagnostician"]

#: Verbs before the commit, whose effects are captured: they can be repeated.
_REPEATABLE: Final = frozenset({"prepare"})
_DIAGNOSED: Final = frozenset({"prepare", "commit", "activate", "configure"})
#: A port, in the words before "address already in use"; a time of day is none.
_PORT: Final = re.compile(r"(?:\bport |:)(\d{1,5})\b(?![:.]\d)", re.IGNORECASE)
_TAKEN: Final = re.compile("address already in use", re.IGNORECASE)
_UNIT: Final = 1000
#: Where we ourselves may not do something, our own hint says more than that of the class.
_KNOWS_MORE: Final = frozenset({"permission", "step-failed.capture"})
_HINTS: Final[Mapping[FailureClass, str]] = {
    FailureClass.LOCK: "look at who holds it, and run the command again when it is done",
    FailureClass.NETWORK: "check the network, the proxy and the package sources of the target, then run it again",
    FailureClass.DISK: "make room there (`df -h`, `df -i`), then run the command again",
    FailureClass.SIGNATURE: "renew the key of the package source (`signed-by`), then run the command again",
    FailureClass.DEPENDENCY: "check the name, and that a package source of the target has it (`apt-cache policy NAME`)",
    FailureClass.PORT: "stop what holds the port, or choose another one with `--param`",
    FailureClass.PERMISSION: "look at who may do this on the target; a file system may be read-only",
    FailureClass.TIME_OUT: "give it longer with `--timeout`, or look at what it waits for",
    FailureClass.CONFIGURATION: "correct what it names, in the parameters or in a file that was there before",
    FailureClass.NOT_RUNNING: "look at what it said last, and at what it needs: files, folders, rights",
}


class Diagnostician:
    """Adds class, cause, next command and evidence to errors of the executor.

    Args:
        targets: Gives targets by name, to look at who holds a port.
        artifacts: Gives the folder for a run's files.
        vault: Has the secrets of runs, which no evidence shows.
        bounds: How often and how long is tried again.
    """

    def __init__(self, targets: TargetRegistry, artifacts: Callable[[str], Path], vault: Vault, bounds: Bounds) -> None:
        self._targets = targets
        self._artifacts = artifacts
        self._vault = vault
        self._bounds = bounds

    def diagnosed(self, verbs: Mapping[str, Verb]) -> Mapping[str, Verb]:
        """Give the same verbs; the errors of those that work on a target are told by their class."""
        return {
            name: Verb(verb.request, verb.reply, self._told(name, verb.handler)) if name in _DIAGNOSED else verb
            for name, verb in verbs.items()
        }

    def _told(self, verb: str, handler: VerbHandler) -> VerbHandler:
        async def handle(
            request: Any, message: Message
        ) -> tuple[Answer | Reply, Mapping[str, Any]]:  # Any: its Request
            try:
                return await handler(request, message)
            except WorkflowAgentError as error:
                if message.run_id is not None:
                    await self._tell(verb, error, request.target, message)
                raise

        return handle

    async def _tell(self, verb: str, error: WorkflowAgentError, target: str, message: Message) -> None:
        committed = verb not in _REPEATABLE
        # Another run that holds the target is waited for with `--wait` only: it may take as long as it likes.
        if "run_id" in error.details and error.code == "conflict.target-locked":
            return
        found = diagnose(error.to_dict())
        decision = decide(found.failure, committed=committed)
        pause = None if committed else retry_pause(found.failure, message.attempt, self._bounds)
        if found.failure is not FailureClass.UNKNOWN:
            error.cause = f"{found.failure.value}: {await self._cause(found, error, target)}"
            if found.failure is not FailureClass.PERMISSION or error.code not in _KNOWS_MORE:
                error.hint = _HINTS.get(found.failure, error.hint)
        staged = error.details.pop("staged", None)
        error.details["failure"] = {
            "class": found.failure.value,
            "source": found.source and found.source.value,
            "evidence": found.evidence,
            "decision": decision.value,
            "attempt": message.attempt,
        }
        error.details["retry"] = None if pause is None else {"pause_s": pause}
        records = error.details.setdefault("_records", [])
        attempt = await asyncio.to_thread(self._keep, error, staged, message)
        records.append({"kind": RecordKind.ATTEMPT, "data": attempt})

    def _keep(self, error: WorkflowAgentError, staged: Any, message: Message) -> dict[str, Any]:  # Any: a JSON value
        masker = self._vault.masker(message.run_id)
        said = {key: value for key, value in error.to_dict().items() if key != "details"}
        shown = {"error": said, "failure": error.details["failure"], "retry": error.details["retry"], "staged": staged}
        shown["tail"] = error.details.get("tail", [])
        folder = self._artifacts(str(message.run_id))
        hidden: dict[str, Any] = shown if masker is None else masker.mask_value(shown)
        return keep_attempt(folder, str(message.step_id), message.attempt, hidden)

    async def _cause(self, found: Diagnosis, error: WorkflowAgentError, target: str) -> str:
        if found.failure is FailureClass.DISK:
            return _room(error.details.get("free"), found.evidence)
        if found.failure is FailureClass.PORT:
            return await self._port(found.evidence, target)
        if found.failure is FailureClass.LOCK:
            return _lock(error, found.evidence)
        if found.failure is FailureClass.NOT_RUNNING:
            return error.cause or error.state or found.evidence
        return found.evidence or error.message

    async def _port(self, evidence: str, target: str) -> str:
        """Name the port, and who listens on it now."""
        ports = _PORT.findall(_TAKEN.split(evidence, maxsplit=1)[0])
        if not ports:
            return f"a port is taken: {evidence}"
        spec = {"port": int(ports[-1]), "protocol": "tcp", "open": True}
        try:
            (result,) = await self._targets.get(target).check([Check(id="port", kind="port", spec=spec, timeout_s=1.0)])
        except WorkflowAgentError:
            return f"port {ports[-1]} is taken"
        holder = re.search(r"by (\S+) \(pid (\d+)\)", result.observed)
        return f"port {ports[-1]} is taken" + (
            f" by {holder[1].rpartition('/')[2]} (pid {holder[2]})" if holder else ""
        )


def _lock(error: WorkflowAgentError, evidence: str) -> str:
    if error.code == "conflict.target-locked":
        return f"{error.message}, {evidence}" if evidence and evidence != error.message else error.message
    return evidence


def _room(free: Any, evidence: str) -> str:  # Any: what the target noted, a list of rooms
    """``no space left on /var: 12 MB free``: the place that the evidence names, else the fullest one."""
    rooms = [room for room in free if isinstance(room, dict)] if isinstance(free, list) else []
    if not rooms:
        return evidence
    named = [room for room in rooms if room["path"] != "/" and room["path"] in evidence]
    room = min(named or rooms, key=lambda item: float(item["free_bytes"]))
    text = f"no space left on {room['path']}: {_size(room['free_bytes'])} free of {_size(room['total_bytes'])}"
    return text + (", no entry (inode) free" if room["free_entries"] == 0 else "") + f" ({evidence})"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < _UNIT:
            return f"{count:.0f} {unit}"
        count /= _UNIT
    return f"{count:.1f} GB"
