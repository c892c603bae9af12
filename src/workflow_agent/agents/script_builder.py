"""The script-builder agent: from what is known to a script, with the files that are written after it."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.script_setup import around, blocks_before, told, with_sources
from workflow_agent.agents.serving import Answer, Question, Verb, plain
from workflow_agent.integrations import ResolvedFile  # noqa: TC001  # the annotations are read
from workflow_agent.model.event import RecordKind
from workflow_agent.model.system import FileWrite
from workflow_agent.scripts import plain_script, render_file, render_script, template_folders, write_config
from workflow_agent.security.marks import marked_names, named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.message import Message

__all__ = ["BuildReply", "BuildRequest", "ScriptBuilderAgent", "TakeRequest"]


class BuildRequest(Question):
    """What `knowledge.lookup` gave, as far as a script needs it; the paths `removes` go after it.

    Templates see `missing`: committed paths that are gone or replaced, which the script is to bring back. `setup` is
    what goes around the script: users, directories, hooks (before, after), and the sources of what it is composed of.
    """

    integration: str
    action: str
    version: str
    template: str
    folder: str
    context: dict[str, Any]
    parameters: dict[str, Any]
    files: list[ResolvedFile]
    removes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    multiline: list[str]
    setup: dict[str, Any] = field(default_factory=dict)


class TakeRequest(Question):
    """Take a person's own script as it stands: its text travels with the run, the file is not read again."""

    name: str
    text: str
    arguments: list[str] = field(default_factory=list)


class BuildReply(Answer):
    """The script, as JSON of ``model.system.Script``, and what of it a person should see (``script_setup.told``)."""

    script: dict[str, Any]
    told: list[dict[str, Any]] = field(default_factory=list)


class ScriptBuilderAgent:
    """Renders templates from the integration's folder, then from the configured folders."""

    name = "script-builder"

    def __init__(self, template_folders_configured: Sequence[Path]) -> None:
        self._configured = tuple(template_folders_configured)

    def verbs(self) -> Mapping[str, Verb]:
        """build, take."""
        return {
            "build": Verb(BuildRequest, BuildReply, self._build),
            "take": Verb(TakeRequest, BuildReply, self._take),
        }

    async def _take(self, request: TakeRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        data = plain(plain_script(request.text, name=request.name, arguments=request.arguments))
        return BuildReply(script=data), {"_records": [{"kind": RecordKind.SCRIPT, "data": data}]}

    async def _build(self, request: BuildRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        search = template_folders(Path(request.folder), self._configured)
        files = [self._file(item, request, search) for item in request.files]
        script = render_script(
            request.template,
            request.context | ({"missing": request.missing} if request.missing else {}),
            search=search,
            integration=request.integration,
            action=request.action,
            version=request.version,
            parameters=request.parameters,
            files=files,
            removes=request.removes,
            multiline=request.multiline,
            blocks=blocks_before(request.action, request.setup, request.context),
            around=around(request),
        )
        script = with_sources(script, request)
        data = plain(script)
        return BuildReply(script=data, told=told(data)), {"_records": [{"kind": RecordKind.SCRIPT, "data": data}]}

    @staticmethod
    def _file(item: ResolvedFile, request: BuildRequest, search: Sequence[Path]) -> FileWrite:
        source = item.values if item.content is None else item.content
        if item.template is not None:
            content = render_file(item.template, request.context, search=search, language=item.format)
        else:
            content = write_config(item.format, named(source))
        return FileWrite(
            path=item.path,
            format=item.format,
            content=content,
            mode=item.mode,
            owner=item.owner,
            values=source if marked_names(source) else None,
        )
