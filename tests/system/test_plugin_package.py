"""A package of somebody else: built, installed with pip, found, installed onto a real host, verified, taken back."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import workflow_agent

if TYPE_CHECKING:
    from tests.system.machine import Machine, World

pytestmark = [pytest.mark.root, pytest.mark.slow]

_FILES = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "acme-integrations"
version = "2.1"

[project.entry-points."workflow_agent.integrations"]
acme-motd = "acme.motd"
acme-greeting = "acme.greeting:Greeting"
acme-broken = "acme.nowhere:Nothing"

[tool.setuptools.packages.find]
where = ["src"]

[tool.setuptools.package-data]
"*" = ["*.yaml", "*.j2", "*.md"]
""",
    "src/acme/__init__.py": "",
    "src/acme/motd/__init__.py": "raise RuntimeError('nothing of a folder is executed')\n",
    "src/acme/motd/templates/write.sh.j2": """#!/bin/bash
set -euo pipefail
printf '%s\\n' {{ parameters.text }} > /etc/acme-motd
""",
    "src/acme/motd/integration.yaml": """
schema: workflow-agent/integration/1
name: acme-motd
version: 2.1.0
description: Writes a message.
category: test
platforms: [{family: debian, os: [debian]}]
parameters:
  text: {type: string, default: hello, description: What it says.}
actions: {install: {template: write}}
checks:
  - {id: there, kind: file, path: /etc/acme-motd, contains: "${{ parameters.text }}"}
negative_checks:
  - {id: gone, kind: file, path: /etc/acme-motd, exists: false}
""",
    "src/acme/greeting.py": '''
from workflow_agent.integrations import Installation, IntegrationBase, Removal

PATHS = [f"/etc/acme/greeting-{number}" for number in range(3)]


class Greeting(IntegrationBase):
    """Computes what it says: one line for each path."""

    def metadata(self):
        return {
            "name": "acme-greeting", "version": "2.1.0", "description": "Says hello thrice.", "category": "test",
            "platforms": [{"family": "debian", "os": ["debian"]}],
            "parameters": {"text": {"type": "string", "default": "hello", "description": "What it says."}},
        }

    def install(self, context):
        lines = [f"printf '%s\\\\n' {context.in_script('text')} > {path}" for path in PATHS]
        return Installation(
            script="\\n".join(["#!/bin/bash", "set -euo pipefail", "mkdir -p /etc/acme", *lines, ""]),
            files=[
                {"path": "/etc/acme/greeting.json", "format": "json", "values": {"text": context.parameter("text")}},
            ],
        )

    def verify(self, context):
        text = context.parameter("text")
        return [
            {"id": f"there-{number}", "kind": "file", "path": path, "contains": text}
            for number, path in enumerate(PATHS)
        ]

    def uninstall(self, context):
        checks = [{"id": "gone", "kind": "file", "path": "/etc/acme/greeting.json", "exists": False}]
        lines = [f"rm -f {path}" for path in [*PATHS, "/etc/acme/greeting.json"]]
        script = "\\n".join(["#!/bin/bash", "set -euo pipefail", *lines, "rmdir /etc/acme", ""])
        return Removal(script=script, checks=checks)
''',
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with this product and, by pip from a source distribution, the package."""
    source = tmp_path_factory.mktemp("acme")
    for name, text in _FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text.lstrip("\n"), encoding="utf-8")
    environment = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    ours = [sysconfig.get_path("purelib"), str(Path(workflow_agent.__file__).parents[1])]
    (environment / "lib" / version / "site-packages/ours.pth").write_text("\n".join(ours), encoding="utf-8")
    program = environment / "bin/python"
    build = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", str(source / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (archive,) = (source / "dist").glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--python", str(program), "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, *options, str(archive)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return program


def run(python: Path, machine: Machine, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), "-m", "workflow_agent", *arguments, "--json"],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=machine.environment(),
        cwd=machine.folder,
        timeout=120,
    )
    envelope: dict[str, Any] = json.loads(done.stdout)
    assert envelope["ok"], f"{arguments} -> {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return envelope


def test_what_a_package_offers_is_listed_with_its_origin_and_a_broken_part_is_told(
    python: Path, machine: Machine
) -> None:
    listed = run(python, machine, "integrations", "list")
    items = {item["name"]: item for item in listed["data"]["items"]}
    doctor = run(python, machine, "doctor")["data"]["items"]

    assert items["acme-motd"]["origin"] == "acme-integrations 2.1 (entry point acme.motd)"
    assert items["acme-greeting"]["description"] == "Says hello thrice."
    assert items["nginx"]["error"] is None
    (warning,) = listed["warnings"]
    assert "acme-broken cannot be used" in warning
    assert "acme-integrations 2.1" in warning
    (look,) = [check for check in doctor if check["check"] == "integrations"]
    assert (look["status"], "acme-broken" in look["observed"]) == ("warn", True)
    info = run(python, machine, "integrations", "info", "acme-greeting")["data"]
    assert info["origin"] == "acme-integrations 2.1 (entry point acme.greeting:Greeting)"


@pytest.mark.parametrize(
    ("integration", "paths"),
    [
        ("acme-motd", ["/etc/acme-motd"]),
        ("acme-greeting", ["/etc/acme", *[f"/etc/acme/greeting{end}" for end in ("-0", "-1", "-2", ".json")]]),
    ],
)
def test_it_is_installed_verified_left_unchanged_and_taken_back(
    python: Path, machine: Machine, integration: str, paths: list[str]
) -> None:
    before: World = machine.world()
    hostile = "it's $(touch /marker)"

    report = run(python, machine, "install", integration, "--param", f"text={hostile}", "--yes")["data"]
    assert [change["path"] for change in report["changes"]["items"] if change["action"] == "created"] == paths
    assert hostile in (machine.host.root / paths[1 if len(paths) > 1 else 0][1:]).read_text(encoding="utf-8")
    verified = run(python, machine, "verify", integration)["data"]
    assert {check["status"] for check in verified["checks"]} - {"not-applicable"} == {"passed"}
    again = run(python, machine, "install", integration, "--param", f"text={hostile}", "--yes")["data"]
    assert again["changed"] is False, "the same description is the same integration"

    assert run(python, machine, "rollback", "--yes")["data"]["undoes"] == report["run_id"]
    machine.assert_as(before)


def test_a_class_that_says_how_can_be_uninstalled(python: Path, machine: Machine) -> None:
    before: World = machine.world()
    run(python, machine, "install", "acme-greeting", "--yes")

    report = run(python, machine, "uninstall", "acme-greeting", "--yes")["data"]

    assert report["status"] == "succeeded"
    assert not (machine.host.root / "etc/acme").exists()
    for _ in range(2):
        run(python, machine, "rollback", "--yes")
    machine.assert_as(before)
