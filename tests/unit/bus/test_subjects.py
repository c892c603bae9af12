"""Subject rules and the trie; that the trie agrees with a naive matcher is in tests/property."""

from __future__ import annotations

import pytest

from workflow_agent.bus.subjects import SubjectTrie, pattern_tokens, subject_tokens
from workflow_agent.model.errors import UsageError


def test_subjects_are_split_at_dots() -> None:
    assert subject_tokens("agent.script-builder.build") == ("agent", "script-builder", "build")
    assert subject_tokens("Ü") == ("Ü",)


def test_patterns_may_hold_whole_token_wildcards() -> None:
    assert pattern_tokens("run.*.>") == ("run", "*", ">")


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("a..b", "a token is empty"),
        ("a b", "white space"),
        ("a\x1b", "control characters"),
        ("a.b*", "whole token"),
        ("a.>.b", "last token"),
    ],
)
def test_a_refusal_names_the_text_and_the_rule(pattern: str, rule: str) -> None:
    with pytest.raises(UsageError) as caught:
        pattern_tokens(pattern)
    assert repr(pattern) in caught.value.message
    assert rule in str(caught.value.cause)
    assert caught.value.hint


def test_a_message_cannot_go_to_a_wildcard() -> None:
    with pytest.raises(UsageError) as caught:
        subject_tokens("run.*")
    assert caught.value.cause == "a message cannot go to a wildcard"


def test_a_refused_pattern_leaves_the_trie_as_it_was() -> None:
    trie: SubjectTrie[str] = SubjectTrie()
    with pytest.raises(UsageError):
        trie.add("a.b.>.c", "x")
    assert len(trie) == 0


def test_removing_prunes_only_what_is_empty() -> None:
    trie: SubjectTrie[str] = SubjectTrie()
    for pattern, value in [("a.b", "1"), ("a.b", "2"), ("a.b.c", "3"), ("a.>", "4")]:
        trie.add(pattern, value)
    trie.remove("a.b", "1")
    assert sorted(trie.match("a.b")) == ["2", "4"]
    trie.remove("a.b", "2")
    assert sorted(trie.match("a.b.c")) == ["3", "4"]
    trie.remove("a.b.c", "3")
    assert len(trie) == 2
    trie.remove("a.>", "4")
    assert len(trie) == 0


def test_removing_what_is_not_there_changes_nothing() -> None:
    trie: SubjectTrie[str] = SubjectTrie()
    trie.add("a.b", "1")
    for pattern, value in [("a.b", "other"), ("a.c", "1"), ("a.b.c", "1"), ("a", "1")]:
        trie.remove(pattern, value)
    assert trie.match("a.b") == ["1"]
