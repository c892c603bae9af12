"""Subjects and patterns: which message is for whom. Pure; no I/O.

Rules are those of NATS (source: docs.nats.io, "Subject-Based Messaging"): tokens split by dots; in a
pattern ``*`` stands for exactly one token and a last ``>`` for one or more. Stricter than NATS in one point: a
wildcard character inside a longer token (``a*``) is refused instead of taken literally; it is always a mistake.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from workflow_agent.model.errors import UsageError

__all__ = ["SubjectTrie", "pattern_tokens", "subject_tokens"]

ONE = "*"
REST = ">"

T = TypeVar("T")


def subject_tokens(subject: str) -> tuple[str, ...]:
    """Split the subject of a message.

    Raises:
        UsageError: an empty token, white space, a control character, or a wildcard.
    """
    return _tokens(subject, "subject", wildcards=False)


def pattern_tokens(pattern: str) -> tuple[str, ...]:
    """Split the pattern of a subscription.

    Raises:
        UsageError: as for a subject; a wildcard inside a token; ``>`` before the last token.
    """
    tokens = _tokens(pattern, "pattern", wildcards=True)
    if REST in tokens[:-1]:
        raise _refusal("pattern", pattern, "`>` stands for the rest, so it must be the last token")
    return tokens


def _tokens(text: str, what: str, *, wildcards: bool) -> tuple[str, ...]:
    # isprintable refuses control characters and every Unicode white space except the plain space
    if " " in text or not text.isprintable():
        raise _refusal(what, text, "white space and control characters are not allowed")
    tokens = tuple(text.split("."))
    for token in tokens:
        if not token:
            raise _refusal(what, text, "a token is empty")
        if (ONE in token or REST in token) and not (wildcards and len(token) == 1):
            rule = "a wildcard must be a whole token" if wildcards else "a message cannot go to a wildcard"
            raise _refusal(what, text, rule)
    return tokens


def _refusal(what: str, text: str, rule: str) -> UsageError:
    return UsageError(
        f"The {what} {text!r} is not valid",
        cause=rule,
        hint="write tokens separated by dots, for example `agent.executor.commit`",
    )


class _Node(Generic[T]):
    """One token of the trie: the values of patterns that end here, and the tokens that may follow."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.values: list[T] = []


class SubjectTrie(Generic[T]):
    """Values under patterns; finding those of a subject costs its tokens, not the number of patterns."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: str, value: T) -> None:
        """Put a value under a pattern; raises UsageError."""
        node = self._root
        for token in pattern_tokens(pattern):
            node = node.children.setdefault(token, _Node())
        node.values.append(value)

    def remove(self, pattern: str, value: T) -> None:
        """Take a value away, with the branches that are empty then; one that is not there is no error."""
        node = self._root
        path: list[tuple[_Node[T], str]] = []
        for token in pattern_tokens(pattern):
            child = node.children.get(token)
            if child is None:
                return
            path.append((node, token))
            node = child
        if value in node.values:
            node.values.remove(value)
        for parent, token in reversed(path):
            child = parent.children[token]
            if child.values or child.children:
                return
            del parent.children[token]

    def match(self, subject: str) -> list[T]:
        """List the values of every pattern that matches, in no particular order; raises UsageError."""
        level = [self._root]
        found: list[T] = []
        for token in subject_tokens(subject):
            # `>` needs at least one token, which is the one at hand
            found += [value for node in level if (rest := node.children.get(REST)) for value in rest.values]
            level = [child for node in level for key in (token, ONE) if (child := node.children.get(key)) is not None]
        return found + [value for node in level for value in node.values]

    def __len__(self) -> int:
        """Count the nodes below the root: nothing may be left behind after all values are gone."""
        count, stack = 0, [self._root]
        while stack:
            children = stack.pop().children
            count += len(children)
            stack.extend(children.values())
        return count
