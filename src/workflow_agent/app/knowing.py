"""Documentation and package metadata into the store, and out again: what `knowledge` commands ask for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.authoring.text_file import read_plain
from workflow_agent.model.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from workflow_agent.app.application import App
    from workflow_agent.knowledge import Extraction, FetchLimits

__all__ = ["compare_revisions", "describe_subject", "fetch_source", "known_page", "read_source"]

_LARGEST: Final = 5 << 20
_LARGEST_PACKAGE: Final = 256 << 20
#: Of a package that is installed here.
_INSTALLED: Final = "deb:"


async def fetch_source(app: App, source: str, *, subject: str | None, limits: FetchLimits) -> dict[str, Any]:
    """Read a page or a file and keep what it says.

    Args:
        app: Opened for writing.
        source: An address (``https://…``), a file of HTML or Markdown, a `.deb`, or ``deb:NAME``: installed here.
        subject: The integration that it is about.
        limits: Bounds of fetching.

    Returns:
        address, revision, changed, title, facts (their number by class), flags, and `conflicts` with what other sources
        say about the same integration.

    Raises:
        WorkflowAgentError: It cannot be fetched or read; nothing is kept.
    """
    read, kind = await read_source(source, limits)
    page = read.to_dict()
    kept = await app.store.knowledge.put(page, source=kind, subject=subject, at=time.time())
    return {**kept, **_summary(page), "conflicts": await _conflicts(app, subject)}


async def read_source(source: str, limits: FetchLimits) -> tuple[Extraction, str]:
    """Read a source; gives what it says, and what kind of source it is. Nothing is kept.

    Raises:
        WorkflowAgentError: it cannot be fetched or read.
    """
    from workflow_agent.knowledge import fetch_page, read_page  # noqa: PLC0415  # late: few commands need it

    if "://" in source:
        fetched = await fetch_page(source, limits)
        return read_page(fetched.text, fetched.address, fetched.media_type), "documentation"
    if source.startswith(_INSTALLED) or source.endswith(".deb"):
        from workflow_agent.knowledge import packages  # noqa: PLC0415  # late: few commands need it

        if source.startswith(_INSTALLED):
            data = packages.read_installed(Path("/"), source.removeprefix(_INSTALLED))
        else:
            data = packages.parse_deb(_content(source, _LARGEST_PACKAGE), source)
        return packages.package_extraction(data, _address_of(source)), "package-metadata"
    return read_page(_file_text(source), _address_of(source)), "documentation"


def _address_of(source: str) -> str:
    """Give the address of a page or a file."""
    return source if "://" in source or source.startswith(_INSTALLED) else Path(source).absolute().as_uri()


def _file_text(source: str) -> str:
    content = _content(source, _LARGEST)
    if b"\0" in content:
        raise ValidationError("the file is no text", where=source)
    return content.decode("utf-8", "replace")


def _content(source: str, largest: int) -> bytes:
    path = Path(source).absolute()
    try:
        return read_plain(path, largest)
    except FileNotFoundError as error:
        raise NotFoundError("there is no such file", where=str(path), hint="an address begins with https://") from error
    except OSError as error:
        raise ValidationError("the file cannot be read", where=str(path), cause=error.strerror) from error


def _summary(page: dict[str, Any]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for fact in page["facts"]:
        counts[fact["kind"]] = counts.get(fact["kind"], 0) + 1
    return {"title": page["title"], "facts": counts, "commands": len(page["commands"]), "flags": page["flags"]}


async def _conflicts(app: App, subject: str | None) -> list[dict[str, Any]]:
    if subject is None:
        return []
    from workflow_agent.knowledge.sources import conflicts  # noqa: PLC0415  # late: as the rest

    pages = await app.store.knowledge.pages(subject)
    return conflicts(await app.store.knowledge.facts([page["address"] for page in pages]))


async def describe_subject(app: App, name: str) -> dict[str, Any]:
    """Say all that is known about a page, by its address, or about an integration, by its name.

    Returns:
        `sources` (the pages), `facts` (each once, from the source that is trusted most), `flags`, `conflicts`.

    Raises:
        NotFoundError: nothing is known.
    """
    from workflow_agent.knowledge.sources import conflicts, ranked  # noqa: PLC0415  # late: as the rest

    knowledge = app.store.knowledge
    pages = await knowledge.pages()
    wanted = {name, _address_of(name)}
    chosen = [page for page in pages if page["address"] in wanted or page["subject"] == name]
    if not chosen:
        raise NotFoundError(
            f"nothing is known about `{name[:200]}`",
            hint=f"`workflow-agent knowledge fetch ADDRESS --for {name[:60]}` reads a page about it"
            if "/" not in name
            else "`workflow-agent knowledge list` lists the pages",
        )
    addresses = [page["address"] for page in chosen]
    facts = await knowledge.facts(addresses)
    flags = [flag for address in addresses for flag in (await knowledge.page(address))["flags"]]
    sources = [{key: value for key, value in page.items() if key != "page_id"} for page in chosen]
    return {"sources": sources, "facts": ranked(facts), "flags": flags, "conflicts": conflicts(facts)}


async def known_page(app: App, name: str) -> dict[str, Any]:
    """Give all that is known about an integration as one page, for a manifest that is composed of it.

    Raises:
        NotFoundError: nothing is known.
    """
    found = await describe_subject(app, name)
    pages = [page["address"] for page in found["sources"]]
    first = found["sources"][0]
    facts = await app.store.knowledge.facts(pages)
    return {"address": first["address"], "title": first["title"], "facts": facts, "flags": found["flags"]}


async def compare_revisions(app: App, address: str) -> dict[str, Any]:
    """Say what a page says now and did not before: address, revisions, added, removed, changed facts.

    Raises:
        NotFoundError: there is no such page, or nothing before.
    """
    knowledge = app.store.knowledge
    place = _address_of(address)
    now, before = await knowledge.page(place), await knowledge.page(place, before=1)
    new, old = _by_key(now), _by_key(before)
    return {
        "address": place,
        "revisions": [before["revision"], now["revision"]],
        "added": [fact for key, fact in new.items() if key not in old],
        "removed": [fact for key, fact in old.items() if key not in new],
        "changed": [
            {"before": old[key], "after": fact}
            for key, fact in new.items()
            if key in old and (fact["details"] != old[key]["details"] or fact["platforms"] != old[key]["platforms"])
        ],
    }


def _by_key(page: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(fact["kind"], fact["value"], str(fact["details"].get("manager", ""))): fact for fact in page["facts"]}
