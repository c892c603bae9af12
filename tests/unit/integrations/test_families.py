"""Packages by family, what goes around a script, and hooks: pure, and read only."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.integrations import load_folder, resolve
from workflow_agent.integrations.hooks import hook_problem, read_hook
from workflow_agent.model.errors import ManifestError, UnsupportedPlatformError
from workflow_agent.model.system import InitKind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.integrations.target_facts import DEBIAN

    from workflow_agent.integrations import ResolvedAction
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from target_facts import DEBIAN

FACTS = DEBIAN
UBUNTU = {"os_id": "ubuntu", "os_like": ("debian",), "os_version": "24.04"}
MANIFEST = """
schema: workflow-agent/integration/1
name: example
version: 1.0.0
description: An example.
category: test
platforms: [{family: debian, os: [debian, ubuntu, mint]}]
packages: {debian: [exampled, example-tools], ubuntu: [example]}
users: [{name: example}]
directories: [{path: "/srv/${{ facts.hostname }}", owner: "example:example"}]
actions:
  install: {}
  uninstall: {}
services:
  - {name: exampled, sysvinit: false, environment: {A: "1 $x %h", B: "${{ facts.os_id }}"}}
checks:
  - {id: packages, kind: command, argv: [/usr/bin/dpkg, --verify], when: len(packages) > 0}
"""


def resolved(tmp_path: Path, action: str = "install", manifest: str = MANIFEST, **facts: Any) -> ResolvedAction:
    folder = tmp_path / "example"
    folder.mkdir(exist_ok=True)
    (folder / "integration.yaml").write_text(manifest, encoding="utf-8")
    return resolve(load_folder(folder), action, {}, dataclasses.replace(FACTS, **facts))


@pytest.mark.parametrize(
    ("facts", "packages"),
    [
        ({}, ["exampled", "example-tools"]),
        (UBUNTU, ["example"]),
        ({"os_id": "mint", "os_like": ("ubuntu", "debian")}, ["example"]),
        ({"os_id": "mint", "os_like": ("debian",)}, ["exampled", "example-tools"]),
    ],
)
def test_the_nearest_name_of_the_system_decides(tmp_path: Path, facts: dict[str, Any], packages: list[str]) -> None:
    action = resolved(tmp_path, **facts)

    assert (action.template, action.context["packages"]) == ("apt/install", packages)
    assert resolved(tmp_path, "uninstall", **facts).template == "apt/uninstall"


def test_a_system_without_packages_or_without_a_block_is_refused(tmp_path: Path) -> None:
    only = MANIFEST.replace("debian, ubuntu, mint", "debian, ubuntu").replace(
        "{debian: [exampled, example-tools], ", "{"
    )
    with pytest.raises(ManifestError, match="has no `packages` as `debian`"):
        resolved(tmp_path, manifest=only)
    with pytest.raises(UnsupportedPlatformError, match="cannot be installed with dnf"):
        resolved(tmp_path, package_manager="dnf")
    with pytest.raises(UnsupportedPlatformError, match="no package manager"):
        resolved(tmp_path, package_manager=None)


def test_packages_of_another_family_are_not_taken(tmp_path: Path) -> None:
    other = MANIFEST.replace("[{family: debian, os: [debian, ubuntu, mint]}]", "[{family: debian, os: [mint]}]")
    other = other.replace("{debian: [exampled, example-tools], ubuntu: [example]}", "{debian: [exampled]}")
    with pytest.raises(UnsupportedPlatformError):
        resolved(tmp_path, manifest=other, os_id="mint", os_like=("fedora",))


def test_packages_of_the_action_win_over_those_of_the_family(tmp_path: Path) -> None:
    said = MANIFEST.replace("install: {}", "install: {with: {packages: [other]}}", 1)
    assert resolved(tmp_path, manifest=said).context["packages"] == ["other"]
    named = MANIFEST.replace("install: {}", 'install: {with: {versions: "${{ packages }}"}}', 1)
    assert resolved(tmp_path, manifest=named).context["versions"] == ["exampled", "example-tools"]


def test_what_goes_around_is_resolved_and_an_uninstall_makes_nothing(tmp_path: Path) -> None:
    user = {"name": "example", "home": "/nonexistent", "shell": "/usr/sbin/nologin", "groups": []}
    folder = {"path": "/srv/example", "mode": "0755", "owner": "example:example"}
    assert resolved(tmp_path).setup == {"users": [user], "directories": [folder]}
    assert resolved(tmp_path, "uninstall").setup == {"users": [user]}


def test_variables_become_a_drop_in_under_systemd_only(tmp_path: Path) -> None:
    drop_in = resolved(tmp_path).files
    assert [(file.path, file.values) for file in drop_in] == [
        (
            "/etc/systemd/system/exampled.service.d/50-workflow-agent.conf",
            {"Service": {"Environment": {"A": "1 $x %h", "B": "debian"}}},
        )
    ]
    elsewhere = resolved(tmp_path, init=InitKind.NONE)
    assert elsewhere.files == ()
    assert elsewhere.services[0].environment == {"A": "1 $x %h", "B": "debian"}


def test_a_hook_is_a_file_of_python_in_the_folder(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "good.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\n", encoding="utf-8")
    (hooks / "half.py").write_text("print(\n", encoding="utf-8")
    (hooks / "bytes.py").write_bytes(b"\xff\n")
    (hooks / "long.py").write_text("#" * (65 << 10), encoding="utf-8")
    (hooks / "link.py").symlink_to("good.py")

    assert hook_problem(tmp_path, "good") is None
    assert read_hook(tmp_path, "good")[0].startswith("open(")
    told = {name: hook_problem(tmp_path, name) or "" for name in ("half", "bytes", "long", "link", "gone")}
    assert [told[name][:14] for name in told] == [
        "is no Python: ",
        "is no Python: ",
        "is larger than",
        *["is no file hoo"] * 2,
    ]
    with pytest.raises(ManifestError, match="the hook `half` is no Python"):
        read_hook(tmp_path, "half")
    assert not (tmp_path / "marker").exists()
