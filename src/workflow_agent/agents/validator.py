"""The validator agent: says what is wrong with a script before anything of it runs, and whether a plan still holds."""

from __future__ import annotations

import asyncio
from dataclasses import field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.agreement import Disagreement, disagreements, expectation
from workflow_agent.agents.consent_findings import consent_findings
from workflow_agent.agents.serving import Answer, Question, Verb, plain
from workflow_agent.model.errors import PlanStaleError, ScriptRefusedError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.system import Effect, Script  # noqa: TC001  # the annotations are read
from workflow_agent.scripts import locate_findings, refuse_on_errors, validate_plain, validate_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.message import Message

__all__ = ["AgreeReply", "AgreeRequest", "ValidateReply", "ValidateRequest", "ValidatorAgent"]

#: Differences that an error names; its details list all.
_SHOWN = 3


class ValidateRequest(Question):
    """A script, and what a person allows for it: ids of rules, each for all of its findings or as ``RULE:LINE``.

    For a script of a person's `own`, what shellcheck calls an error is a warning, and other languages are read too.
    Python hooks, and `effects` that cannot be undone, are refused unless they are allowed.
    """

    script: Script
    allow: list[str] = field(default_factory=list)
    own: bool = False
    effects: list[Effect] = field(default_factory=list)


class ValidateReply(Answer):
    """Findings as JSON of ``model.system.Finding``; none of them is an error that was not allowed."""

    findings: list[dict[str, Any]]


class AgreeRequest(Question):
    """What would be done now, and what a plan file says: target, integration, expectation (see ``agreement``)."""

    target: str
    integration: str
    planned: dict[str, dict[str, dict[str, Any]]]
    lookup: dict[str, Any]
    script: dict[str, Any]
    change_set: dict[str, Any]


class AgreeReply(Answer):
    """It is as planned."""

    paths: int


class ValidatorAgent:
    """Validates scripts that run inside a transaction."""

    name = "validator"

    def verbs(self) -> Mapping[str, Verb]:
        """Validate, agree."""
        return {
            "validate": Verb(ValidateRequest, ValidateReply, self._validate),
            "agree": Verb(AgreeRequest, AgreeReply, self._agree),
        }

    async def _validate(self, request: ValidateRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        script, allow = request.script, request.allow
        check = partial(validate_plain, script) if request.own else partial(validate_script, script.text)
        checking = asyncio.ensure_future(asyncio.to_thread(check, allow=allow))
        await asyncio.sleep(0)  # it begins
        _load_what_follows()
        found = await checking
        findings = locate_findings(found, request.script) + consent_findings(script, request.effects, allow)
        data = [plain(finding) for finding in findings]
        records = [{"kind": RecordKind.FINDING, "data": item} for item in data]
        try:
            refuse_on_errors(findings, request.script.provenance.template if request.own else "script")
        except ScriptRefusedError as error:
            error.details["_records"] = records  # history keeps why
            raise
        return ValidateReply(findings=data), {"_records": records}

    async def _agree(self, request: AgreeRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        planned = request.planned.get(request.target, {}).get(request.integration)
        now = expectation(request.lookup, request.script, request.change_set)
        if planned is None:
            why = f"`{request.integration}` on `{request.target}` is not in it"
            raise PlanStaleError(cause=why, state=_NOTHING)
        if found := disagreements(planned, now):
            told = "; ".join(_told(one) for one in found[:_SHOWN])
            more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
            details = {"differences": [plain(one) for one in found]}
            raise PlanStaleError(where=request.integration, cause=told + more, state=_NOTHING, details=details)
        return AgreeReply(paths=len(now["paths"])), {}


_NOTHING = "nothing was changed"


#: Modules of the step that mostly comes next.
_NEXT = ("agents.executor", "targets.capture")


def _load_what_follows() -> None:
    """Load them now, 20 ms: the checkers are processes of their own, and take longer."""
    for name in _NEXT:
        import_module(f"workflow_agent.{name}")


def _told(one: Disagreement) -> str:
    if one.what.endswith(" hash") and one.planned and one.now:
        return f"another {one.what.removesuffix(' hash')}"
    if one.planned is None:
        return f"not in the plan: {one.what} ({one.now})"
    if one.now is None:
        return f"only in the plan: {one.what} ({one.planned})"
    return f"{one.what} was {one.planned}, is {one.now}"
