"""A manifest drafted from facts, through blocks that are known to work: packages, files, the unit, ports, looks.

What is certain becomes a line with its provenance as a comment. What is not becomes a question, which is a comment:
nothing that a page says in another way than these blocks can be executed, and nothing is guessed. Commands of a page
are never copied into a script.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.knowledge.draft_checks import check_of, is_covered
from workflow_agent.knowledge.draft_files import drafted_files
from workflow_agent.knowledge.placeholders import has_placeholder
from workflow_agent.knowledge.sources import conflicts, ranked
from workflow_agent.knowledge.steps import is_of_debian
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["DraftedManifest", "manifest"]

_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{1,99}")
_UNIT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,127}")
_ADDRESS: Final = re.compile(r"https?://\S+")
#: Less sure than this is a question.
_SURE: Final = 0.75
_QUOTE: Final = 90
_INSTALLERS: Final = frozenset(
    {"apt-transport-https", "ca-certificates", "curl", "wget", "gnupg", "software-properties-common"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftedManifest:
    """The text of `integration.yaml`, and what a person has to answer; `open`: what must be answered before it runs.

    `beside` is what of that is about files and other steps, which a script of the packages does not stand upon.
    `sources` are the facts of which a script, and files after it, would be composed.
    """

    text: str
    questions: tuple[str, ...]
    open: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()


def manifest(name: str, page: Mapping[str, Any], *, composed: bool = False) -> DraftedManifest:
    """Draft a manifest.

    Args:
        name: That of the integration.
        page: As an extraction gives it as JSON: address, title, facts, flags.
        composed: It names no templates: its scripts are composed of the same facts when it runs.

    Raises:
        ValidationError: the page names no Debian package, so there is nothing that could be installed.
    """
    drafting = _Drafting(name, page, composed=composed)
    text = "\n".join(drafting.lines()) + "\n"
    return DraftedManifest(
        text=text,
        questions=tuple(drafting.questions),
        open=tuple(drafting.open),
        beside=tuple(drafting.beside),
        sources=(*drafting.packages, *drafting.files.facts),
    )


class _Drafting:
    """Chooses facts, once; then writes."""

    def __init__(self, name: str, page: Mapping[str, Any], *, composed: bool) -> None:
        self.name = name
        self.page = page
        self.composed = composed
        self.questions: list[str] = []
        self.open: list[str] = []
        self.beside: list[str] = []
        said = [fact for fact in page["facts"] if is_of_debian(fact["platforms"])]
        self._facts = ranked(said)
        self.packages = self._packages()
        self.service = self._service()
        self._doubts()
        names = [fact["value"] for fact in (*self.packages, *([self.service] if self.service else []))]
        contents = [fact for fact in said if fact["kind"] == "content"]
        self.files = drafted_files(contents, names, page.get("flags", ()))
        self._steps = [flag for flag in page.get("flags", ()) if flag["kind"] == "step"]
        self._steps = [flag for flag in self._steps if not self.files.takes(flag["text"])]
        self.ports = [fact for fact in self._of("port") if self._sure(fact) and not self._is_set_anew(fact)]

    def _of(self, kind: str) -> list[Mapping[str, Any]]:
        return [fact for fact in self._facts if fact["kind"] == kind]

    def _sure(self, fact: Mapping[str, Any]) -> bool:
        return float(fact["provenance"]["confidence"]) >= _SURE and not has_placeholder(str(fact["value"]))

    def _packages(self) -> list[Mapping[str, Any]]:
        """Choose the packages of the first place that installs any; the others are asked about."""
        every = [
            fact
            for fact in self._of("package")
            if fact["details"].get("manager") == "apt" and self._sure(fact) and _PACKAGE.fullmatch(fact["value"])
        ]
        own = [fact for fact in every if fact["value"] not in _INSTALLERS]
        if not own:
            raise ValidationError(
                "this page names no package that apt installs",
                where=str(self.page["address"]),
                hint="`workflow-agent integrations init NAME --template KIND` drafts another kind",
            )
        first = own[0]["provenance"]["selector"]
        for fact in own:
            if fact["provenance"]["selector"] != first:
                self._ask(f"is the package `{fact['value']}` needed, too?", fact)
        return [fact for fact in own if fact["provenance"]["selector"] == first]

    def _is_set_anew(self, port: Mapping[str, Any]) -> bool:
        """Tell whether a port is the default of a setting to which a written file gives another value."""
        key = str(port["provenance"]["quote"]).partition(" ")[0]
        line = re.compile(rf"(?m)^\s*{re.escape(key)}\b.*")
        given = [number for fact in self.files.facts for number in _numbers(line.findall(fact["details"]["content"]))]
        return bool(given) and port["value"] not in given

    def _service(self) -> Mapping[str, Any] | None:
        found = [fact for fact in self._of("service") if self._sure(fact) and _UNIT.fullmatch(fact["value"])]
        names = {fact["value"] for fact in self.packages}
        ours = [fact for fact in found if fact["value"] in names] or found
        for fact in found:
            if fact is not ours[0]:
                self._ask(f"is `{fact['value']}` a service of it, too?", fact)
        return ours[0] if ours else None

    def _ask(self, question: str, fact: Mapping[str, Any], *, blocks: bool = True, beside: bool = False) -> None:
        """Ask; what `blocks` decides about what would run, the rest about what more there could be."""
        text = f"{question} ({_source(fact)})"
        self.questions.append(text)
        if blocks:
            self.open.append(text)
        if blocks and beside:
            self.beside.append(text)

    def _doubts(self) -> None:
        """Ask about what is not sure enough to be taken, and about what sources say differently."""
        for kind in ("package", "service") if self.composed else ():
            for fact in self._of(kind):
                if fact["details"].get("manager", "apt") == "apt" and not self._sure(fact):
                    sure = float(fact["provenance"]["confidence"])
                    self._ask(f"is the {kind} `{_plain(fact['value'])}` meant? It is only {sure:.2f} sure", fact)
        for one in conflicts(self.page["facts"]) if self.composed else ():
            says = " or ".join(f"`{_plain(str(each['said']))}` ({_plain(each['address'])})" for each in one["says"])
            text = f"what is right of the {one['kind']} `{_plain(one['value'])}`: {says}?"
            self.questions.append(text)
            self.open.append(text)

    def _is_near(self, flag: Mapping[str, Any]) -> bool:
        """Tell whether a flag is about a place from which something was taken that would run."""
        chosen = [*self.packages, *self._of("repository"), *([self.service] if self.service else [])]
        places = {(fact["provenance"]["address"], fact["provenance"]["selector"]) for fact in chosen}
        return (flag["provenance"]["address"], flag["provenance"]["selector"]) in places

    # -- text --------------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        title = _plain(str(self.page["title"])) or self.name
        yield f"# Drafted from {_plain(str(self.page['address']))}"
        yield "# Lines say where they are from. What is a QUESTION is for you to answer; nothing of it is executed."
        yield "schema: workflow-agent/integration/1"
        yield f"name: {self.name}"
        yield "version: 0.1.0"
        yield f"description: {_quoted(f'{title}, as its documentation says.')}"
        yield "category: other"
        yield "platforms:"
        init = ", init: [systemd]" if self.service is not None else ""
        yield f'  - {{family: debian, os: [debian], releases: ["12"]{init}}}'
        yield from self._actions()
        yield from self.files.lines({number: _source(fact) for number, fact in enumerate(self.files.facts)})
        yield from self._services()
        yield from self._checks()
        yield from self._gone()
        if _ADDRESS.fullmatch(str(self.page["address"])):
            yield "documentation:"
            yield f"  - {{title: {_quoted(title)}, url: {_quoted(str(self.page['address']))}}}"
        yield from self._rest()

    def _actions(self) -> Iterator[str]:
        yield "actions:"
        for action, more in (("install", ["    network: true"]), ("uninstall", [])):
            if self.composed:
                yield f"  {action}: {{network: true}}" if more else f"  {action}: {{}}"
                continue
            yield f"  {action}:"
            yield f"    template: apt/{action}"
            yield from more
            yield "    with:"
            yield "      packages:"
            for fact in self.packages:
                yield f"        - {fact['value']}  # {_source(fact)}"

    def _services(self) -> Iterator[str]:
        if self.service is None:
            return
        yield "services:"
        yield f"  - name: {self.service['value']}  # {_source(self.service)}"
        if self.ports:
            listens = ", ".join(f"tcp/{fact['value']}" for fact in self._tcp())
            yield f"    listens: [{listens}]" if listens else "    # no port of it is known to be TCP"

    def _tcp(self) -> list[Mapping[str, Any]]:
        """List the ports that are not said to be UDP."""
        return [fact for fact in self.ports if not re.search(r"(?i)\budp\b", str(fact["provenance"]["quote"]))]

    def _checks(self) -> Iterator[str]:
        yield "checks:"
        for fact in self.packages:
            item = {"id": _id("package", fact["value"]), "kind": "package", "name": fact["value"]}
            yield f"  - {_flow(item)}  # {_source(fact)}"
        if self.service is not None:
            unit = {"id": "unit", "kind": "unit", "name": f"{self.service['value']}.service", "active": True}
            yield f"  - {_flow(unit)}  # {_source(self.service)}"
        for fact in self._tcp():
            port = {"id": _id("port", fact["value"]), "kind": "port", "port": int(fact["value"])}
            yield f"  - {_flow(port)}  # {_source(fact)}"
        yield from self._answers()

    def _answers(self) -> Iterator[str]:
        """Make a probe of each look that one asks for; ask about the others."""
        ports = {str(fact["value"]) for fact in self._tcp()}
        services = {str(self.service["value"])} if self.service is not None else set()
        made: list[dict[str, Any]] = []
        for fact in self._of("verification"):
            check = check_of(fact, ports)
            if check is not None and check not in made:
                made.append(check)
                item = {"id": _id("answers", str(len(made)))} | check
                yield f"  - {_flow(item)}  # {_source(fact)}"
            elif check is None and not is_covered(str(fact["value"]), services, ports):
                question = f"does `{_plain(fact['value'])}` prove that it works? As what check?"
                self._ask(question, fact, blocks=False)

    def _gone(self) -> Iterator[str]:
        yield "negative_checks:"
        for fact in self.packages:
            gone = {"id": _id("gone", fact["value"]), "kind": "package", "name": fact["value"], "installed": False}
            yield f"  - {_flow(gone)}"
        if self.service is not None:
            unit = {"id": "unit-gone", "kind": "unit", "name": f"{self.service['value']}.service", "active": False}
            yield f"  - {_flow(unit)}"

    def _rest(self) -> Iterator[str]:
        """Ask about what the blocks do not say."""
        for fact in self._of("repository"):
            self._ask(
                f"does the package come from `{_plain(fact['value'])}`? Then the target needs that source first", fact
            )
        for question, fact, blocks in self.files.questions:
            self._ask(question, fact, blocks=blocks, beside=True)
        for fact in self._of("setting"):
            if (fact["provenance"]["address"], fact["provenance"]["selector"]) in self.files.places:
                continue
            default = fact["details"].get("default")
            says = f" (default `{_plain(default)}`)" if default else ""
            question = f"should `{_plain(fact['value'])}`{says} be a parameter, in which file?"
            self._ask(question, fact, blocks=False)
        for fact in self.ports:
            if fact not in self._tcp():
                self._ask(f"UDP port {fact['value']}: how is it seen to work?", fact, blocks=False)
        for flag in self._steps:
            self._ask(f"is `{_plain(flag['text'])}` needed? No block does that", flag, beside=True)
        for flag in self.page.get("flags", ()):
            if flag["kind"] != "step":
                question = f"{flag['kind']}: what is `{_plain(flag['text'])}` to be?"
                self._ask(question, flag, blocks=self._is_near(flag))
        yield from (f"# QUESTION: {question}" for question in self.questions)


def _numbers(lines: Sequence[str]) -> list[str]:
    return [number for line in lines for number in re.findall(r"\d{2,5}", line)]


def _source(fact: Mapping[str, Any]) -> str:
    """Say where a fact is from, in a comment: by the part of the page that has a name, else by the nearest tag."""
    where = fact["provenance"]
    steps = where["selector"].split(" > ")
    place = steps[0] if steps[0].startswith("#") else steps[-1]
    return _plain(f"{place}: {where['quote']}")[:_QUOTE].rstrip()


def _plain(text: str) -> str:
    """Make one printable line of a text."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _quoted(text: str) -> str:
    return json.dumps(_plain(text))


def _id(kind: str, value: str) -> str:
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', value.lower()).strip('-')}"[:63]


def _flow(item: Mapping[str, Any]) -> str:
    """Write a mapping in one line, as JSON, which is YAML."""
    pairs: Sequence[str] = [f"{key}: {json.dumps(value)}" for key, value in item.items()]
    return "{" + ", ".join(pairs) + "}"
