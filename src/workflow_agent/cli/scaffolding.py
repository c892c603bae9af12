"""What `integrations init` asks and writes: a new folder, complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.cli.style import safe
from workflow_agent.cli.typed_line import typed_line
from workflow_agent.model.errors import ConflictError, NotFoundError, ParameterError, WorkflowAgentError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.integrations.package_look import PackageLook, UnitLook
    from workflow_agent.integrations.scaffold import DraftAnswers, DraftTemplate

__all__ = ["Answers", "ask_for", "write_draft"]

_LARGEST_PORT = 65535


class Answers:
    """Answers: what was given as flags, else what a person at a terminal says, else what is usual."""

    def __init__(self, invocation: Invocation, *, may_ask: bool) -> None:
        self._invocation = invocation
        self._may_ask = may_ask

    def text(self, question: str, given: str | None, usual: str) -> str:
        """Give an answer; an empty one is the usual one."""
        if given is not None:
            return given
        if not self._may_ask:
            return usual
        line = typed_line(f"{question}{f' [{safe(usual)}]' if usual else ''}: ")
        if not line:
            raise KeyboardInterrupt  # the terminal went away
        return line.strip() or usual


def ask_for(name: str, asked: Answers, given: Mapping[str, str | None]) -> DraftAnswers:
    """Ask for what a draft consists of.

    Raises:
        ParameterError: an answer is none.
    """
    from workflow_agent.integrations.package_look import look_at  # noqa: PLC0415  # late: one command needs it
    from workflow_agent.integrations.scaffold import (  # noqa: PLC0415  # late
        DraftAnswers,
        DraftTemplate,
        check_name,
        check_package,
    )

    check_name(name)
    template = _template(asked.text("Installed from (apt, tarball, pip, container, script)", given["template"], "apt"))
    package, look = "", None
    if template in {DraftTemplate.APT, DraftTemplate.PIP, DraftTemplate.CONTAINER}:
        package = asked.text("Package", given["package"], name)
        check_package(template, package)
    if template is DraftTemplate.APT:
        look = look_at(package)
    description = asked.text("What it is", given["description"], _sentence(look.description) if look else "")
    port = None
    if template in {DraftTemplate.APT, DraftTemplate.CONTAINER}:
        port = _port(asked.text("TCP port that it opens", given["port"], ""))
    return DraftAnswers(
        name=name,
        template=template,
        package=package,
        description=description,
        homepage=look.homepage if look else "",
        category=asked.text("Category", given["category"], "other"),
        unit=_unit(look, name),
        port=port,
        is_known=template is not DraftTemplate.APT or look is not None,
    )


def _template(word: str) -> DraftTemplate:
    from workflow_agent.integrations.scaffold import DraftTemplate  # noqa: PLC0415  # late

    known = [kind.value for kind in DraftTemplate]
    if word not in known:
        raise ParameterError(
            f"there is no template `{word[:40]}`",
            where="--template",
            hint=did_you_mean(word, known) or f"one of {', '.join(known)}",
        )
    return DraftTemplate(word)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def _port(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= _LARGEST_PORT:
        raise ParameterError(f"`{text[:20]}` is no port", where="--port", hint="1 to 65535")
    return int(text)


def _unit(look: PackageLook | None, name: str) -> UnitLook | None:
    units = look.units if look is not None else ()
    return next((unit for unit in units if unit.name in {name, look.name if look else ""}), units[0] if units else None)


def write_draft(draft: DraftAnswers, parent: Path) -> Path:
    """Write a draft's folder, complete or not at all; gives it.

    Raises:
        ConflictError: there is something of that name already.
        NotFoundError: there is no folder for it to be in.
    """
    from workflow_agent.integrations import load_manifest, readme  # noqa: PLC0415  # late: pydantic, 36 ms
    from workflow_agent.integrations.scaffold import files_of  # noqa: PLC0415  # late
    from workflow_agent.testing.bench import update_cases  # noqa: PLC0415  # late: renders

    folder = parent.absolute() / draft.name
    _refuse_existing(folder)
    files = files_of(draft)
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{draft.name}-", dir=parent))
    except OSError as error:
        raise NotFoundError(f"`{parent}` cannot be written to", cause=error.strerror) from error
    try:
        made = work / draft.name
        for name, content in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_bytes(content)
        (made / "README.md").write_text(readme(load_manifest(made)), encoding="utf-8")
        update_cases(made)
        _refuse_existing(folder)
        made.rename(folder)
    except WorkflowAgentError as error:
        error.state = error.state or "nothing was written"
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _refuse_existing(folder: Path) -> None:
    if os.path.lexists(folder):
        raise ConflictError(
            f"`{folder.name}` is there already",
            where=str(folder),
            state="nothing was written",
            hint="take another name",
        )
