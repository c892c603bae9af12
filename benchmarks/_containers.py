"""Finding that nothing has to be done, on one and on five containers: ours beside Ansible and pyinfra.

The peers are programs of an environment of their own (``pip install ansible docker pyinfra``), whose ``bin`` folder is
given with ``--peers``. All look at the same containers, in which the package is installed and runs; Python is there as
well, because Ansible needs it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._report import Figure, remark
from workflow_agent.testing.lab.container import LabContainer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["measure"]

_COUNTS = (1, 5)
_PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.apt: {{name: {package}, state: present}}
    - ansible.builtin.service: {{name: {package}, state: started}}
    - ansible.builtin.wait_for: {{port: 9100, timeout: 5}}
"""
_DEPLOY = """
from pyinfra.operations import apt, server
apt.packages(packages=["{package}"])
server.service(service="{package}", running=True)
server.shell(commands=["exec 3<>/dev/tcp/127.0.0.1/9100"], _shell_executable="bash")
"""


def measure(program: str, package: str, peers: Path | None, rounds: int) -> list[Figure]:
    """Time looking again at what is installed.

    Args:
        program: Path of ``workflow-agent``.
        package: What is installed: an integration of ours and a Debian package have this name.
        peers: Folder with ``ansible-playbook`` and ``pyinfra``; None measures ours alone.
        rounds: How often each is timed.
    """
    figures: list[Figure] = []
    packages = (package, "python3", "python3-apt")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = [stack.enter_context(LabContainer("plain", packages=packages)) for _ in range(max(_COUNTS))]
        ours = os.environ | {"WORKFLOW_AGENT_PATHS__STATE": str(folder / "state")}
        for host in hosts:
            host.run(
                ["sh", "-c", "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-apt >/dev/null"]
            )
        _run([program, "install", package, "--yes", "-q", *_targets(hosts)], ours)
        for count in _COUNTS:
            some = hosts[:count]
            commands = {"workflow-agent": ([program, "install", package, "--yes", "-q", *_targets(some)], ours)}
            if peers is not None:
                commands |= _peers(peers, folder, package, some)
            # in turn, so that a machine that grows slower does so for all
            times: dict[str, list[float]] = {subject: [] for subject in commands}
            for _ in range(rounds + 1):
                for subject, (command, environment) in commands.items():
                    times[subject].append(_run(command, environment))
            figures += [
                Figure(
                    name=f"unchanged, {count} container{'s' if count > 1 else ''}",
                    subject=subject,
                    value=statistics.median(taken[1:]),  # the first one warms up
                    unit="s",
                    n=rounds,
                )
                for subject, taken in times.items()
            ]
    if peers is None:
        remark("no peers: give the folder of ansible-playbook and pyinfra with --peers")
    return figures


def _targets(hosts: Sequence[LabContainer]) -> list[str]:
    return [word for host in hosts for word in ("--target", host.target)]


def _peers(
    peers: Path, folder: Path, package: str, hosts: Sequence[LabContainer]
) -> dict[str, tuple[list[str], dict[str, str]]]:
    names = [host.target.removeprefix("docker:") for host in hosts]
    playbook, deploy = folder / "playbook.yaml", folder / "deploy.py"
    playbook.write_text(_PLAYBOOK.format(package=package), encoding="utf-8")
    deploy.write_text(_DEPLOY.format(package=package), encoding="utf-8")
    inventory = folder / "inventory"
    inventory.write_text(
        "".join(f"{name} ansible_connection=community.docker.docker_api\n" for name in names), encoding="utf-8"
    )
    environment = os.environ | {
        "PATH": f"{peers}:{os.environ['PATH']}",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }
    containers = ",".join(f"@docker/{name}" for name in names)
    return {
        "ansible": ([str(peers / "ansible-playbook"), "-i", str(inventory), str(playbook)], environment),
        "pyinfra": ([str(peers / "pyinfra"), "-y", containers, str(deploy)], environment),
    }


def _run(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    elapsed = time.perf_counter() - started
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace")[-3000:]
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}\n{output}")
    return elapsed
