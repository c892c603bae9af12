"""The validator agent: says what is wrong with a script before anything of it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workflow_agent.agents.serving import Reply, Request, Verb, plain
from workflow_agent.model.errors import ScriptRefusedError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.system import Script  # noqa: TC001  # pydantic reads the annotations
from workflow_agent.scripts import locate_findings, refuse_on_errors, validate_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.message import Message

__all__ = ["ValidateReply", "ValidateRequest", "ValidatorAgent"]


class ValidateRequest(Request):
    """A script, and what a person allows for it: ids of rules, each for all of its findings or as ``RULE:LINE``."""

    script: Script
    allow: list[str] = Field(default_factory=list)


class ValidateReply(Reply):
    """Findings as JSON of ``model.system.Finding``; none of them is an error that was not allowed."""

    findings: list[dict[str, Any]]


class ValidatorAgent:
    """Validates scripts that run inside a transaction."""

    name = "validator"

    def verbs(self) -> Mapping[str, Verb]:
        """Validate."""
        return {"validate": Verb(ValidateRequest, ValidateReply, self._validate)}

    async def _validate(self, request: ValidateRequest, _: Message) -> tuple[Reply, Mapping[str, Any]]:
        found = await asyncio.to_thread(validate_script, request.script.text, allow=request.allow)
        findings = locate_findings(found, request.script)
        data = [plain(finding) for finding in findings]
        records = [{"kind": RecordKind.FINDING, "data": item} for item in data]
        try:
            refuse_on_errors(findings)
        except ScriptRefusedError as error:
            error.details["_records"] = records  # history keeps why
            raise
        return ValidateReply(findings=data), {"_records": records}
