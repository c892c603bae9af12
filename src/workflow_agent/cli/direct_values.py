"""Values of a command line that are what they should be already: texts, lists of texts, numbers from defaults.

Typer converts every value through a pydantic adapter that it builds for the option, also a text to a text. That loads
pydantic and builds fifteen adapters for one ``install`` (30 ms). What needs a conversion goes to Typer's own.
"""

from __future__ import annotations

from typing import Any

__all__ = ["pass_directly"]


class _Direct:
    """Stands in for Typer's conversion of one option."""

    def __init__(self, param: Any) -> None:
        self._descriptor = param.type_descriptor

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Give the value as the command gets it; raises Typer's BadParameter."""
        several = param.multiple if hasattr(param, "multiple") else False
        if value is None:
            return () if several or param.nargs == -1 else None
        wanted = self._descriptor.annotation
        if wanted in {str, int, bool} and type(value) is wanted:
            return value
        if wanted == list[str] and type(value) in {tuple, list} and all(type(item) is str for item in value):
            return list(value)
        from typer._coercion import build_runtime_param  # noqa: PLC0415  # late: pydantic, 100 ms

        return build_runtime_param(self._descriptor).coerce(value, param, ctx)


def pass_directly(params: list[Any]) -> None:
    """Let Typer's options take values that need no conversion as they are.

    The attribute is Typer's own and private: a version without it converts as it always did, only slower (a test
    says so).
    """
    for param in params:
        if getattr(param, "_runtime_param", ...) is None and param.type_descriptor.parameter_info.parser is None:
            param._runtime_param = _Direct(param)  # noqa: SLF001
