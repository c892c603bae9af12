"""Verify everything that is installed: one run each, all of them, and the error that weighs most."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.options import Values, Where
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.past import ask
from workflow_agent.cli.running import RunRequest, carry_out, existing_target, requested
from workflow_agent.model.errors import (
    CheckFailedError,
    DriftFoundError,
    InterruptedRunError,
    NotFoundError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.session import Ended
    from workflow_agent.cli.style import Style
    from workflow_agent.model.errors import WorkflowAgentError

__all__ = ["verify_installed"]


def verify_installed(
    invocation: Invocation, values: Values, targets: Sequence[str], *, drift: bool, events: bool
) -> Outcome:
    """Verify what is installed on targets; one that fails does not keep the others from being looked at.

    Raises:
        CommandFailedError: something drifted, does not work, or could not be looked at; it carries all reports.
        UsageError: parameters or secrets were given, which belong to one integration.
    """
    if values.param or values.param_file or values.secret:
        raise UsageError("parameters and secrets belong to one integration", where="verify", hint="name it")
    wanted = list(dict.fromkeys(existing_target(name) for name in targets))
    installed = ask(invocation, lambda app: _installed(app, wanted))
    done: list[Ended] = []
    unknown: list[str] = []
    for target, names in installed.items():
        request, lost = _request(invocation, target, names, drift=drift, events=events)
        unknown += lost
        ended = carry_out(invocation, request, keep_going=True) if request.names else []
        _hint(request, ended)
        done += ended
        if ended and isinstance(ended[-1].error, InterruptedRunError):
            break
    outcome = _outcome(done, events=events)
    error = _weightiest(done, unknown)
    if error is not None:
        raise CommandFailedError(error, outcome)
    return outcome


async def _installed(app: App, targets: Sequence[str]) -> dict[str, list[str]]:
    return {
        target: sorted({generation.integration for generation in await app.history.generations(target)})
        for target in targets
    }


def _request(
    invocation: Invocation, target: str, names: Sequence[str], *, drift: bool, events: bool
) -> tuple[RunRequest, list[str]]:
    """Make the request for those that are known, by name or by the folder from which they came."""
    found: list[str] = []
    lost: list[str] = []
    request = requested(
        invocation, "verify", [], place=Where(target=[target]), values=Values(), events=events, drift=drift
    )
    for name in names:
        try:
            found += requested(invocation, "verify", [name], place=Where(target=[target]), events=events).names
        except NotFoundError:
            lost.append(name)
    return replace(request, names=tuple(found)), lost


def _hint(request: RunRequest, ended: Sequence[Ended]) -> None:
    """Name the command that helps where something does not work."""
    for (target, name), one in zip(request.each(), ended, strict=False):
        if isinstance(one.error, CheckFailedError) and one.error.hint is None:
            there = "" if target == "host" else f" --target {target}"
            one.error.hint = f"`workflow-agent repair {name}{there}` repairs it"


def _outcome(done: Sequence[Ended], *, events: bool) -> Outcome:
    reports = [ended.report for ended in done if ended.report is not None]
    data: dict[str, Any] = {"items": reports}

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.run_view import ending_lines  # noqa: PLC0415  # late

        if not reports:
            yield "nothing is installed"
        for report in reports:
            yield from ending_lines(report, style)

    warnings = tuple(warning for ended in done for warning in ended.warnings)
    return Outcome(data=data, lines=lines, streamed=events, warnings=warnings)


def _weightiest(done: Sequence[Ended], unknown: Sequence[str]) -> WorkflowAgentError | None:
    """Give the error of all: what does not work before what could not be looked at, and that before drift."""
    errors = [ended.error for ended in done if ended.error is not None]
    if errors and isinstance(errors[-1], InterruptedRunError):
        return errors[-1]
    drifted = [error for error in errors if isinstance(error, DriftFoundError)]
    others = [error for error in errors if not isinstance(error, DriftFoundError)]
    if others:
        return others[0]
    if unknown:
        names = ", ".join(f"`{name}`" for name in unknown)
        hint = "`workflow-agent verify ./FOLDER` looks at an integration that is in a folder"
        return NotFoundError(f"not looked at, because no integration has the name: {names}", hint=hint)
    if len(drifted) > 1:
        paths = [path for error in drifted for path in error.details.get("paths", ())]
        return DriftFoundError(
            f"{len(paths)} paths of {len(drifted)} integrations drifted",
            state="nothing was changed",
            hint="`workflow-agent repair NAME --plan` shows what a repair would bring back",
            details={"paths": paths},
        )
    return drifted[0] if drifted else None
