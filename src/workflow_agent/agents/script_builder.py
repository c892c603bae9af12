"""The script-builder agent: from what is known to a script, with the files that are written after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.serving import Reply, Request, Verb, plain
from workflow_agent.integrations import ResolvedFile  # noqa: TC001  # pydantic reads the annotations
from workflow_agent.model.event import RecordKind
from workflow_agent.model.system import FileWrite
from workflow_agent.scripts import render_file, render_script, template_folders, write_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.message import Message

__all__ = ["BuildReply", "BuildRequest", "ScriptBuilderAgent"]


class BuildRequest(Request):
    """What `knowledge.lookup` gave, as far as a script needs it."""

    integration: str
    action: str
    version: str
    template: str
    folder: str
    context: dict[str, Any]
    parameters: dict[str, Any]
    files: list[ResolvedFile]
    multiline: list[str]


class BuildReply(Reply):
    """The script, as JSON of ``model.system.Script``."""

    script: dict[str, Any]


class ScriptBuilderAgent:
    """Renders templates from the integration's folder, then from the configured folders."""

    name = "script-builder"

    def __init__(self, template_folders_configured: Sequence[Path]) -> None:
        self._configured = tuple(template_folders_configured)

    def verbs(self) -> Mapping[str, Verb]:
        """Build."""
        return {"build": Verb(BuildRequest, BuildReply, self._build)}

    async def _build(self, request: BuildRequest, _: Message) -> tuple[Reply, Mapping[str, Any]]:
        search = template_folders(Path(request.folder), self._configured)
        files = [self._file(item, request, search) for item in request.files]
        script = render_script(
            request.template,
            request.context,
            search=search,
            integration=request.integration,
            action=request.action,
            version=request.version,
            parameters=request.parameters,
            files=files,
            multiline=request.multiline,
        )
        data = plain(script)
        return BuildReply(script=data), {"_records": [{"kind": RecordKind.SCRIPT, "data": data}]}

    @staticmethod
    def _file(item: ResolvedFile, request: BuildRequest, search: Sequence[Path]) -> FileWrite:
        if item.template is not None:
            content = render_file(item.template, request.context, search=search, language=item.format)
        elif item.content is not None:
            content = write_config("text", item.content)
        else:
            content = write_config(item.format, item.values)
        return FileWrite(path=item.path, format=item.format, content=content, mode=item.mode, owner=item.owner)
