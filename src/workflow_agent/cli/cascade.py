"""`rollback RUN --cascade`: later runs that stand on a run are taken back before it, each in a run of its own."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.conflict_view import decision_lines
from workflow_agent.cli.consent import answer_is_yes, read_answer
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.running import RunRequest, carry_out, told
from workflow_agent.cli.style import safe
from workflow_agent.model.choice import NOTHING_CHOSEN
from workflow_agent.model.errors import ChangesPendingError, DeclinedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.options import Consent
    from workflow_agent.cli.style import Style
    from workflow_agent.model.choice import ConflictChoice

__all__ = ["cascade_lines", "cascaded", "runs_in_order"]


def runs_in_order(
    invocation: Invocation, run_id: str, wait_s: float, choice: ConflictChoice = NOTHING_CHOSEN
) -> list[dict[str, Any]]:
    """List a run and those that stand on it, in the order in which they are taken back, with what each would do.

    Raises:
        PathConflictError: somebody else than a run changed paths since, about which nothing was decided.
        UsageError: none of the runs changed a path about which something was decided.
    """
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms

    async def look() -> list[dict[str, Any]]:
        async with open_app(invocation.settings()) as app:
            runs = await app.standing_on(run_id, wait_s=wait_s, choice=choice)
            if choice.theirs:
                from workflow_agent.app.disputes import require_known_of_any  # noqa: PLC0415  # late: few ask for it

                await require_known_of_any(app.history, [str(one["run_id"]) for one in runs], choice.theirs)
            return runs

    return asyncio.run(look())


def cascaded(
    invocation: Invocation, consent: Consent, request: RunRequest, runs: Sequence[Mapping[str, Any]]
) -> Outcome:
    """Take several runs back, each in a run of its own, after one consent; the first that fails ends it.

    Args:
        invocation: Of the command.
        consent: Whether it is done, asked about, or only shown.
        request: For a rollback of one of them.
        runs: In their order.

    Raises:
        DeclinedError: the answer is no.
        CommandFailedError: a rollback failed; it carries the outcome.
    """
    target = request.targets[0]
    if consent.plan_only:
        exit_code = ChangesPendingError.exit_code if consent.check else 0
        return Outcome(
            data={"items": [dict(run) for run in runs]},
            lines=lambda style: [*cascade_lines(runs, target, style), "", "  nothing was changed"],
            exit_code=exit_code,
        )
    if not consent.yes and not _is_wanted(invocation, runs, target):
        raise DeclinedError("the rollbacks were declined", state="nothing was changed")
    ids = tuple(str(run["run_id"]) for run in runs)
    request = replace(request, runs=ids, inputs={**request.inputs, "approve": True})
    return told(request, carry_out(invocation, request))


def cascade_lines(runs: Sequence[Mapping[str, Any]], target: str, style: Style) -> Iterator[str]:
    """Write which runs are taken back, in their order."""
    yield style.paint(f"take back {len(runs)} runs on {safe(target)}, in this order", "bold")
    for run in runs:
        what = " ".join(safe(run[key]) for key in ("action", "integration", "version") if run.get(key))
        yield f"  {safe(run['run_id'])}  {what}{', which was asked for' if run is runs[-1] else ''}"
        for preview in run["previews"]:
            yield f"      {preview['restored']:,} restored, {preview['removed']:,} removed"
            yield from (f"      data     {safe(path)}" for path in preview["owned"])
            yield from (f"    {line}" for line in decision_lines(preview.get("decided") or (), style, planned=True))
    yield "  each in a run of its own, which can be rolled back by itself; if one fails, those after it are not begun"


async def _ask(invocation: Invocation, runs: Sequence[Mapping[str, Any]], target: str) -> bool:
    style = invocation.style(sys.stderr)
    for line in cascade_lines(runs, target, style):
        sys.stderr.write(f"{line}\n")
    sys.stderr.write(f"\n{style.paint('Take all of them back?', 'bold')} [y/N] ")
    sys.stderr.flush()
    return answer_is_yes(await read_answer())


def _is_wanted(invocation: Invocation, runs: Sequence[Mapping[str, Any]], target: str) -> bool:
    import asyncio  # noqa: PLC0415  # late: 35 ms

    return asyncio.run(_ask(invocation, runs, target))
