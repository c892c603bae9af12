# ruff: noqa: INP001  # a program, not a package
"""The main job, shown: plan, install, verify and roll back an integration on a throw-away Debian host.

Run it with ``make demo`` (root, Debian). The host has a disk and namespaces of its own: the reader's machine is not
touched. Every line after a ``$`` is run exactly as shown; at the end each file of the host is compared with before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.testing.lab import LabHost, LabKind, base_image, diff, grown_logs
from workflow_agent.testing.lab.setup import install_programs, obstacle

__all__ = ["main"]

INTEGRATION = "prometheus-node-exporter"
SHOWN_METRICS = ("node_uname_info{", "node_load1 ", "node_memory_MemAvailable_bytes ", "node_exporter_build_info{")
READ_METRICS = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=10).read().decode())"
NOT_ROOT = """\
The demo needs root: it makes a disk, mounts it and starts a Debian host in namespaces of its own. It does not touch
this machine. As root: make demo

Without root these work:
  .venv/bin/workflow-agent integrations list
  .venv/bin/workflow-agent integrations info prometheus-node-exporter
  .venv/bin/workflow-agent workflows show install
  make test        (tests on real hosts are skipped)
"""


class DemoFailedError(Exception):
    """Something did not go as the demo promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the demo plays: the host, and the environment in which commands mean that host."""

    host: LabHost
    environment: dict[str, str]

    def run(self, *arguments: str) -> None:
        """Show a command as one types it, then run it."""
        say(f"\n$ workflow-agent {' '.join(arguments)}", bold=True)
        done = subprocess.run([program(), *arguments], check=False, env=self.environment, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            message = f"`workflow-agent {' '.join(arguments)}` ended with status {done.returncode}"
            raise DemoFailedError(message)

    def newest_run(self, action: str) -> str:
        """Ask the history for the id of the newest run of an action."""
        done = subprocess.run(
            [program(), "history", "--json"], check=True, capture_output=True, text=True, env=self.environment
        )
        items = json.loads(done.stdout)["data"]["items"]
        return str(next(item["run_id"] for item in items if item["action"] == action))

    def show_metrics(self) -> None:
        """Fetch the metrics page as Prometheus would, through the host's own network, and print some lines of it."""
        url = "http://127.0.0.1:9100/metrics"
        say(f"\n# what Prometheus would read at {url} on the host", bold=True)
        enter = ["nsenter", f"--target={self.host.pid}", "--net", "--", sys.executable, "-I", "-c", READ_METRICS, url]
        page = subprocess.run(enter, check=True, capture_output=True, text=True).stdout.splitlines()
        for name in SHOWN_METRICS:
            found = next((line for line in page if line.startswith(name)), None)
            if found is None:
                message = f"the metrics page has no {name.strip()}"
                raise DemoFailedError(message)
            say(f"  {found}")
        say(f"  ... {sum(not line.startswith('#') for line in page)} samples in all")


def say(text: str, *, bold: bool = False) -> None:
    """Print at once, so that our lines and those of the commands stay in order."""
    if bold and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        text = f"\033[1m{text}\033[0m"
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def program() -> str:
    """Give the installed command of this environment."""
    return str(Path(sys.executable).with_name("workflow-agent"))


def play(stage: Stage) -> None:
    """Run the whole story, then prove that nothing of it is left."""
    host = stage.host
    say(f"A fresh Debian host: process {host.pid}, root {host.root}, no network. Reading all of its files ...")
    before, processes, units = host.digest(), _programs(host), host.units()

    stage.run("plan", INTEGRATION)
    stage.run("install", INTEGRATION, "--yes")
    stage.run("verify", INTEGRATION)
    stage.show_metrics()
    stage.run("history")
    run_id = stage.newest_run("install")
    stage.run("show", run_id)
    stage.run("rollback", run_id, "--yes")

    say("\n# what is left", bold=True)
    after = host.digest()
    logs = grown_logs(host.root, before, after)
    left = [line for line in diff(before, after) if line.split(": ")[1] not in logs]
    left += [f"process: {name}" for name in _programs(host) if name not in processes]
    left += [
        f"unit: {name}: {units.get(name)} -> {state}"
        for name, state in host.units().items()
        if units.get(name) != state
    ]
    for name in logs:
        say(f"  appended, as logs are: {name}")
    if left:
        message = f"{len(left)} differences are left:\n  " + "\n  ".join(left)
        raise DemoFailedError(message)
    besides = f" besides {len(logs)} logs that kept all they had" if logs else ""
    say(f"nothing is left: {len(after)} files compared, 0 differences{besides}", bold=True)
    say(f"processes and units are as before: {len(processes)}, {len(units)}")


def _programs(host: LabHost) -> list[str]:
    return [process.program for process in host.processes()]


def main(arguments: list[str]) -> int:
    """Prepare the machine, start the host, play; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=list(LabKind), default=LabKind.SYSTEMD, type=LabKind, help="init of the host")
    kind = parser.parse_args(arguments).kind
    if os.geteuid() != 0:
        say(NOT_ROOT)
        return 4
    try:
        install_programs()
        if reason := obstacle():
            say(f"The demo cannot run on this machine: {reason}")
            return 1
        say("Preparing the disk image of a Debian host (the first time: downloads, about two minutes) ...")
        base_image(kind)
        started = time.monotonic()
        _on_a_host(kind)
    except (DemoFailedError, WorkflowAgentError) as error:
        say(f"\nthe demo failed: {error}\n{getattr(error, 'cause', None) or ''}")
        return 1
    say(f"The whole demo took {time.monotonic() - started:.1f} s.")
    return 0


def _on_a_host(kind: LabKind) -> None:
    with tempfile.TemporaryDirectory(prefix="workflow-agent-demo-") as folder, LabHost(kind) as host:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKFLOW_AGENT_")}
        environment |= {
            "WORKFLOW_AGENT_TARGETS__HOST_PID": str(host.pid),
            "WORKFLOW_AGENT_PATHS__STATE": f"{folder}/state",
            "WORKFLOW_AGENT_PATHS__CONFIG": f"{folder}/config",
            "WORKFLOW_AGENT_PATHS__RUNTIME": f"{folder}/run",
        }
        play(Stage(host=host, environment=environment))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
