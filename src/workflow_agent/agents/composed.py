"""A script that no template gives: of the facts that are known, through blocks that are known to work.

Facts choose blocks and fill them; nothing that a page says is copied. What is uncertain refuses, with the questions
that a person would have to answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.documented import Documented
    from workflow_agent.model.system import TargetFacts

__all__ = ["composed_parts", "require_certain"]

_NAMED = 3


async def composed_parts(
    knowledge: Documented | None, name: str, action: str, facts: TargetFacts, earlier: Mapping[str, Any]
) -> dict[str, Any]:
    """Choose the block of an action and fill it; gives template, packages and sources.

    Args:
        knowledge: What is known; None where nothing can be.
        name: Of the integration, which pages are about.
        action: What is to be done.
        facts: Of the target.
        earlier: What the run said that installed it: what it stood upon then, goes.

    Raises:
        NotFoundError: nothing is known.
        ValidationError: what is known leaves questions.
        UnsupportedPlatformError: there is no block for the target.
    """
    from workflow_agent.integrations.families import block_of  # noqa: PLC0415  # late: few scripts are composed

    template = block_of(action, facts, name)
    known = earlier.get("composed") if action == "uninstall" else None
    if known:
        return {"template": template, **known}
    pages = await knowledge.pages(name) if knowledge is not None else []
    if knowledge is None or not pages:
        raise NotFoundError(
            f"`{name}` has no template, and nothing is known of which a script could be composed",
            where=name,
            state="nothing was changed",
            hint=f"`workflow-agent knowledge fetch SOURCE --for {name}` reads a page or a package",
        )
    from workflow_agent.knowledge.draft import manifest  # noqa: PLC0415  # late: as above

    flags = [flag for page in pages for flag in (await knowledge.page(page["address"]))["flags"]]
    said = await knowledge.facts([page["address"] for page in pages])
    about = {"address": pages[0]["address"], "title": pages[0]["title"], "facts": said, "flags": flags}
    draft = manifest(name, about, composed=True)
    # which files there are and what else is done, its manifest says: that of one's own, or the one drafted of all of it
    require_certain(name, tuple(question for question in draft.open if question not in draft.beside))
    sources = [{"fact": fact["kind"], "value": fact["value"], **fact["provenance"]} for fact in draft.sources]
    packages = [fact["value"] for fact in draft.sources if fact["kind"] == "package"]
    return {"template": template, "packages": packages, "sources": sources}


def require_certain(name: str, questions: tuple[str, ...]) -> None:
    """Raise ValidationError where there is something to ask first."""
    if not questions:
        return
    shown = "; ".join(questions[:_NAMED])
    more = f" (and {len(questions) - _NAMED} more)" if len(questions) > _NAMED else ""
    raise ValidationError(
        f"what is known of `{name}` leaves {len(questions)} question{'s' if len(questions) > 1 else ''}: {shown}{more}",
        where=name,
        state="nothing was changed",
        hint=f"`workflow-agent integrations init {name} --from-docs ADDRESS` drafts a manifest; answer them there",
        details={"questions": list(questions)},
    )
