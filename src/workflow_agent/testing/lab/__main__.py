"""Prepare this machine for lab hosts, or say why not: ``python -m workflow_agent.testing.lab setup``."""

from __future__ import annotations

import os
import sys
import time

from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.testing.lab.engine import container_image, engine_obstacle, install_engine
from workflow_agent.testing.lab.image import LabKind, base_image
from workflow_agent.testing.lab.setup import install_looking_programs, install_programs, obstacle

__all__ = ["main"]

_USAGE = """usage: python -m workflow_agent.testing.lab setup [plain|systemd]...

Install the programs and the Docker engine that lab hosts need, start the engine where none runs, and build
their images (all kinds unless named); needs root.
Without root it says what will be skipped and ends with 0.
"""


def main(arguments: list[str]) -> int:
    """Carry out the command line; gives the exit code."""
    kinds = [kind.value for kind in LabKind]
    if not arguments or arguments[0] != "setup" or any(kind not in kinds for kind in arguments[1:]):
        sys.stderr.write(_USAGE)
        return 2
    if os.geteuid() != 0:
        sys.stderr.write("lab: not root, so tests and demonstrations on a real host are skipped; the others run\n")
        return 0
    try:
        _prepare(arguments[1:] or kinds)
    except WorkflowAgentError as error:
        sys.stderr.write(f"lab: error[{error.code}]: {error.message}\n{error.cause or ''}\n")
        return error.exit_code
    return 0


def _prepare(kinds: list[str]) -> None:
    if installed := [*install_programs(), *install_looking_programs()]:
        sys.stderr.write(f"lab: installed {', '.join(installed)}\n")
    if reason := obstacle():
        sys.stderr.write(f"lab: {reason}: tests on a real host are skipped\n")
        return
    for kind in kinds:
        started = time.monotonic()
        sys.stderr.write(f"lab: image for a {kind} host ...\n")
        image = base_image(kind)
        sys.stderr.write(f"lab: {image} ({time.monotonic() - started:.1f} s)\n")
    _prepare_containers(kinds)


def _prepare_containers(kinds: list[str]) -> None:
    if installed := install_engine():
        sys.stderr.write(f"lab: installed {', '.join(installed)}\n")
    if reason := engine_obstacle():
        sys.stderr.write(f"lab: {reason}: tests on a container are skipped\n")
        return
    for kind in kinds:
        sys.stderr.write(f"lab: container image {container_image(kind)}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
