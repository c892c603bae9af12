"""What is read out of pages that a person has read, too. How they are labelled: tests/corpus/knowledge/README.md."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from workflow_agent.knowledge import Extraction, FactKind, FlagKind, read_page

CORPUS = Path(__file__).parents[2] / "corpus" / "knowledge"
LABELS = sorted(CORPUS.glob("*.json"))
KINDS = [kind for kind in FactKind if kind not in {FactKind.DEPENDENCY, FactKind.VERSION}]
LEAST_F1 = 0.90


def labels(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data


@cache
def read(path: Path) -> Extraction:
    page = next(other for other in CORPUS.glob(f"{path.stem}.*") if other.suffix != ".json")
    return read_page(page.read_text(), labels(path)["address"])


def told(extraction: Extraction, kind: FactKind) -> set[str]:
    """Give the facts of a class as labels write them."""
    found = set()
    for fact in extraction.of(kind):
        default = fact.details.get("default")
        text = f"{fact.details['manager']} {fact.value}" if kind is FactKind.PACKAGE else fact.value
        if kind is FactKind.CONTENT:
            text = f"{'whole' if fact.details['extent'] == 'whole' else 'asked'} {fact.value}"
        found.add(f"{text}={default}" if kind is FactKind.SETTING and default else text.rstrip("/"))
    return found


def f1(paths: list[Path], kind: FactKind) -> float:
    right = wrong = missed = 0
    for path in paths:
        want = {text.rstrip("/") for text in labels(path)["facts"][kind.value]}
        got = told(read(path), kind)
        right, wrong, missed = right + len(want & got), wrong + len(got - want), missed + len(want - got)
    return 2 * right / (2 * right + wrong + missed)


def flagged(path: Path, kind: FlagKind) -> list[str]:
    return [flag.text for flag in read(path).flags if flag.kind is kind]


def test_the_corpus_is_large_enough() -> None:
    assert len(LABELS) >= 24
    assert sum(labels(path)["held_out"] for path in LABELS) >= 8


@pytest.mark.parametrize("kind", KINDS)
def test_facts_are_those_that_a_person_reads(kind: FactKind) -> None:
    assert f1(LABELS, kind) >= LEAST_F1


@pytest.mark.parametrize("kind", KINDS)
def test_facts_of_pages_kept_aside_are_those_that_a_person_reads(kind: FactKind) -> None:
    assert f1([path for path in LABELS if labels(path)["held_out"]], kind) >= LEAST_F1


@pytest.mark.parametrize("path", LABELS, ids=lambda path: path.stem)
def test_no_output_is_taken_for_a_command(path: Path) -> None:
    said = {command.text for command in read(path).commands}

    assert said.isdisjoint(labels(path)["outputs"])


@pytest.mark.parametrize("path", LABELS, ids=lambda path: path.stem)
def test_every_placeholder_is_flagged(path: Path) -> None:
    found = flagged(path, FlagKind.PLACEHOLDER)

    assert [want for want in labels(path)["placeholders"] if not any(want in text for text in found)] == []


@pytest.mark.parametrize("path", LABELS, ids=lambda path: path.stem)
def test_commands_that_do_not_return_are_flagged(path: Path) -> None:
    assert set(labels(path)["foreground"]) <= set(flagged(path, FlagKind.FOREGROUND))


@pytest.mark.parametrize("path", LABELS, ids=lambda path: path.stem)
def test_links_that_hold_the_command_are_flagged(path: Path) -> None:
    assert set(labels(path).get("links", [])) <= set(flagged(path, FlagKind.LINK))


@pytest.mark.parametrize("path", LABELS, ids=lambda path: path.stem)
def test_every_statement_says_where_it_is_from(path: Path) -> None:
    extraction = read(path)

    told_from = [fact.provenance for fact in extraction.facts]
    told_from += [command.provenance for command in extraction.commands]
    for where in (*told_from, *(flag.provenance for flag in extraction.flags)):
        assert where.address == extraction.address
        assert where.selector
        assert where.quote
        assert len(where.text_sha256) == 64
        assert 0 < where.confidence <= 1


def test_the_same_page_gives_the_same_facts() -> None:
    page = (CORPUS / "lumen.html").read_text()

    assert read_page(page, "https://a.example/").to_dict() == read_page(page, "https://a.example/").to_dict()
