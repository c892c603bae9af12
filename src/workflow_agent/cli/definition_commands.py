"""Commands about definitions: integrations, workflows, validate."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli import package_commands, workshop_commands
from workflow_agent.cli.flow_commands import workflows_compile
from workflow_agent.cli.grammar import TypedGroup, declare
from workflow_agent.cli.options import OneName  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import Column, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.cli.style import Style
    from workflow_agent.integrations import Listing, Manifest

__all__ = ["register"]

_PANEL = "What there is"
_INTEGRATIONS = (
    Column("name", "name"),
    Column("version", "version"),
    Column("category", "category", rank=3),
    Column("platforms", "platforms", rank=2),
    Column("description", "description", shrinks=True),
)
_PARAMETERS = (
    Column("name", "parameter"),
    Column("type", "type"),
    Column("default", "default", shrinks=True),
    Column("description", "meaning", shrinks=True),
)
_STEPS = (Column("name", "name"), Column("steps", "steps"), Column("description", "description", shrinks=True))


# -- integrations ----------------------------------------------------------------------------------------------------


def integrations_list(ctx: typer.Context) -> Outcome:
    """List what can be installed."""
    from workflow_agent.cli.sources import registry_of  # noqa: PLC0415  # late

    found = registry_of(ctx.obj.settings()).list()
    rows = [_row(listing) for listing in found]

    def lines(style: Style) -> Iterator[str]:
        shown = [{**row, "platforms": ", ".join(row["platforms"])} for row in rows if row["error"] is None]
        yield from table(_INTEGRATIONS, shown, style)

    warnings = tuple(warning for listing in found for warning in listing.warnings)
    return Outcome(data={"items": rows}, lines=lines, warnings=warnings)


def _row(listing: Listing) -> dict[str, Any]:
    return {
        "name": listing.name,
        "version": listing.version,
        "category": listing.category,
        "platforms": list(listing.platforms),
        "description": listing.description,
        "origin": listing.origin,
        "error": listing.error.to_dict() if listing.error else None,
    }


def integrations_info(
    ctx: typer.Context,
    name: OneName,
    readme: Annotated[
        bool, typer.Option("--readme", help="Print the generated README.", rich_help_panel="Output")
    ] = False,
) -> Outcome:
    """Show an integration: parameters, services, checks."""
    from workflow_agent.cli.sources import find_integration, is_folder_name, registry_of  # noqa: PLC0415  # late

    manifest = find_integration(ctx.obj.settings(), name)
    data = manifest.model_dump(mode="json", by_alias=True)
    origin = str(manifest.folder) if is_folder_name(name) else registry_of(ctx.obj.settings()).origin(name)
    data |= {"folder": str(manifest.folder), "hash": manifest.hash, "origin": origin}
    if readme:
        from workflow_agent.integrations import readme as page_of  # noqa: PLC0415  # late

        page = page_of(manifest)
        return Outcome(data={**data, "readme": page}, lines=lambda _: page.removesuffix("\n").split("\n"))
    return Outcome(data=data, lines=lambda style: _info_lines(manifest, origin, style))


def _info_lines(manifest: Manifest, origin: str, style: Style) -> Iterator[str]:
    yield style.paint(f"{manifest.name} {manifest.version}", "bold")
    yield safe(manifest.description)
    yield ""
    for key, value in (("category", manifest.category), ("homepage", manifest.homepage), ("origin", origin)):
        if value:
            yield f"  {key.ljust(10)} {safe(value)}"
    for platform in manifest.platforms:
        yield f"  {'platform'.ljust(10)} {safe(' '.join([*platform.os, *platform.releases]))}"
    for service in manifest.services:
        yield f"  {'service'.ljust(10)} {safe(service.name)}"
    yield f"  {'checks'.ljust(10)} {len(manifest.checks)}, and {len(manifest.negative_checks)} of removal"
    if manifest.parameters:
        yield ""
        rows = [
            {
                "name": name,
                "type": "secret" if declared.secret else str(declared.type),
                "default": "required" if declared.required else _as_typed(declared.default),
                "description": declared.description,
            }
            for name, declared in manifest.parameters.items()
        ]
        yield from table(_PARAMETERS, rows, style)
    yield ""
    yield f"install it: workflow-agent install {manifest.name}"


def _as_typed(value: Any) -> str:  # Any: a JSON value
    """Write a default as a person would give it."""
    if isinstance(value, list):
        return ", ".join(map(_as_typed, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def integrations_lint(
    ctx: typer.Context,
    name: OneName,
    fix: Annotated[
        bool, typer.Option("--fix", help="Put right what is clearly meant otherwise, and the README.")
    ] = False,
) -> Outcome:
    """Say what is wrong with an integration, or could be better."""
    from workflow_agent.cli.linting import lint_folder  # noqa: PLC0415  # late
    from workflow_agent.cli.sources import folder_of  # noqa: PLC0415  # late

    # an invalid manifest is what lint is for: it is found by its folder, not loaded
    folder = folder_of(ctx.obj.settings(), name)
    if fix:
        from workflow_agent.integrations.fixing import fix_folder  # noqa: PLC0415  # late

        for change in fix_folder(folder):
            ctx.obj.say(safe(change))
    return _findings("integration", folder, lint_folder(folder))


def _findings(what: str, path: Path, findings: list[dict[str, Any]]) -> Outcome:
    from workflow_agent.cli.linting import finding_lines, refusal  # noqa: PLC0415  # late

    outcome = Outcome(
        data={"kind": what, "path": str(path), "items": findings},
        lines=lambda style: finding_lines(what, path, findings, style),
    )
    if error := refusal(what, path, findings):
        raise CommandFailedError(error, outcome)
    return outcome


def validate(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="A file or the folder of one.")]
) -> Outcome:
    """Validate a workflow, a shell script, a template or an integration."""
    from workflow_agent.cli.linting import validate_path  # noqa: PLC0415  # late

    what, findings = validate_path(file, ctx.obj.settings())
    return _findings(what, file, findings)


# -- workflows -------------------------------------------------------------------------------------------------------


def workflows_list(ctx: typer.Context) -> Outcome:
    """List the workflows that are known by name."""
    from workflow_agent.cli.sources import catalogue_of  # noqa: PLC0415  # late

    catalogue = catalogue_of(ctx.obj.settings())
    found = [catalogue.get(name) for name in catalogue.names()]
    rows = [
        {
            "name": workflow.name,
            "version": workflow.version,
            "steps": len(workflow.steps),
            "description": workflow.description,
            "hash": workflow.hash,
        }
        for workflow in found
    ]
    return Outcome(data={"items": rows}, lines=lambda style: table(_STEPS, rows, style))


def workflows_show(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a workflow.")]
) -> Outcome:
    """Print a workflow's definition."""
    from workflow_agent.authoring import dump_workflow  # noqa: PLC0415  # late: yaml, 16 ms
    from workflow_agent.cli.sources import catalogue_of  # noqa: PLC0415  # late

    workflow = catalogue_of(ctx.obj.settings()).get(name)
    text = dump_workflow(workflow)
    data = {**workflow.to_dict(), "description": workflow.description, "hash": workflow.hash}
    return Outcome(data=data, lines=lambda _: text.removesuffix("\n").split("\n"))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples = ["validate ./my-integration", "validate pipeline.yaml --json"]
    declare(app, "validate", panel=_PANEL, examples=examples)(validate)
    integrations = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Integrations: what can be installed.")
    declare(integrations, "list", examples=["integrations list", "integrations list --json"])(integrations_list)
    declare(integrations, "info", examples=["integrations info nginx", "integrations info nginx --readme"])(
        integrations_info
    )
    declare(integrations, "lint", examples=["integrations lint ./my-integration", "integrations lint nginx --json"])(
        integrations_lint
    )
    workshop_commands.register(integrations)
    package_commands.register(integrations)
    app.add_typer(integrations, name="integrations", rich_help_panel=_PANEL)
    workflows = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Workflows: what the verbs do, step by step.")
    declare(workflows, "list", examples=["workflows list", "workflows list --json"])(workflows_list)
    compile_examples = ["workflows compile hello.py", "workflows compile nightly.yaml --json"]
    declare(workflows, "compile", examples=compile_examples)(workflows_compile)
    declare(workflows, "show", examples=["workflows show install", "workflows show rollback --json"])(workflows_show)
    app.add_typer(workflows, name="workflows", rich_help_panel=_PANEL)
