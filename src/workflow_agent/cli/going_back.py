"""`rollback --to RUN`: everything after a run is looked at and asked about once, then taken back, the last first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.conflict_view import decision_lines
from workflow_agent.cli.consent import answer_is_yes, read_answer, require_consent
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.running import requested
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import counted
from workflow_agent.model.choice import NOTHING_CHOSEN
from workflow_agent.model.errors import ChangesPendingError, DeclinedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.options import Consent, Values, Where
    from workflow_agent.cli.session import Ended
    from workflow_agent.cli.style import Style
    from workflow_agent.model.choice import ConflictChoice

__all__ = ["go_back", "going_lines", "told_back"]


def go_back(
    invocation: Invocation,
    run: str,
    *,
    place: Where,
    values: Values,
    consent: Consent,
    events: bool,
    keep_data: bool,
    choice: ConflictChoice = NOTHING_CHOSEN,
) -> Outcome:
    """Take back everything that came after a run on its target; the run itself stays.

    What was decided about conflicts holds for each of them.

    Raises:
        CommandFailedError: one could not be taken back; it carries the reports of all that were begun.
        ConflictError: something stands against one of them; nothing was begun.
        DeclinedError: the answer was no.
        UsageError: the options do not go together.
    """
    if consent.check and not consent.plan_only:
        raise UsageError("`--check` belongs to a plan", where="roll back", hint="add `--plan`")
    if not consent.plan_only:
        require_consent(given=consent.yes, verb="roll back")
    target = (place.target or ["host"])[0]
    more: dict[str, Any] = {
        "approve": True,
        "keep_data": keep_data,
        "theirs": list(choice.theirs),
        "force": choice.force,
    }
    inputs = requested(invocation, "rollback", (), place=place, values=values, events=events, **more)

    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms

    async def all_of_it() -> tuple[list[dict[str, Any]], list[Ended]]:
        from workflow_agent.app.disputes import require_known_of_any  # noqa: PLC0415  # late: as the others
        from workflow_agent.app.going_back import foresee_rollbacks, runs_after  # noqa: PLC0415  # late: as the others
        from workflow_agent.cli.session import conduct  # noqa: PLC0415  # late

        done: list[Ended] = []
        async with open_app(invocation.settings()) as app:
            if not consent.plan_only:
                await app.settle(target)
            runs = await runs_after(app.history, target, run)
            foreseen = await foresee_rollbacks(app.history, app.targets, target, runs, choice)
            await require_known_of_any(app.history, [str(one["run_id"]) for one in foreseen], choice.theirs)
            if foreseen and not consent.plan_only and not consent.yes:
                await _ask(invocation, run, target, foreseen)
            for one in () if consent.plan_only else foreseen:
                values = {**inputs.inputs, "target": target, "run": one["run_id"]}
                done.append(await conduct(app, invocation, "rollback", values, secrets=inputs.secrets, events=events))
                if done[-1].error is not None:
                    break
        return foreseen, done

    foreseen, done = asyncio.run(all_of_it())
    if consent.plan_only:
        return _planned(run, target, foreseen, check=consent.check)
    return told_back(run, foreseen, done, events=events)


async def _ask(invocation: Invocation, run: str, target: str, foreseen: Sequence[Mapping[str, Any]]) -> None:
    style = invocation.style(sys.stderr)
    for line in going_lines(run, target, foreseen, style):
        sys.stderr.write(f"{line}\n")
    sys.stderr.write(f"\n{style.paint('Roll all of this back?', 'bold')} [y/N] ")
    sys.stderr.flush()
    if not answer_is_yes(await read_answer()):
        raise DeclinedError("not rolled back: the answer was no", state="nothing was changed")


def _planned(run: str, target: str, foreseen: list[dict[str, Any]], *, check: bool) -> Outcome:
    def lines(style: Style) -> Iterator[str]:
        yield from going_lines(run, target, foreseen, style)
        yield from ("", "  nothing was changed")

    code = ChangesPendingError.exit_code if check and foreseen else 0
    return Outcome(data={"to": run, "target": target, "items": foreseen}, lines=lines, exit_code=code)


def going_lines(run: str, target: str, foreseen: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write everything that goes, the first one first, in one list."""
    if not foreseen:
        yield f"nothing came after run {safe(run)} on {safe(target)}"
        return
    yield style.paint(f"take back {counted(len(foreseen), 'run')} on {safe(target)}, in this order", "bold")
    for one in foreseen:
        name = " ".join(safe(one[key]) for key in ("action", "integration", "version", "script") if one.get(key))
        yield f"  {safe(one['run_id'])}  {name}"
        for preview in one["previews"]:
            counts = f"{preview['restored']:,} restored, {preview['removed']:,} removed"
            several = f"{safe(preview['integration'])}: " if len(one["previews"]) > 1 else ""
            yield f"      {several}{counts}"
            yield from (f"      data     {safe(path)}" for path in preview["owned"])
            yield from (f"    {line}" for line in decision_lines(preview.get("decided") or (), style, planned=True))
            yield from (f"      merged   {safe(path)}" for path in preview["merged"])
    yield f"  run {safe(run)} stays, and what came before it"


def told_back(run: str, foreseen: Sequence[Mapping[str, Any]], done: Sequence[Ended], *, events: bool) -> Outcome:
    """Put the reports together; raises CommandFailedError, which says what is back and what is not."""
    reports = [ended.report for ended in done if ended.report is not None]

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.run_view import ending_lines  # noqa: PLC0415  # late

        if not foreseen:
            yield f"nothing came after run {safe(run)}"
        for report in reports:
            yield from ending_lines(report, style)

    warnings = tuple(warning for ended in done for warning in ended.warnings)
    outcome = Outcome(data={"to": run, "items": reports}, lines=lines, streamed=events, warnings=warnings)
    if not done or done[-1].error is None:
        return outcome
    error, ids = done[-1].error, [one["run_id"] for one in foreseen]
    back, left = ids[: len(done) - 1], ids[len(done) - 1 :]
    told = [f"taken back before it: {', '.join(back)}, which stay so"] if back else []
    error.state = "; ".join([*([error.state] if error.state else []), *told, f"not taken back: {', '.join(left)}"])
    raise CommandFailedError(error, outcome)
