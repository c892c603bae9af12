"""Commands for looking into a run and changing what it does next: inspect, change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import BreakBefore, RunId, valued
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.steering_commands import OWN_PANEL, say_to_run
from workflow_agent.cli.style import safe
from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.app import App
    from workflow_agent.app.flows import Flows
    from workflow_agent.cli.style import Style

__all__ = ["register", "standing_lines"]

_WHAT = "What"
_Step = Annotated[str, typer.Argument(metavar="[STEP]", help="A step; the one that it is paused before if left out.")]


def inspect(ctx: typer.Context, run: RunId, step: _Step = "") -> Outcome:
    """Show where a run stands: its state, its breakpoints, and what a step would be asked with."""
    from workflow_agent.app.flow_records import records_of  # noqa: PLC0415  # late: the application
    from workflow_agent.cli.past import ask  # noqa: PLC0415  # late
    from workflow_agent.engine.looking import look  # noqa: PLC0415  # late: as the application

    async def found(app: App) -> dict[str, Any]:
        records = records_of(app)
        run_id = await app.history.resolve(run)
        return look(await records.definition(run_id), await records.state(run_id), step or None)

    known = ask(ctx.obj, found)
    return Outcome(data=known, lines=lambda style: standing_lines(known, style))


def standing_lines(found: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write where a run stands, as ``look`` gives it."""
    paused = "" if found["paused"] is None else f": {safe(found['paused'])}"
    yield f"{found['run_id']}  {style.status(found['status'])}{paused}"
    if found["breakpoints"]:
        yield f"  breaks    {', '.join(found['breakpoints'])}"
    yield from _values("state", found["state"])
    about = found["step"]
    if about is None:
        return
    yield f"  step      {style.paint(safe(about['id']), 'bold')}, {about['status']}"
    if about["problem"] is not None:
        yield f"  inputs    not known yet: {safe(about['problem'])}"
    yield from _values("inputs", about["inputs"] or {})
    if about["output"] is not None:
        yield f"  output    {safe(_text(about['output']))}"


def _values(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    for number, (name, value) in enumerate(values.items()):
        yield f"  {'' if number else title:<9} {safe(name)} = {safe(_text(value))}"


def _text(value: Any) -> str:  # Any: a JSON value
    return json.dumps(value, ensure_ascii=False)


def change(
    ctx: typer.Context,
    run: RunId,
    *,
    state: Annotated[
        list[str] | None,
        valued("--state", metavar="K=V", text="Set a value of the state.", panel=_WHAT),
    ] = None,
    unset: Annotated[
        list[str] | None,
        valued("--unset", metavar="K", text="Take a value out of the state.", panel=_WHAT),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        valued(
            "--with",
            metavar="STEP.K=V",
            text="Set an input of a step that did not begin; K may go on: a.b.",
            panel=_WHAT,
        ),
    ] = None,
    break_before: BreakBefore = None,
    clear: Annotated[
        list[str] | None,
        valued("--clear", metavar="STEP", text="Take a breakpoint away.", panel=_WHAT),
    ] = None,
) -> Outcome:
    """Change a paused run: its state, inputs of steps that did not begin; breakpoints at any time. Recorded."""
    values = [_pair(text, "--with") for text in inputs or ()]
    data: dict[str, Any] = {}
    if state or unset:
        data["state"] = {"set": dict(_pair(text, "--state") for text in state or ()), "delete": list(unset or ())}
    if not (data or values or break_before or clear):
        raise UsageError("nothing is to be changed", hint="`--state`, `--unset`, `--with`, `--break-before`, `--clear`")

    async def said(flows: Flows, run_id: str) -> dict[str, Any]:
        from workflow_agent.app.application import current_user  # noqa: PLC0415  # late, loaded already

        definition, now = await flows.definition(run_id), await flows.state(run_id)
        if values:
            data["with"] = _changed(definition, now, values)
        if break_before or clear:
            breaks = now.work.breaks
            kept = set(breaks.before if breaks else ()) - set(clear or ())
            data["break_before"] = sorted(kept | set(break_before or ()))
        await flows.change(run_id, data | {"by": current_user()})
        return {"changed": data}

    found = say_to_run(ctx.obj, run, said)
    ctx.obj.say(f"changed run {found['run_id']}: {_text(found['changed'])}")
    return Outcome(data=found)


def _pair(text: str, option: str) -> tuple[str, Any]:
    from workflow_agent.cli.flow_commands import typed_value  # noqa: PLC0415  # late, loaded already

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"`{text[:60]}` is no value", where=option, hint="write it as K=V")
    return name, typed_value(value)


def _changed(definition: Any, state: Any, values: Sequence[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    """Put values into what steps would be asked with; only the keys that differ are given."""
    from workflow_agent.engine.looking import look  # noqa: PLC0415  # late, loaded already

    found: dict[str, dict[str, Any]] = {}
    for path, value in values:
        step, _, rest = path.partition(".")
        key, *deeper = rest.split(".")
        if not key:
            raise UsageError(f"`{path[:60]}` names no input of a step", where="--with", hint="write it as STEP.K=V")
        now = (look(definition, state, step)["step"] or {}).get("inputs") or {}
        whole = found.setdefault(step, {})
        whole[key] = _put(whole.get(key, now.get(key)), deeper, value)
    return found


def _put(whole: Any, path: Sequence[str], value: Any) -> Any:  # Any: JSON values
    if not path:
        return value
    first, *rest = path
    known = whole if isinstance(whole, dict) else {}
    return {**known, first: _put(known.get(first), rest, value)}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    declare(app, "inspect", panel=OWN_PANEL, examples=["inspect r-01KA", "inspect r-01KA report --json"])(inspect)
    examples = ["change r-01KA --state limit=5", "change r-01KA --with report.results.fetch=[] --clear report"]
    declare(app, "change", panel=OWN_PANEL, examples=examples)(change)
