"""Commands about people's own workflows: run, status, and the definition that a file compiles to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.flow_outcome import detached_outcome, ended_outcome, revealed
from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import BreakBefore, Events, Inputs, NoWait, RunId, Secrets  # noqa: TC001  # for Typer
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.style import safe
from workflow_agent.cli.tags import Tags, tags_of
from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.app import App
    from workflow_agent.cli.style import Style

__all__ = ["inputs_of", "register", "typed_value", "workflows_compile"]

_PANEL = "Run workflows of your own"
_WHAT = "What"

WorkflowFile = Annotated[
    str, typer.Argument(metavar="FILE", help="Python, YAML or JSON file; FILE.py:NAME where it has several workflows.")
]
_Config = Annotated[
    Path | None,
    typer.Option(
        "--workflow-config",
        metavar="FILE",
        help="YAML or JSON for the constructor of a workflow class.",
        rich_help_panel=_WHAT,
        show_default=False,
    ),
]


def run(
    ctx: typer.Context,
    file: WorkflowFile,
    *,
    given: Inputs = None,
    config: _Config = None,
    secret: Secrets = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="TEXT",
            help="Idempotency key: the run with this key is begun once, and answers from the journal.",
            rich_help_panel="How",
            show_default=False,
        ),
    ] = None,
    tag: Tags = None,
    break_before: BreakBefore = None,
    no_wait: NoWait = False,
    runner: Annotated[
        str,
        typer.Option(
            "--runner",
            metavar="NAME",
            help="Run it there: a server of the settings; refused before it begins where that is not well.",
            rich_help_panel="How",
            show_default=False,
        ),
    ] = "local",
    durability: Annotated[
        str | None,
        typer.Option(
            "--durability",
            metavar="MODE",
            help="When records reach the disk: strict, pipelined or exit; as the workflow says.",
            rich_help_panel="How",
            show_default=False,
        ),
    ] = None,
    events: Events = False,
) -> Outcome:
    """Run a workflow from a file to its end; its result is printed as JSON."""
    from workflow_agent.cli.secret_input import given_secrets  # noqa: PLC0415  # late

    inputs, tags = inputs_of(given or ()), tags_of(tag or ())
    secrets = given_secrets(ctx.obj, secret or [], ())
    source = str(Path(file.partition(".py:")[0] + (".py" if ".py:" in file else "")).resolve())
    if events and no_wait:
        raise UsageError("`--events` and `--no-wait` exclude each other", hint="`workflow-agent logs -f RUN`")
    is_here = runner == "local"
    if not is_here and (events or break_before):
        raise UsageError("`--events` and `--break-before` are for runs of this machine", where="--runner")
    if no_wait and is_here:
        job = {"file": file, "workflow_config": _config(config), "given": inputs, "key": key, "tags": tags}
        job["break_before"] = break_before or []
        return detached_outcome(ctx.obj, {**job, "source": source, "secrets": revealed(secrets)})
    from workflow_agent.authoring.sdk.loading import load_file  # noqa: PLC0415  # late: the Python front end
    from workflow_agent.cli.flow_session import FlowRequest, carry_out_flow  # noqa: PLC0415  # late: the application
    from workflow_agent.cli.prints import prints_as_talk  # noqa: PLC0415  # late

    with prints_as_talk():
        workflow = load_file(file, _config(config))
    request = FlowRequest(
        workflow=workflow,
        given=inputs,
        secrets=secrets,
        key=key,
        tags=tags,
        break_before=break_before or (),
        source=source,
        events=events,
        durability=durability,
    )
    if not is_here:
        from workflow_agent.cli.running_elsewhere import carry_out_elsewhere  # noqa: PLC0415  # late: few runs are

        return carry_out_elsewhere(ctx.obj, runner, request, is_awaited=not no_wait)
    return ended_outcome(carry_out_flow(ctx.obj, request), streamed=events)


def inputs_of(typed: Sequence[str]) -> dict[str, Any]:
    """Read inputs as they are typed, K=V; raises UsageError."""
    found: dict[str, Any] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"`{text[:60]}` is no input", where="--input", hint="write it as K=V")
        if name in found:
            raise UsageError(f"the input `{name[:60]}` is given twice", where="--input")
        found[name] = typed_value(value)
    return found


def typed_value(text: str) -> Any:  # Any: a JSON value
    """Read a value: JSON, or else text; ``@FILE`` reads it from a file. Raises UsageError."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"`{text[1:61]}` cannot be read", where="--input", cause=str(error)) from None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _config(path: Path | None) -> Any:  # Any: a JSON value
    if path is None:
        return None
    from workflow_agent.authoring import load_yaml, read_text  # noqa: PLC0415  # late: yaml, 16 ms

    try:
        return load_yaml(read_text(path), source=str(path)).data
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read", where="--workflow-config", cause=error.strerror) from None


def status(ctx: typer.Context, run: RunId) -> Outcome:
    """Say where a run stands."""
    from workflow_agent.cli.past import ask  # noqa: PLC0415  # late

    async def found(app: App) -> dict[str, Any]:
        run_id = await app.history.resolve(run)
        return await app.history.run(run_id) | {"orphaned": bool(app.orphans([await app.history.run(run_id)]))}

    known = ask(ctx.obj, found)
    keys = ("run_id", "workflow", "action", "status", "orphaned", "started_at", "finished_at", "error", "steps")

    def lines(style: Style) -> Iterator[str]:
        del style
        yield f"{known['run_id']}  {known['status']}  {safe(known['workflow'])}"

    warnings = (f"no process drives it: `workflow-agent resume {known['run_id']}`",) if known["orphaned"] else ()
    return Outcome(data={key: known[key] for key in keys}, lines=lines, warnings=warnings)


def why(
    ctx: typer.Context,
    run: RunId,
    step: Annotated[
        str, typer.Argument(metavar="[STEP]", help="One step; all that have not ended when left out.")
    ] = "",
) -> Outcome:
    """Say why a step is not running: what it waits for."""
    from workflow_agent.app.flow_records import records_of  # noqa: PLC0415  # late: the application
    from workflow_agent.cli.past import ask  # noqa: PLC0415  # late
    from workflow_agent.engine import why as unmet_of  # noqa: PLC0415  # late: as the application

    async def found(app: App) -> tuple[dict[str, Any], bool]:
        records = records_of(app)
        run_id = await app.history.resolve(run)
        state = await records.state(run_id)
        is_left = bool(app.orphans([await app.history.run(run_id)]))
        waits = records.waits_of(run_id)
        definition = await records.definition(run_id)
        unmet = unmet_of(definition, state, step or None, waits, is_driven=not is_left)
        items = [each.to_dict() for each in unmet]
        return {"run_id": run_id, "status": state.status.value, "items": items}, is_left

    known, is_orphaned = ask(ctx.obj, found)

    def lines(style: Style) -> Iterator[str]:
        for item in known["items"]:
            yield f"{style.paint(safe(item['step']), 'bold')}  {safe(item['message'])}"
        if not known["items"]:
            yield f"run {known['run_id']} has ended: {known['status']}"

    warnings = (f"no process drives it: `workflow-agent resume {known['run_id']}`",) if is_orphaned else ()
    return Outcome(data=known, lines=lines, warnings=warnings)


def workflows_compile(ctx: typer.Context, file: WorkflowFile, config: _Config = None) -> Outcome:
    """Print the definition that a file compiles to, and its hash."""
    from workflow_agent.authoring import dump_workflow  # noqa: PLC0415  # late: yaml, 16 ms
    from workflow_agent.authoring.sdk.compiling import compile_workflow  # noqa: PLC0415  # late: the Python front end
    from workflow_agent.authoring.sdk.loading import load_file  # noqa: PLC0415  # late

    del ctx
    definition = compile_workflow(load_file(file, _config(config)))
    text = dump_workflow(definition)
    data = {**definition.to_dict(), "description": definition.description, "hash": definition.hash}
    return Outcome(data=data, lines=lambda _: [f"# hash {definition.hash}", *text.removesuffix("\n").split("\n")])


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples = [
        "run hello.py",
        "run nightly.yaml --input day=2026-01-31 --key nightly-31",
        "run jobs.py:Nightly --tag team=data --no-wait",
        "run nightly.yaml --runner east",
    ]
    declare(app, "run", panel=_PANEL, examples=examples)(run)
    declare(app, "status", panel=_PANEL, examples=["status r-01KA", "status r-01KA --json"])(status)
    declare(app, "why", panel=_PANEL, examples=["why r-01KA", "why r-01KA report --json"])(why)
