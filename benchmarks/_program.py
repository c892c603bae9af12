"""The command that is measured, as people have it: its modules are compiled, as `pip install` leaves them."""

from __future__ import annotations

import compileall
import functools
import sys
from pathlib import Path

import workflow_agent

__all__ = ["installed_program"]


@functools.cache
def installed_program() -> str:
    """Give the path of `workflow-agent`; in an editable installation its modules are compiled first.

    Where `PYTHONDONTWRITEBYTECODE` is set they would be compiled in each process that is measured, 0.1 to 0.2 s.
    """
    compileall.compile_dir(Path(workflow_agent.__file__).parent, quiet=2)
    return str(Path(sys.executable).with_name("workflow-agent"))
