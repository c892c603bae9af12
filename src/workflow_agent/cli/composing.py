"""`install knowledge:NAME`: an integration composed of what is known, where there is none of that name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.errors import ConflictError, NotFoundError, WorkflowAgentError

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.cli.invocation import Invocation

__all__ = ["compose_integration", "hint_at_knowledge"]


def compose_integration(invocation: Invocation, name: str) -> str:
    """Write the manifest of what is known about a name, below the state folder; gives the name.

    Raises:
        ConflictError: there is an integration of that name.
        NotFoundError: nothing is known about it.
        ValidationError: what is known leaves questions, which the error names; nothing is written.
    """
    from workflow_agent.agents.composed import require_certain  # noqa: PLC0415  # late
    from workflow_agent.app.knowing import known_page  # noqa: PLC0415  # late
    from workflow_agent.cli.past import ask  # noqa: PLC0415  # late
    from workflow_agent.cli.sources import registry_of  # noqa: PLC0415  # late
    from workflow_agent.integrations.scaffold import check_name  # noqa: PLC0415  # late
    from workflow_agent.knowledge.draft import manifest  # noqa: PLC0415  # late

    check_name(name)
    settings = invocation.settings()
    folder = settings.paths.state / "composed" / name
    registry = registry_of(settings)
    if registry.knows(name) and registry.folder(name) != folder:
        raise ConflictError(
            f"there is an integration `{name}`",
            where=str(registry.folder(name)),
            state="nothing was changed",
            hint=f"`workflow-agent install {name}`",
        )
    draft = manifest(name, ask(invocation, lambda app: known_page(app, name)), composed=True)
    require_certain(name, draft.open)
    _write(folder, draft.text)
    return name


def _write(folder: Path, text: str) -> None:
    from workflow_agent.integrations.fixing import build_readme  # noqa: PLC0415  # late

    file = folder / "integration.yaml"
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    build_readme(folder, write=True)


def hint_at_knowledge(invocation: Invocation, name: str, error: NotFoundError) -> None:
    """Say in the error for an unknown name that something is known about it."""
    from workflow_agent.app.knowing import known_page  # noqa: PLC0415  # late
    from workflow_agent.cli.past import ask  # noqa: PLC0415  # late

    try:
        ask(invocation, lambda app: known_page(app, name))
    except WorkflowAgentError:
        return
    error.hint = f"documentation is known about it: `workflow-agent plan knowledge:{name}` composes it of that"
