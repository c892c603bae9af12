"""Integrations that were installed from a folder: later commands may say their names alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.cli.past import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation

__all__ = ["installed_from"]


def installed_from(invocation: Invocation, name: str, targets: Sequence[str]) -> str | None:
    """Give the folder from which an integration is installed; None where it is not, or the folder is gone.

    Args:
        invocation: Of the command.
        name: The integration's.
        targets: Where it is looked for, in this order.
    """
    return ask(invocation, lambda app: _folder(app, name, targets))


async def _folder(app: App, name: str, targets: Sequence[str]) -> str | None:
    for target in targets:
        for generation in await app.history.generations(target, name):
            asked_for = str((await app.history.run(generation.run_id))["inputs"].get("integration", ""))
            folder = Path(asked_for)
            if folder.is_absolute() and folder.name == name and (folder / "integration.yaml").is_file():
                return asked_for
    return None
