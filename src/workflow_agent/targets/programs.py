"""How programs that enter namespaces are started: a bare interpreter, the standard library, our package.

Such a program runs as its own process because Python's threads cannot follow `setns`, and it must need
nothing of the target: no interpreter, no library, no tool.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["program_argv"]


def program_argv(module: str, *arguments: str) -> list[str]:
    """Give the command that runs `main()` of a module of this package.

    Isolated (`-I`: no environment variables, no current folder) and without site-packages (`-S`), so that the
    program sees only the standard library and the folder that holds `workflow_agent`.

    Args:
        module: Dotted name, for example ``workflow_agent.targets.probe_program``.
        arguments: Found in ``sys.argv[1:]`` by the program. Never a secret: others can read them.
    """
    root = str(Path(__file__).resolve().parents[2])
    # The end of an interpreter takes 5 ms, for which somebody waits: nothing of it is needed.
    end = "sys.stdout.flush(); os._exit(0)"
    code = f"import os, sys; sys.path.insert(0, {root!r}); from {module} import main; main(); {end}"
    return [sys.executable, "-I", "-S", "-c", code, *arguments]
