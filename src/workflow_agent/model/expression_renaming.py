"""Other names for what expressions read, in their text: what a copy of a step needs to read its own copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model._expression_syntax import tokens_of
from workflow_agent.model.expression import expression_spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.model._expression_syntax import Token

__all__ = ["rename_in", "rename_in_expression"]


def rename_in(value: Any, names: Mapping[tuple[str, str], str]) -> Any:  # Any: JSON in, JSON out
    """Give the same JSON value whose ``${{ }}`` read other names.

    Args:
        value: A JSON value.
        names: Root and name to the new name: ``{("steps", "lookup"): "first_lookup"}``.

    Raises:
        ExpressionError: an expression is not of the grammar.
    """
    if isinstance(value, str):
        return _renamed_text(value, names)
    if isinstance(value, list | tuple):
        return [rename_in(item, names) for item in value]
    if isinstance(value, dict):
        return {key: rename_in(item, names) for key, item in value.items()}
    return value


def rename_in_expression(text: str, names: Mapping[tuple[str, str], str]) -> str:
    """Give the same expression, without its ``${{ }}``, that reads other names; raises ExpressionError."""
    result, position = "", 0
    for token, new in _renamings(tokens_of(text), names):
        start = token.column - 1
        result += text[position:start] + new
        position = start + len(token.text)
    return result + text[position:]


def _renamed_text(text: str, names: Mapping[tuple[str, str], str]) -> str:
    result, position = "", 0
    for start, end in expression_spans(text):
        result += text[position:start] + rename_in_expression(text[start:end], names)
        position = end
    return result + text[position:]


def _renamings(tokens: list[Token], names: Mapping[tuple[str, str], str]) -> Iterator[tuple[Token, str]]:
    """Find ``root.name`` and ``root["name"]``; a root that follows a dot is a key of something else."""
    for index, token in enumerate(tokens[:-2]):
        mark, part = tokens[index + 1], tokens[index + 2]
        if token.kind != "name" or (index and tokens[index - 1].text == "."):
            continue
        quoted = mark.text == "[" and part.kind == "text"
        if quoted or mark.text == ".":
            new = names.get((token.text, part.text[1:-1] if quoted else part.text))
            if new is not None:
                yield part, f'"{new}"' if quoted else new
