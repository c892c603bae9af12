"""From failures, by their class, to suggestions: one table. A suggestion changes nothing before a person accepts it.

The classes are those of :mod:`.recovery_rules`, which recognise them from exit codes and output.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents.recovery_rules import Bounds, FailureClass, diagnose
from workflow_agent.model.identity import content_hash
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Failure", "failures_of", "suggestion_for"]

_PORT: Final = re.compile(r"port (\d{1,5}) is taken")
_HIGHEST_PORT: Final = 65535
_MOST_ATTEMPTS: Final = 20
#: What a person does where no value helps, by class.
_BY_HAND: Final[Mapping[FailureClass, str]] = {
    FailureClass.DISK: "make room on the target before the next run",
    FailureClass.SIGNATURE: "renew the key of the package source on the target; nothing is installed unsigned",
    FailureClass.DEPENDENCY: "add a package source that has what is missing, or correct the name",
    FailureClass.PERMISSION: "give the right that is missing, or remount the file system for writing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt: its class, the sign by which it was recognised, where."""

    failure: FailureClass
    evidence: str
    run_id: str
    step: str
    cause: str = ""


def failures_of(run: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]]) -> list[Failure]:
    """List what failed in a run: its recorded attempts, and the error of its end where none of them tells of it."""
    found = [
        Failure(
            failure=_class(attempt.get("class")),
            evidence=str(attempt.get("evidence") or ""),
            run_id=str(run["run_id"]),
            step=str(attempt.get("step") or ""),
            cause=str(attempt.get("cause") or ""),
        )
        for attempt in attempts
    ]
    error = run.get("error")
    if not found and error:
        told = diagnose(error)
        where = next((step["id"] for step in run.get("steps", ()) if step.get("status") == "failed"), "")
        cause = str(error.get("cause") or "")
        found.append(
            Failure(failure=told.failure, evidence=told.evidence, run_id=str(run["run_id"]), step=where, cause=cause)
        )
    return [one for one in found if one.failure is not FailureClass.UNKNOWN]


def _class(name: object) -> FailureClass:
    return next((kind for kind in FailureClass if kind == name), FailureClass.UNKNOWN)


def suggestion_for(
    failure: Failure,
    *,
    integration: str | None,
    parameters: Mapping[str, Any],
    ports: Sequence[str],
    bounds: Bounds,
    script_s: float,
) -> dict[str, Any] | None:
    """Say what would help the next time; None where nothing is known to.

    Args:
        failure: What failed.
        integration: Which was to be installed.
        parameters: With which values.
        ports: Names of its parameters that are ports.
        bounds: How often is tried again now.
        script_s: How long a script may take now.

    Returns:
        improvement_id, integration, failure, suggestion (`kind`: ``parameter``, ``setting`` or ``by-hand``; `text`; the
        first two with `name` and `value`), evidence.
    """
    if failure.failure is FailureClass.PORT:
        said = _other_port(failure, integration, parameters, ports)
    else:
        said = _suggested(failure.failure, bounds, script_s)
    if said is None:
        return None
    about = {"integration": integration, "failure": failure.failure.value, "suggestion": said}
    evidence = {"run_id": failure.run_id, "step": failure.step, "sign": failure.evidence, "cause": failure.cause}
    return {"improvement_id": f"i-{content_hash(about)[:10]}", **about, "evidence": [evidence]}


def _suggested(failure: FailureClass, bounds: Bounds, script_s: float) -> dict[str, Any] | None:
    match failure:
        case FailureClass.LOCK:
            return _setting("recovery.lock_attempts", _more(bounds.lock_attempts), "wait longer for locks of packages")
        case FailureClass.NETWORK:
            return _setting("recovery.attempts", _more(bounds.attempts), "try more often when the network fails")
        case FailureClass.TIME_OUT:
            return _setting("timeouts.script_s", script_s * 2, "give scripts more time")
    text = _BY_HAND.get(failure)
    return {"kind": "by-hand", "text": text} if text else None


def _more(number: int) -> int:
    return min(number + 2, _MOST_ATTEMPTS)


def _setting(name: str, value: float, text: str) -> dict[str, Any]:
    return {"kind": "setting", "name": name, "value": value, "text": text}


def _other_port(
    failure: Failure, integration: str | None, parameters: Mapping[str, Any], ports: Sequence[str]
) -> dict[str, Any] | None:
    """Suggest the next port for the one parameter that has the port which is taken."""
    taken = _PORT.search(failure.cause)
    if taken is None or integration is None:
        return None
    number = int(taken[1])
    names = [name for name in ports if parameters.get(name) == number]
    if len(names) != 1 or number >= _HIGHEST_PORT:
        return {"kind": "by-hand", "text": f"stop what holds port {number}, or choose another one with `--param`"}
    text = f"use another port for `{names[0]}`: {number} is taken"
    return {"kind": "parameter", "name": names[0], "value": number + 1, "text": text}
