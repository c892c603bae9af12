"""Workflows from files: Python, YAML or JSON. Loading a Python file runs it."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.authoring.builder import Workflow
from workflow_agent.authoring.flow_source import read_any
from workflow_agent.authoring.sdk.decorators import is_workflow
from workflow_agent.authoring.yaml_source import read_text
from workflow_agent.model.errors import NotFoundError, UsageError, ValidationError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["FILE_ENDINGS", "load_file", "load_module"]

#: Endings of files that hold workflows.
FILE_ENDINGS = (".py", ".yaml", ".yml", ".json")


def load_file(name: str, config: Any = None) -> Any:  # Any: what `compile_workflow` takes
    """Give the workflow of a file.

    Args:
        name: Path; of a Python file with several workflows ``FILE.py:NAME``.
        config: Given to the constructor of a workflow class; None for none.

    Raises:
        NotFoundError: there is no such file, or no such workflow in it.
        UsageError: the file has another ending, or several workflows and none is named.
        ValidationError: it is not valid, or raised while it was loaded.
    """
    text, _, wanted = name.rpartition(":") if ".py:" in name else (name, "", "")
    path = Path(text)
    if path.suffix not in FILE_ENDINGS:
        known = ", ".join(FILE_ENDINGS)
        raise UsageError(f"`{path.name[:80]}` is of no kind that holds workflows", hint=f"known endings are {known}")
    if not path.is_file():
        raise NotFoundError(f"there is no file `{path}`")
    if path.suffix != ".py":
        if config is not None:
            raise UsageError("only a workflow class takes a configuration", where=str(path))
        return read_any(read_text(path), source=str(path))
    return _made(_chosen(load_module(path), path, wanted), config, path)


def load_module(path: Path) -> ModuleType:
    """Import a Python file by its own name, as other files beside it would.

    Raises:
        ValidationError: it raised, or another module has its name.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # at the end: no file of theirs takes the place of a module of ours
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:  # border: people's code
        where = _line(error, path)
        cause = f"{type(error).__name__}: {error}"
        raise ValidationError(f"`{path.name}` cannot be loaded", where=where, cause=cause) from error
    if Path(str(module.__file__)).resolve() != path.resolve():
        raise ValidationError(
            f"another module is called `{path.stem}`",
            where=str(path),
            cause=f"it is {module.__file__}",
            hint="give the file another name",
        )
    return module


def _line(error: Exception, path: Path) -> str:
    """Say on which line of the file it went wrong."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _chosen(module: ModuleType, path: Path, wanted: str) -> Any:  # Any: a workflow
    found = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Workflow)
        or (is_workflow(value) and getattr(value, "__module__", module.__name__) == module.__name__)
    }
    if wanted:
        if wanted not in found:
            hint = did_you_mean(wanted, found)
            raise NotFoundError(f"there is no workflow `{wanted[:60]}` in {path.name}", where=str(path), hint=hint)
        return found[wanted]
    if not found:
        hint = "decorate a class or a function with `@workflow`"
        raise NotFoundError(f"there is no workflow in {path.name}", where=str(path), hint=hint)
    if len(found) > 1:
        names = ", ".join(f"`{path}:{name}`" for name in found)
        raise UsageError(f"{path.name} has {len(found)} workflows", where=str(path), hint=f"name one: {names}")
    return next(iter(found.values()))


def _made(target: Any, config: Any, path: Path) -> Any:  # Any: a workflow
    if config is None:
        return target
    if not isinstance(target, type):
        raise UsageError("only a workflow class takes a configuration", where=str(path))
    try:
        made: Any = target
        return made(config)
    except Exception as error:  # border: people's code
        cause = f"{type(error).__name__}: {error}"
        message = f"`{target.__qualname__}` refuses the configuration"
        raise ValidationError(message, where=str(path), cause=cause) from error
