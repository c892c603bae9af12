"""Commands for authors of integrations: a first draft, tests."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import TypedGroup, declare
from workflow_agent.cli.options import OneName  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import Column, counted, table
from workflow_agent.model.errors import ChangesPendingError, CheckFailedError, UsageError, WorkflowAgentError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from enum import StrEnum

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.style import Style
    from workflow_agent.integrations import Manifest
    from workflow_agent.testing.bench import BenchOutcome

__all__ = ["register"]

_SUMMARY = (
    Column("kind", "kind"),
    Column("target", "target"),
    Column("case", "case", rank=2),
    Column("verdict", "result"),
    Column("seconds", "seconds"),
    Column("message", "what was seen", shrinks=True),
)
_SIGNS = {"passed": ("succeeded", "green"), "failed": ("failed", "red"), "skipped": ("skipped", "dim")}


# -- a first draft ---------------------------------------------------------------------------------------------------


def integrations_init(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new integration.")],
    *,
    template: Annotated[
        str | None, typer.Option("--template", metavar="KIND", help="apt, tarball, pip, container or script.")
    ] = None,
    package: Annotated[
        str | None, typer.Option("--package", metavar="P", help="Package or image, if not NAME.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is.")] = None,
    category: Annotated[str | None, typer.Option("--category", metavar="WORD", help="Such as web, database.")] = None,
    port: Annotated[str | None, typer.Option("--port", metavar="N", help="TCP port that it opens.")] = None,
    from_docs: Annotated[
        str | None, typer.Option("--from-docs", metavar="SOURCE", help="Draft it from a page of documentation.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="HOST:PORT", help="Ask this host although it is not for everybody."),
    ] = None,
    into: Annotated[Path, typer.Option("--into", metavar="FOLDER", help="Where its folder is made.")] = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: what is not given is as usual.")] = False,
) -> Outcome:
    """Write the first draft of an integration: it lints and passes its tests at once."""
    if from_docs is not None:
        from workflow_agent.cli.docs_draft import draft_from_docs  # noqa: PLC0415  # late

        others = {"--template": template, "--package": package, "--port": port}
        return draft_from_docs(name, from_docs, into, others, allow or ())
    if allow:
        raise UsageError("`--allow-host` is for `--from-docs`", where="--allow-host")
    from workflow_agent.cli.scaffolding import Answers, ask_for, write_draft  # noqa: PLC0415  # late

    invocation: Invocation = ctx.obj
    may_ask = not yes and not invocation.json and sys.stdin.isatty() and sys.stderr.isatty()
    given = {
        "template": template,
        "package": package,
        "description": description,
        "category": category,
        "port": port,
    }
    draft = ask_for(name, Answers(invocation, may_ask=may_ask), given)
    folder = write_draft(draft, into)
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    shown = f"./{folder.name}" if into == Path() else str(folder)

    def lines(style: Style) -> Iterator[str]:
        yield f"{style.paint(style.symbol('succeeded'), 'green')} {safe(shown)}: {counted(len(files), 'file')}"
        yield from (f"    {safe(file)}" for file in files)
        yield ""
        yield f"  look at it:  {safe(shown)}/integration.yaml"
        yield f"  test it:     workflow-agent integrations test {safe(shown)}"
        yield f"  install it:  workflow-agent install {safe(shown)}"

    data = {"name": name, "folder": str(folder), "template": draft.template.value, "files": files}
    unknown = f"apt here knows no package `{draft.package}`: is it spelt so, and did `apt-get update` run?"
    return Outcome(data=data, lines=lines, warnings=() if draft.is_known else (unknown,))


# -- one form, one README --------------------------------------------------------------------------------------------

_Check = Annotated[bool, typer.Option("--check", help="Change nothing; exit 3 when something would change.")]


def integrations_format(ctx: typer.Context, name: OneName, *, check: _Check = False) -> Outcome:
    """Bring a manifest into one form: order of keys, blanks, line ends."""
    from workflow_agent.cli.sources import folder_of  # noqa: PLC0415  # late
    from workflow_agent.integrations.fixing import format_folder  # noqa: PLC0415  # late

    folder = folder_of(ctx.obj.settings(), name)
    return _written(folder / "integration.yaml", format_folder(folder, write=not check), check=check)


def integrations_docs_build(ctx: typer.Context, name: OneName, *, check: _Check = False) -> Outcome:
    """Write the README of an integration from its manifest."""
    from workflow_agent.cli.sources import folder_of  # noqa: PLC0415  # late
    from workflow_agent.integrations.fixing import build_readme  # noqa: PLC0415  # late

    folder = folder_of(ctx.obj.settings(), name)
    return _written(folder / "README.md", build_readme(folder, write=not check), check=check)


def _written(file: Path, changed: bool, *, check: bool) -> Outcome:
    word = ("would be written anew" if check else "written anew") if changed else "as it should be"

    def lines(style: Style) -> Iterator[str]:
        yield f"{style.paint(style.symbol('succeeded' if changed else 'unchanged'), 'green')} {safe(file)}: {word}"

    exit_code = ChangesPendingError.exit_code if check and changed else 0
    return Outcome(data={"file": str(file), "changed": changed}, lines=lines, exit_code=exit_code)


# -- tests -----------------------------------------------------------------------------------------------------------


def integrations_test(
    ctx: typer.Context,
    name: OneName,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only this kind of test; repeat it.", show_default="all"),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="KIND",
            help="plain, systemd, docker-plain, docker-systemd; repeat it.",
            show_default="plain and systemd",
        ),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Keep what comes out as what must come out.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Decides where the process is killed.")] = 1,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML there too.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what the commands said, also of what passed.")] = False,
) -> Outcome:
    """Test an integration, on paper and on disposable targets."""
    from workflow_agent.cli.sources import find_integration, registry_of  # noqa: PLC0415  # late
    from workflow_agent.testing.bench import Kind, Suite, TargetKind, junit_text  # noqa: PLC0415  # late: the lab

    invocation: Invocation = ctx.obj
    manifest = find_integration(invocation.settings(), name)
    suite = Suite(
        manifest=manifest,
        kinds=_chosen(kind, Kind, "--kind"),
        targets=_chosen(target or ["plain", "systemd"], TargetKind, "--target"),
        registry=registry_of(invocation.settings()),
        update=update,
        seed=seed,
        keep=keep,
    )
    done: list[BenchOutcome] = []
    started = time.monotonic()
    for outcome in suite.run():
        done.append(outcome)
        invocation.say(_told(outcome, invocation.style(sys.stderr)))
    seconds = time.monotonic() - started
    done.sort(key=lambda one: (one.target, [*Kind].index(one.kind)))  # each as it ended was told meanwhile
    if junit is not None:
        _write(junit, junit_text(manifest.name, manifest.version, done))
    return _tested(manifest, done, suite.kept, seconds)


def _chosen(words: list[str] | None, known: type[StrEnum], option: str) -> list[Any]:
    names = [one.value for one in known]
    for word in words or ():
        if word not in names:
            raise UsageError(
                f"there is no `{word[:40]}`",
                where=option,
                hint=did_you_mean(word, names) or f"one of {', '.join(names)}",
            )
    return [one for one in known if words is None or one.value in words]


def _told(outcome: BenchOutcome, style: Style) -> str:
    symbol, color = _SIGNS[outcome.verdict.value]
    what = " ".join(filter(None, (outcome.kind.value, outcome.case, outcome.target)))
    line = f"{style.paint(style.symbol(symbol), color)} {safe(what)}  {outcome.seconds:.1f} s  {safe(outcome.message)}"
    details = [f"\n    {safe(text)}" for text in outcome.details]
    if outcome.evidence is None:
        return line + "".join(details)
    state = f"WORKFLOW_AGENT_PATHS__STATE={safe(outcome.evidence)}/state"
    evidence = f"\n    evidence: {safe(outcome.evidence)}\n    its runs: {state} workflow-agent history"
    return line + "".join(details) + evidence


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"`{file}` cannot be written", where="--junit", cause=error.strerror) from error


def _tested(manifest: Manifest, done: Sequence[BenchOutcome], kept: Path | None, seconds: float) -> Outcome:
    rows = [outcome.to_dict() for outcome in done]
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in _SIGNS}

    def lines(style: Style) -> Iterator[str]:
        shown = [{**row, "seconds": f"{row['seconds']:.1f}"} for row in rows]
        yield from table(_SUMMARY, shown, style)
        yield ""
        told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
        yield f"{told} in {seconds:.1f} s"
        if kept is not None:
            yield f"kept: {safe(kept)}"

    data = {
        "integration": manifest.name,
        "version": manifest.version,
        **counts,
        "items": rows,
        "seconds": round(seconds, 2),
        "kept": str(kept) if kept is not None else None,
    }
    skipped = sorted({outcome.message for outcome in done if outcome.verdict.value == "skipped"})
    outcome = Outcome(data=data, lines=lines, warnings=tuple(f"not tested: {why}" for why in skipped))
    if counts["failed"]:
        raise CommandFailedError(_failure(manifest, counts["failed"], kept), outcome)
    return outcome


def _failure(manifest: Manifest, number: int, kept: Path | None) -> WorkflowAgentError:
    return CheckFailedError(
        f"{counted(number, 'test')} of `{manifest.name}` failed",
        where=str(manifest.folder),
        hint=f"what the commands and targets said is in {kept}" if kept is not None else None,
    )


def register(integrations: typer.Typer) -> None:
    """Add the commands to those of integrations."""
    init = [
        "integrations init tinyproxy --port 8888",
        "integrations init greeting --template script --yes",
    ]
    declare(integrations, "init", examples=init)(integrations_init)
    formats = ["integrations format ./tinyproxy", "integrations format nginx --check"]
    declare(integrations, "format", examples=formats)(integrations_format)
    docs = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="What people read about an integration.")
    builds = ["integrations docs build ./tinyproxy", "integrations docs build nginx --check"]
    declare(docs, "build", examples=builds)(integrations_docs_build)
    integrations.add_typer(docs, name="docs")
    test = [
        "integrations test ./tinyproxy",
        "integrations test ./tinyproxy --kind render --update",
        "integrations test nginx --target plain --junit report.xml",
    ]
    declare(integrations, "test", examples=test)(integrations_test)
