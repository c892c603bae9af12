"""From a page to what it says: one walk over its elements, in reading order. Pure, deterministic, no model."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.blocks import classify
from workflow_agent.knowledge.command_facts import command_facts, commands_of
from workflow_agent.knowledge.command_lines import Line, first_program, outputs_of, program_of, session, split_chain
from workflow_agent.knowledge.configuration_facts import (
    configuration_facts,
    exposition_facts,
    help_facts,
    is_metric_name,
    table_facts,
    unit_facts,
)
from workflow_agent.knowledge.facts import (
    BlockKind,
    Extraction,
    Fact,
    FactKind,
    Flag,
    FlagKind,
    PageCommand,
    provenance_of,
)
from workflow_agent.knowledge.file_contents import command_contents, content_facts, edited_path
from workflow_agent.knowledge.html_pages import parse_html
from workflow_agent.knowledge.markdown_pages import looks_like_html, parse_markdown
from workflow_agent.knowledge.page import ElementKind
from workflow_agent.knowledge.place import PagePlace
from workflow_agent.knowledge.placeholders import placeholders_in, replaced_words
from workflow_agent.knowledge.platforms import platforms_of, platforms_said
from workflow_agent.knowledge.programs import KNOWN
from workflow_agent.knowledge.prose_facts import prose_facts
from workflow_agent.knowledge.steps import is_block_left_out, is_left_out, is_statement_left_out, told_edits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workflow_agent.knowledge.facts import FactSource, SystemFamily
    from workflow_agent.knowledge.page import Element, Page

__all__ = ["extract", "parse_page", "read_page"]

_COMMAND_LINK: Final = re.compile(r"(?i)\b(commands?|instructions?|install\w*|follow|download\w*|run)\b")
_LINK_TARGET: Final = re.compile(r"(?i)install|download|setup|package|repositor|getting|guide|instruction")
_FOREGROUND: Final = re.compile(
    r"(?i)\b(foreground|does not return|never returns|keeps? running|press(ing)? ctrl|ctrl[+-]c|by hand|"
    r"another terminal)\b"
)
_PROMQL: Final = re.compile(r"\b([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?=\s*[{\[]|\s*$|\))")
_LABEL: Final = 60
_PRINTED: Final = 500


def read_page(text: str, address: str, media_type: str = "") -> Extraction:
    """Read a page and give all that it says.

    Args:
        text: HTML or Markdown.
        address: Where it is from; every fact names it.
        media_type: As the server said; guessed from the text and the address when omitted.
    """
    return extract(parse_page(text, address, media_type))


def parse_page(text: str, address: str, media_type: str = "") -> Page:
    """Parse HTML or Markdown, whichever it is."""
    html = media_type in {"text/html", "application/xhtml+xml"}
    if (
        not html
        and not media_type.endswith("markdown")
        and not re.search(r"\.(md|mdx|markdown)$", address.partition("?")[0])
    ):
        html = looks_like_html(text)
    return parse_html(text, address) if html else parse_markdown(text, address)


def extract(page: Page) -> Extraction:
    """Give all that a page says: facts, commands, and what a person must look at."""
    walk = _Walk(page)
    for number in range(len(page.elements)):
        walk.visit(number)
    contents = {fact.value for fact in walk.facts if fact.kind is FactKind.CONTENT}
    # what is to stand in the others, no block says
    walk.flags += [flag for path, flag in walk.edits if path not in contents]
    return Extraction(
        address=page.address,
        title=page.title,
        sha256=page.sha256,
        facts=tuple(_merged(walk.facts)),
        commands=tuple(walk.commands),
        flags=tuple({(flag.kind, flag.text): flag for flag in reversed(walk.flags)}.values())[::-1],
    )


@dataclass(slots=True)
class _Walk:
    page: Page
    facts: list[Fact] = field(default_factory=list)
    commands: list[PageCommand] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    programs: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    edits: list[tuple[str, Flag]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.programs = _programs(self.page)
        for element in self.page.elements:
            self.replaced |= replaced_words(element.text)

    def visit(self, number: int) -> None:
        element = self.page.elements[number]
        place = self._place(number)
        if element.kind is ElementKind.CODE:
            self._code(place, number)
        elif element.kind is ElementKind.TABLE:
            self.facts += table_facts(place)
            self._inline(place)
        elif element.kind is ElementKind.TEXT:
            self.facts += prose_facts(place, self._inline(place))
            self._links(place)
            for path, sentence in told_edits(place):
                self._edit(path, sentence, place)

    def _place(self, number: int) -> PagePlace:
        elements = self.page.elements
        element = elements[number]
        before = _neighbour(elements, number, -1)
        words = [before[-_LABEL:]] if before.rstrip().endswith(":") or len(before) < _LABEL else []
        platforms = platforms_of(element, words) or platforms_of(element)
        return PagePlace(
            address=self.page.address,
            element=element,
            before=before,
            after=_neighbour(elements, number, 1),
            platforms=platforms,
        )

    def _kind(self, place: PagePlace, number: int) -> BlockKind:
        previous = self.page.elements[number - 1] if number else None
        after_command = (
            previous is not None and previous.kind is ElementKind.CODE and previous.sections == place.element.sections
        )
        return classify(place.element, place.before, self.programs, after_command=after_command)

    def _code(self, place: PagePlace, number: int) -> None:
        kind = self._kind(place, number)
        text = place.element.text
        if kind is BlockKind.COMMAND:
            lines = session(text)
            self._commands(place, lines, self._printed(number))
            text = "\n".join(f"{line.text}\n{line.body}" for line in lines if line.is_command)
        elif kind is BlockKind.CONFIGURATION:
            self.facts += configuration_facts(place)
            self._contents(place, number)
        elif kind is BlockKind.UNIT:
            self.facts += unit_facts(place)
            self._contents(place, number)
        elif kind is BlockKind.QUERY:
            self._query(place)
        else:
            self.facts += exposition_facts(place)
            self.facts += help_facts(place)
        if kind is not BlockKind.OUTPUT:
            self._placeholders(place, text, kind)

    def _printed(self, number: int) -> str:
        """Give the block right after a block of commands that shows what the last of them prints."""
        elements = self.page.elements
        for at in (number + 1, number + 2):
            if at >= len(elements) or elements[at].sections != elements[number].sections:
                break
            if elements[at].kind is ElementKind.CODE:
                place = self._place(at)
                return elements[at].text if self._kind(place, at) is BlockKind.OUTPUT else ""
            if elements[at].kind is not ElementKind.TEXT:
                break
        return ""

    def _contents(self, place: PagePlace, number: int) -> None:
        """Note what a block puts into a file; one that is to be put somewhere unknown is a step."""
        elements = self.page.elements
        at, earlier = number - 1, []
        while at >= 0 and elements[at].kind is ElementKind.TEXT and elements[at].sections == place.element.sections:
            earlier.append(elements[at].text)
            at -= 1
        before = elements[at] if at >= 0 and elements[at].sections == place.element.sections else None
        opened = before is not None and before.kind is ElementKind.CODE
        edited = edited_path(split_chain(before.text)[-1]) if before is not None and opened and before.text else ""
        is_told = is_block_left_out(place)
        inside = [one for one in elements[:number] if one.sections == place.element.sections] if is_told else []
        section = [one.text for one in inside if one.kind is ElementKind.TEXT]
        found = list(content_facts(place, earlier, edited, section))
        self.facts += found
        if not found and is_told:
            self._flag(FlagKind.STEP, place.element.text.strip().split("\n", 1)[0], place)

    def _commands(self, place: PagePlace, lines: list[Line], printed: str) -> None:
        commands = list(commands_of(place, lines))
        outputs = outputs_of(lines)
        for command in commands:
            self.commands.append(command)
            facts = [*command_facts(place, command), *command_contents(place, command)]
            alone = [other.provenance.quote for other in commands].count(command.provenance.quote) == 1
            shown = outputs.get(command.provenance.quote, "") or (printed if command is commands[-1] else "")
            shown = shown if alone else ""  # of a chain nobody knows which one prints
            self.facts += [_with_output(fact, shown) for fact in facts]
            if is_left_out(place, command, facts):
                self._flag(FlagKind.STEP, command.text, place)
            if (path := edited_path(command.text)) and not place.is_optional:
                self._edit(path, command.text, place)
            if command.body:
                body = replace(place.element, text=command.body, language="")
                self.facts += configuration_facts(replace(place, element=body))
            if _is_foreground(place, command.text):
                self._flag(FlagKind.FOREGROUND, command.text, place)

    def _inline(self, place: PagePlace) -> set[str]:
        """Read the pieces of code of a paragraph that are commands; gives them."""
        found: set[str] = set()
        for code in place.element.codes:
            self._placeholders(place, code, None)
            if not _is_inline_command(code, self.programs):
                continue
            found.add(code)
            alone = replace(place, before="", platforms=_said_before(place, code) or place.platforms)
            for text in split_chain(code):
                if text.split()[0] in KNOWN and place.element.kind is ElementKind.TEXT:
                    self.commands.append(
                        PageCommand(text=text, platforms=alone.platforms, provenance=_provenance(place, 0.7, code))
                    )
                    command = PageCommand(text=text, provenance=_provenance(place, 0.7, code))
                    found_here = list(command_facts(alone, command))
                    self.facts += [
                        fact
                        for fact in found_here
                        if fact.kind is not FactKind.VERIFICATION or text.startswith(("curl ", "systemctl "))
                    ]
                    self._inline_step(alone, command, found_here)
                if _FOREGROUND.search(place.element.text):
                    self._flag(FlagKind.FOREGROUND, text, place)
        return found

    def _inline_step(self, place: PagePlace, command: PageCommand, facts: list[Fact]) -> None:
        """Note a step in a sentence, which itself says whether it is one that may be left."""
        said = replace(place, before=f"{place.element.text.rstrip('.:')}:")
        if path := edited_path(command.text):
            if not said.is_optional:
                self._edit(path, command.text, place)
        elif is_left_out(said, replace(command, platforms=place.platforms), facts):
            self._flag(FlagKind.STEP, command.text, place)

    def _edit(self, path: str, text: str, place: PagePlace) -> None:
        self.edits.append((path, Flag(kind=FlagKind.STEP, text=text, provenance=_provenance(place, 0.9, text))))

    def _query(self, place: PagePlace) -> None:
        if is_statement_left_out(place):
            self._flag(FlagKind.STEP, place.element.text.strip().split("\n", 1)[0], place)
        if place.element.language in {"promql", "logql"}:
            for name in _PROMQL.findall(place.element.text):
                if is_metric_name(name):
                    self.facts.append(place.fact(FactKind.METRIC, name, 0.7))

    def _placeholders(self, place: PagePlace, text: str, kind: BlockKind | None) -> None:
        marks = place.element.marks if place.element.kind is ElementKind.CODE else ()
        for found in dict.fromkeys(placeholders_in(text, kind, marks)):
            self._flag(FlagKind.PLACEHOLDER, found, place)
        for word in sorted(self.replaced):
            if kind is not None and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text):
                self._flag(FlagKind.PLACEHOLDER, word, place)

    def _links(self, place: PagePlace) -> None:
        if not _COMMAND_LINK.search(place.element.text):
            return
        for link in place.element.links:
            here = link.address.partition("#")[0] == self.page.address
            if (
                not here
                and link.address.startswith("http")
                and (_LINK_TARGET.search(link.address) or _LINK_TARGET.search(link.text))
            ):
                self._flag(FlagKind.LINK, link.address, place)

    def _flag(self, kind: FlagKind, text: str, place: PagePlace) -> None:
        self.flags.append(Flag(kind=kind, text=text, provenance=_provenance(place, 0.9, text)))


def _provenance(place: PagePlace, confidence: float, quote: str) -> FactSource:
    return provenance_of(place.address, place.element, confidence, quote)


def _with_output(fact: Fact, printed: str) -> Fact:
    """Note what a look prints, where the page shows that."""
    if fact.kind is not FactKind.VERIFICATION or not printed:
        return fact
    return replace(fact, details={**fact.details, "output": printed[:_PRINTED]})


def _neighbour(elements: tuple[Element, ...], number: int, step: int) -> str:
    """Give the paragraph right before or after an element of the same section; blocks between end the search."""
    at = number + step
    if not 0 <= at < len(elements) or elements[at].kind is not ElementKind.TEXT:
        return ""
    return elements[at].text if elements[at].sections == elements[number].sections else ""


def _programs(page: Page) -> set[str]:
    """Name what the lines of a block may begin with: what this page installs, starts, and calls by name."""
    found: set[str] = set()
    for element in page.elements:
        if element.kind is ElementKind.CODE:
            for line in session(element.text) if element.language or "install" in element.text else ():
                words = [word for word in line.text.split() if not word.startswith("-")]
                if line.is_command and program_of(line.text) in KNOWN:
                    found |= {
                        word.removesuffix(".service") for word in words[2:] if re.fullmatch(r"[a-z][\w.-]+", word)
                    }
                elif line.is_command and element.language in {"bash", "sh", "shell", "console"}:
                    found.add(first_program(line.text))
        elif element.kind is ElementKind.HEADING:
            found |= {word for word in element.text.split() if re.fullmatch(r"[a-z][\w]*_exporter", word)}
    found |= {f"{name}d" for name in found if re.fullmatch(r"[a-z]+", name)}
    return {name for name in found if name}


def _is_inline_command(code: str, programs: set[str]) -> bool:
    words = code.split()
    if len(words) < 2 or not re.match(r"[\w./]", words[0]):  # noqa: PLR2004
        return False
    return words[0] in KNOWN or words[0] in programs


def _said_before(place: PagePlace, code: str) -> tuple[SystemFamily, ...]:
    return platforms_said(place.element.text.partition(code)[0][-_LABEL:])


def _is_foreground(place: PagePlace, text: str) -> bool:
    program = program_of(text)
    if program in {"docker", "podman"}:
        return bool(re.search(r"\brun\b", text)) and not re.search(r"\s(-\w*d\w*|--detach|--rm)(\s|$)", text)
    if program in KNOWN or re.search(r"&\s*$|\s--?(help|version|h|V)\b", text):
        return False
    if "--foreground" in text or _FOREGROUND.search(place.before) or _FOREGROUND.search(place.after):
        return True
    return (
        program.startswith("./")
        or bool(re.search(r"_exporter$", program))
        or bool(re.search(r"d$", program) and re.search(r"\s--?config", text))
    )


def _merged(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Give each statement once: the surest, with all platforms; the default of a table goes before a sample's."""
    by_key: dict[tuple[FactKind, str, str], Fact] = {}
    for fact in facts:
        key = (fact.kind, fact.value, fact.details.get("manager", "") or fact.details.get("content", ""))
        known = by_key.get(key)
        if known is None:
            by_key[key] = fact
            continue
        # as sure, what is said to everybody goes before what is said about one system
        better = max(known, fact, key=lambda one: (one.provenance.confidence, not one.platforms))
        other = known if better is fact else fact
        platforms = (
            tuple(dict.fromkeys((*known.platforms, *fact.platforms))) if known.platforms and fact.platforms else ()
        )
        by_key[key] = replace(better, platforms=platforms, details={**other.details, **better.details})
    yield from by_key.values()
