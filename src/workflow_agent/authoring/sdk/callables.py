"""Python callables by name, ``module:qualname``, and what they want as arguments.

A name must mean the same in the process that resumes a run. ``__main__`` does not: a script's functions are named after
its file, as an import of that file would name them. What is defined inside a function is found again in this process
only.
"""

from __future__ import annotations

import inspect
import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import NotFoundError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["find", "place_of", "reference", "register", "takes_context", "wanted"]

#: What was decorated in this process; a later definition of the same name takes the place of an earlier one.
_KNOWN: dict[str, Any] = {}
_CONTEXT_NAMES = ("ctx", "context")
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def reference(target: Any) -> str:  # Any: a function or a class
    """Name a callable as ``module:qualname``."""
    return f"{_module_name(target.__module__)}:{target.__qualname__}"


def _module_name(name: str) -> str:
    if name != "__main__":
        return name
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m
        return str(spec.name).removesuffix(".__main__")
    path = getattr(main, "__file__", None)
    return Path(path).stem if path else name


def register(target: Any) -> str:  # Any: a function or a class
    """Make a callable known by its reference, which is given back."""
    name = reference(target)
    _KNOWN[name] = target
    return name


def find(name: str) -> Any:  # Any: whatever bears the name
    """Give what ``module:qualname`` names: something registered here, or else from the module, which is imported.

    Raises:
        NotFoundError: there is no such module or name in it; the module's own error is the cause.
    """
    module, _, path = name.partition(":")
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        known = _KNOWN.get(f"{module}:{'.'.join(parts[:length])}")
        if known is not None:
            return _below(known, parts[length:], name)
    return _below(_module(module, name), parts, name)


def _module(module: str, name: str) -> Any:  # Any: a module
    if module == _module_name("__main__"):
        return sys.modules["__main__"]
    try:
        return import_module(module)
    except Exception as error:  # border: the module's own code runs
        raise NotFoundError(
            f"the Python module `{module[:80]}` cannot be imported",
            where=name[:200],
            cause=f"{type(error).__name__}: {error}",
            hint="run it where the module can be imported, for example with PYTHONPATH",
        ) from error


def _below(found: Any, parts: list[str], name: str) -> Any:  # Any: whatever bears the name
    for part in parts:
        known = vars(found) if hasattr(found, "__dict__") else {}
        try:
            found = getattr(found, part)
        except AttributeError:
            hint = did_you_mean(part, [each for each in known if not each.startswith("_")])
            raise NotFoundError(f"there is no `{part[:60]}` in `{name[:120]}`", where=name[:200], hint=hint) from None
    return found


def place_of(target: Any) -> str:  # Any: a function or a class
    """Say where something is defined: ``file:line``; its reference where no file is known."""
    try:
        code = inspect.unwrap(target).__code__
    except AttributeError:
        return reference(target) if hasattr(target, "__qualname__") else repr(target)[:80]
    return f"{code.co_filename}:{code.co_firstlineno}"


def wanted(function: Callable[..., Any], *, is_method: bool) -> dict[str, inspect.Parameter]:
    """List the parameters that can be given by name, `self` and the context left out."""
    parameters = _parameters(function)[1 if is_method else 0 :]
    return {item.name: item for item in parameters if item.kind in _BY_NAME and not _is_context(item)}


def takes_context(function: Callable[..., Any], *, is_method: bool) -> str | None:
    """Give the name of the parameter that takes the context; None when there is none."""
    parameters = _parameters(function)[1 if is_method else 0 :]
    return next((item.name for item in parameters if _is_context(item)), None)


@lru_cache(maxsize=512)
def _parameters(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    """Read a signature once: it takes as long as all else that a call of a small step takes."""
    return tuple(inspect.signature(function).parameters.values())


def _is_context(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return parameter.name in _CONTEXT_NAMES or name.rpartition(".")[2] == "Context"
