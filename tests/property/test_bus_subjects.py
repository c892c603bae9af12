"""The trie finds what a naive matcher finds, whatever was added and taken away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.bus.subjects import SubjectTrie

TOKENS = st.sampled_from(["a", "b", "c", "Ü-1"])
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.builds(
    lambda tokens, rest: ".".join([*tokens, *rest]),
    st.lists(TOKENS | st.just("*"), min_size=1, max_size=4),
    st.sampled_from([[], [">"]]),
) | st.just(">")


def naive(pattern: str, subject: str) -> bool:
    """Compare token by token, straight from the rules."""
    wanted, given_ = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(given_) < len(wanted):
            return False
        wanted, given_ = wanted[:-1], given_[: len(wanted) - 1]
    return len(wanted) == len(given_) and all(w in {"*", g} for w, g in zip(wanted, given_, strict=True))


@given(patterns=st.lists(PATTERNS, max_size=12), subject=SUBJECTS)
def test_the_trie_agrees_with_a_naive_matcher(patterns: list[str], subject: str) -> None:
    trie: SubjectTrie[int] = SubjectTrie()
    for number, pattern in enumerate(patterns):
        trie.add(pattern, number)
    expected = [number for number, pattern in enumerate(patterns) if naive(pattern, subject)]
    assert sorted(trie.match(subject)) == expected


@given(data=st.data(), patterns=st.lists(PATTERNS, min_size=1, max_size=12), subject=SUBJECTS)
def test_what_is_taken_away_is_as_if_it_had_never_been(data: st.DataObject, patterns: list[str], subject: str) -> None:
    gone = data.draw(st.sets(st.sampled_from(range(len(patterns)))))
    trie: SubjectTrie[int] = SubjectTrie()
    fresh: SubjectTrie[int] = SubjectTrie()
    for number, pattern in enumerate(patterns):
        trie.add(pattern, number)
        if number not in gone:
            fresh.add(pattern, number)
    for number in gone:
        trie.remove(patterns[number], number)
    assert sorted(trie.match(subject)) == sorted(fresh.match(subject))
    assert len(trie) == len(fresh)
