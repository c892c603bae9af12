"""`integrations init --from-docs`: a manifest drafted from a page, and what a person has to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import counted
from workflow_agent.model.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from workflow_agent.cli.style import Style
    from workflow_agent.knowledge.draft import DraftedManifest

__all__ = ["draft_from_docs"]


def draft_from_docs(
    name: str, source: str, into: Path, others: Mapping[str, str | None], allowed: Iterable[str]
) -> Outcome:
    """Draft an integration from a page, and write its folder.

    Args:
        name: Of the integration.
        source: Address of the page, a file, or a package.
        into: Where its folder is made.
        others: Options that a page leaves no place for, and what was given.
        allowed: Hosts, with their ports, that are asked although they are not for everybody.

    Raises:
        UsageError: an option says what the page says, or the folder cannot be written.
        ConflictError: there is such a folder.
        WorkflowAgentError: the page cannot be read, or names nothing that can be installed.
    """
    from workflow_agent.integrations.scaffold import check_name  # noqa: PLC0415  # late

    for option, given in others.items():
        if given is not None:
            raise UsageError(f"`{option}` and `--from-docs` exclude each other", where=option)
    check_name(name)
    draft = _drafted(name, source, frozenset(allowed))
    folder = into / name
    _write(folder, draft.text)

    def lines(style: Style) -> Iterator[str]:
        yield f"{style.paint(style.symbol('succeeded'), 'green')} {safe(folder)}: drafted from {safe(source)}"
        if draft.questions:
            yield f"  {counted(len(draft.questions), 'question')} for you, also in the manifest:"
        yield from (f"    {safe(question)}" for question in draft.questions)
        yield f"  look at it:  {safe(folder)}/integration.yaml"
        yield f"  try it:      workflow-agent plan {safe(folder if folder.is_absolute() else f'./{folder}')}"

    data = {"name": name, "folder": str(folder), "source": source, "questions": list(draft.questions)}
    return Outcome(data=data, lines=lines)


def _drafted(name: str, source: str, allowed: frozenset[str]) -> DraftedManifest:
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app.knowing import read_source  # noqa: PLC0415  # late
    from workflow_agent.knowledge import FetchLimits  # noqa: PLC0415  # late
    from workflow_agent.knowledge.draft import manifest  # noqa: PLC0415  # late

    read, _ = asyncio.run(read_source(source, FetchLimits(allowed=allowed)))
    return manifest(name, read.to_dict())


def _write(folder: Path, text: str) -> None:
    from workflow_agent.integrations.fixing import build_readme  # noqa: PLC0415  # late

    try:
        folder.mkdir(parents=True)
        (folder / "integration.yaml").write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise ConflictError(f"`{folder}` is there already", hint="choose another name, or `--into FOLDER`") from error
    except OSError as error:
        raise UsageError(f"`{folder}` cannot be written", where="--into", cause=error.strerror) from error
    build_readme(folder, write=True)
