"""Commands about documentation: read a page, and ask what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import TypedGroup, declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.past import ask, tell
from workflow_agent.cli.style import clip, safe
from workflow_agent.cli.tables import Column, counted, moment, table
from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.cli.style import Style

__all__ = ["register"]

_PANEL = "What there is"
_PAGES = (
    Column("address", "page", shrinks=True),
    Column("revision", "revision", rank=3),
    Column("subject", "about", rank=1),
    Column("source", "source", rank=2),
    Column("facts", "facts"),
    Column("when", "read", rank=4),
)
_FACTS = (
    Column("kind", "kind"),
    Column("value", "value", shrinks=True),
    Column("more", "more", rank=2, shrinks=True),
    Column("platforms", "for", rank=3),
    Column("source", "source", rank=4),
    Column("where", "where", rank=1, shrinks=True),
)
_KINDS = (
    "package", "repository", "file", "service", "port", "user", "setting", "metric", "verification", "removal",
    "dependency", "version", "content",
)  # fmt: skip
#: Details that are not shown beside a fact.
_LONG = frozenset({"said", "meaning", "content", "output"})


def _kind(value: str | None) -> str | None:
    if value is not None and value not in _KINDS:
        from workflow_agent.model.nearest import did_you_mean  # noqa: PLC0415  # late: a mistake

        raise UsageError(f"`{value[:40]}` is no kind of fact", where="--kind", hint=did_you_mean(value, _KINDS))
    return value


def knowledge_fetch(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Address of a page, a file, or deb:NAME.")],
    *,
    subject: Annotated[str | None, typer.Option("--for", metavar="NAME", help="Integration that it is about.")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="HOST:PORT", help="Ask this host although it is not for everybody."),
    ] = None,
) -> Outcome:
    """Read a page of documentation, and keep what it says with its source."""
    from workflow_agent.app.knowing import fetch_source  # noqa: PLC0415  # late: as the others
    from workflow_agent.knowledge import FetchLimits  # noqa: PLC0415  # late: as the others

    limits = FetchLimits(allowed=frozenset(allow or ()))
    found = tell(ctx.obj, lambda app: fetch_source(app, source, subject=subject, limits=limits))

    def lines(style: Style) -> Iterator[str]:
        state = "new" if found["revision"] == 1 and found["changed"] else "changed" if found["changed"] else "unchanged"
        yield style.paint(f"{safe(found['title']) or safe(found['address'])}", "bold")
        yield f"  {safe(found['address'])}, revision {found['revision']} ({state})"
        said = ", ".join(f"{number} {kind}" for kind, number in found["facts"].items()) or "nothing that is understood"
        yield f"  facts     {said}"
        yield f"  commands  {found['commands']}"
        yield from _flag_lines(found["flags"])
        yield from _conflict_lines(found["conflicts"])

    return Outcome(data=found, lines=lines)


def knowledge_list(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only about this integration.")] = "",
) -> Outcome:
    """List the pages and packages that were read, the last one first."""
    items = ask(ctx.obj, lambda app: app.store.knowledge.pages(name or None))
    shown = [{key: value for key, value in item.items() if key != "page_id"} for item in items]

    def lines(style: Style) -> Iterator[str]:
        if not shown:
            yield "nothing was read yet; `workflow-agent knowledge fetch ADDRESS` reads a page"
        rows = [{**item, "when": moment(item["fetched_at"])} for item in shown]
        yield from table(_PAGES, rows, style)

    return Outcome(data={"items": shown}, lines=lines)


def knowledge_show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PAGE", help="Address or file of a page, or an integration's name.")],
    *,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only facts of this kind.")] = None,
) -> Outcome:
    """Show what is known about a page or an integration: each fact with where it stands, and what is contradictory."""
    from workflow_agent.app.knowing import describe_subject  # noqa: PLC0415  # late: as the others

    wanted = _kind(kind)
    found = ask(ctx.obj, lambda app: describe_subject(app, name))
    found["facts"] = [fact for fact in found["facts"] if wanted is None or fact["kind"] == wanted]

    def lines(style: Style) -> Iterator[str]:
        for source in found["sources"]:
            yield style.paint(f"{safe(source['title']) or safe(source['address'])}", "bold")
            yield f"  {safe(source['address'])}, {safe(source['source'])}, read {moment(source['fetched_at'])}"
        yield from table(_FACTS, [_row(fact) for fact in found["facts"]], style)
        yield from _flag_lines(found["flags"])
        yield from _conflict_lines(found["conflicts"])

    return Outcome(data=found, lines=lines)


def knowledge_search(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Words, or how they begin.")],
    *,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only facts of this kind.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="At most so many.")] = 20,
) -> Outcome:
    """Find facts that hold all words."""
    wanted = _kind(kind)
    items = ask(ctx.obj, lambda app: app.store.knowledge.search(" ".join(words), kind=wanted, limit=limit))

    def lines(style: Style) -> Iterator[str]:
        if not items:
            yield "nothing is known about that"
        yield from table(_FACTS, [_row(item) for item in items], style)

    return Outcome(data={"items": items}, lines=lines)


def knowledge_diff(
    ctx: typer.Context,
    page: Annotated[str, typer.Argument(metavar="PAGE", help="Address or file of a page.")],
) -> Outcome:
    """Show what a page says now and did not when it was read before."""
    from workflow_agent.app.knowing import compare_revisions  # noqa: PLC0415  # late: as the others

    found = ask(ctx.obj, lambda app: compare_revisions(app, page))

    def lines(style: Style) -> Iterator[str]:
        before, now = found["revisions"]
        yield style.paint(f"{safe(found['address'])}: revision {before} and {now}", "bold")
        yield from (f"- {_said(fact)}" for fact in found["removed"])
        yield from (f"+ {_said(fact)}" for fact in found["added"])
        for item in found["changed"]:
            yield f"~ {_said(item['before'])} -> {_said(item['after'])}"
        if not (found["added"] or found["removed"] or found["changed"]):
            yield "other words, the same facts"

    return Outcome(data=found, lines=lines)


def _row(fact: Mapping[str, Any]) -> dict[str, Any]:
    where = fact["provenance"]
    return {
        **fact,
        "more": _more(fact),
        "platforms": ", ".join(fact["platforms"]),
        "source": where.get("source"),
        "where": f"{where['address'].rsplit('/', 1)[-1] or where['address']} {where['selector']}",
    }


def _more(fact: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fact["details"].items() if key not in _LONG)


def _said(fact: Mapping[str, Any]) -> str:
    more = _more(fact)
    return safe(f"{fact['kind']} {fact['value']}" + (f" ({more})" if more else ""))


def _flag_lines(flags: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if flags:
        yield f"  {counted(len(flags), 'thing')} to look at:"
    for flag in flags:
        yield f"    {safe(flag['kind'])}: {clip(safe(flag['text']), 90, ellipsis='...')} ({safe(_place(flag))})"


def _place(flag: Mapping[str, Any]) -> str:
    return str(flag["provenance"]["selector"])[-40:]


def _conflict_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for item in found:
        said = "; ".join(f"{one['said']} ({one['source']}, {one['address']})" for one in item["says"])
        yield f"  contradiction: {safe(item['kind'])} {safe(item['value'])}: {safe(said)}"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Knowledge: what documentation and packages say.")
    page = "https://example.org/docs/redis"
    declare(group, "fetch", examples=[f"knowledge fetch {page} --for redis-server", "knowledge fetch ./README.md"])(
        knowledge_fetch
    )
    declare(group, "list", examples=["knowledge list", "knowledge list redis-server --json"])(knowledge_list)
    declare(group, "show", examples=["knowledge show redis-server", f"knowledge show {page} --kind setting"])(
        knowledge_show
    )
    declare(group, "search", examples=["knowledge search memory", "knowledge search listen --kind setting"])(
        knowledge_search
    )
    declare(group, "diff", examples=[f"knowledge diff {page}", "knowledge diff ./README.md --json"])(knowledge_diff)
    app.add_typer(group, name="knowledge", rich_help_panel=_PANEL)
