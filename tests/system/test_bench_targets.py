"""The bench on real targets: a first draft is green at once, and what is wrong with an integration is found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli.scaffolding import write_draft
from workflow_agent.integrations import Registry, builtin_folder, load_folder
from workflow_agent.integrations.scaffold import DraftAnswers, DraftTemplate
from workflow_agent.testing.bench import Kind, Suite, TargetKind, Verdict
from workflow_agent.testing.bench.targets import BenchTarget

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.system.machine import Machine

    from workflow_agent.testing.bench import BenchOutcome

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("lab")]
MENDS_ITSELF = "cd /opt/greeting; mv greeting x; (sleep 1; mv x greeting) >&- 2>&- &"
SLOW = '  - {id: slow, kind: command, argv: [sleep, "1"], description: It takes its time.}\n'
TARGETS = ("plain", "systemd")
#: An engine of the host's own, an image of one program that holds a port, and one of a program that ends.
AN_ENGINE_AND_AN_IMAGE = """
apt-get install -y -qq --no-install-recommends docker.io iptables busybox-static
serve='["/busybox", "nc", "-ll", "-p", "8080", "-e", "/busybox", "true"]'
tar -C /bin -c busybox | docker import --change "CMD $serve" - box
tar -C /bin -c busybox | docker import --change 'CMD ["/busybox", "false"]' - broken
"""
#: A service of a program of its own, which our supervisor keeps.
SLEEPER = """
schema: workflow-agent/integration/1
name: NAME
version: 1.0.0
description: A program that sleeps.
category: test
platforms: [{family: debian, os: [debian]}]
actions: {install: {template: install}}
services: [{name: NAME, exe: /opt/NAME/NAME, argv: [/opt/NAME/NAME, "600"], sysvinit: false}]
checks: [{id: process, kind: process, exe: /opt/NAME/NAME}]
"""
#: Seconds; a service that nobody asked to stop was waited for 10 s before.
STOPPED_WITHIN = 8.0
ON_TARGET = [kind for kind in Kind if kind not in {Kind.LINT, Kind.RENDER}]


def walked(folder: Path, *kinds: Kind, evidence: Path, **more: Any) -> dict[Kind, BenchOutcome]:
    suite = Suite(manifest=load_folder(folder), kinds=kinds, evidence=evidence, **more)
    return {outcome.kind: outcome for outcome in suite.run()}


def names_of_containers(machine: Machine) -> list[str]:
    return machine.host.run(["docker", "ps", "--all", "--format", "{{.Names}}"]).stdout.split()


@pytest.mark.long
def test_a_first_draft_is_green_in_every_kind(tmp_path: Path) -> None:
    folder = write_draft(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT), tmp_path)

    found = walked(folder, *ON_TARGET, evidence=tmp_path / "evidence", targets=[TargetKind.PLAIN], update=True)

    assert {kind: one.verdict for kind, one in found.items()} == {
        kind: Verdict.SKIPPED if kind is Kind.NEGATIVE else Verdict.PASSED for kind in ON_TARGET
    }, found
    assert "created /opt/greeting and 1 below it" in (folder / "tests/plan/plain.txt").read_text(encoding="utf-8")
    assert not (tmp_path / "evidence").exists()


def test_a_break_that_no_check_sees_is_a_failure_and_its_evidence_is_kept(tmp_path: Path) -> None:
    folder = write_draft(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT), tmp_path)
    (folder / "tests/bench.yaml").write_text(
        "negative:\n"
        "  - {id: file-gone, argv: [rm, /opt/greeting/greeting], red: [greeting]}\n"
        "  - {id: harmless, argv: ['true']}\n",
        encoding="utf-8",
    )

    kinds = (Kind.PLAN, Kind.INSTALL, Kind.NEGATIVE)
    found = walked(folder, *kinds, evidence=tmp_path / "evidence", targets=[TargetKind.PLAIN])

    assert {kind: one.verdict for kind, one in found.items()} == {
        Kind.PLAN: Verdict.PASSED,
        Kind.INSTALL: Verdict.PASSED,
        Kind.NEGATIVE: Verdict.FAILED,
    }, found
    assert "ended with 0" in found[Kind.NEGATIVE].message
    evidence = found[Kind.NEGATIVE].evidence
    assert evidence is not None
    called = {file.stem.partition("-")[2] for file in (evidence / "commands").iterdir()}
    assert {"plan", "install", "verify", "repair"} <= called


def sleeper(folder: Path, name: str) -> Path:
    """An integration of one service that no init system knows."""
    made = folder / name
    (made / "templates").mkdir(parents=True)
    script = f"#!/bin/bash\nset -eu\ninstall -D -m 0755 /bin/sleep /opt/{name}/{name}\n"
    (made / "templates/install.sh.j2").write_text(script, encoding="utf-8")
    text = SLEEPER.replace("NAME", name)
    (made / "integration.yaml").write_text(text, encoding="utf-8")
    return made


def test_a_stopped_service_is_stopped_alone_and_at_once(tmp_path: Path) -> None:
    with BenchTarget(TargetKind.PLAIN, packages=(), folder=tmp_path / "target") as target:
        for name in ("first", "second"):
            done = target.command("install", str(sleeper(tmp_path, name)), "--yes")
            assert done.code == 0, done.sentence

        begun = time.monotonic()
        target.stop_service("first", "/opt/first/first")
        took = time.monotonic() - begun

        assert [one.program for one in target.host.processes() if "/opt/" in one.program] == ["/opt/second/second"]
        assert took < STOPPED_WITHIN


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (f"  - {{id: mends-itself, argv: [sh, -c, '{MENDS_ITSELF}']}}\n", "ended with 0"),
        ("  - {id: file-gone, argv: [rm, /opt/greeting/greeting]}\nred_for: 0.5\n", "ended with 1"),
    ],
    ids=["mends-itself-in-time", "works-but-not-in-time"],
)
def test_only_what_stays_red_although_what_works_would_be_green_by_then_is_seen_as_broken(
    tmp_path: Path, plan: str, said: str
) -> None:
    folder = write_draft(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT), tmp_path)
    manifest = folder / "integration.yaml"
    text = manifest.read_text(encoding="utf-8").replace("negative_checks:", f"{SLOW}negative_checks:")
    manifest.write_text(text, encoding="utf-8")
    (folder / "tests/bench.yaml").write_text(f"negative:\n{plan}", encoding="utf-8")

    found = walked(folder, Kind.NEGATIVE, evidence=tmp_path / "evidence", targets=[TargetKind.PLAIN])

    assert found[Kind.NEGATIVE].verdict is Verdict.FAILED
    assert said in found[Kind.NEGATIVE].message
    # the target is gone by then, and its history is not the author's
    assert not [line for line in found[Kind.NEGATIVE].details if line.startswith("`workflow-agent ")]


@pytest.mark.parametrize(
    ("needs", "verdict", "said"),
    [
        (
            "\ncapabilities:\n  - name: AUDIT_CONTROL\n",
            Verdict.PASSED,
            "failed: capability missing: greeting needs AUDIT",
        ),
        ("", Verdict.FAILED, "and must be refused with validation.capability"),
    ],
    ids=["lacks-it", "needs-nothing"],
)
def test_what_must_be_refused_passes_where_it_is_and_changes_nothing(
    tmp_path: Path, needs: str, verdict: Verdict, said: str
) -> None:
    folder = write_draft(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT), tmp_path)
    manifest = folder / "integration.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + needs, encoding="utf-8")
    (folder / "tests/bench.yaml").write_text("refused: validation.capability\n", encoding="utf-8")

    kinds = (Kind.PLAN, Kind.INSTALL, Kind.VERIFY)
    found = walked(folder, *kinds, evidence=tmp_path / "evidence", targets=[TargetKind.PLAIN])

    assert [found[kind].verdict for kind in kinds] == [verdict, verdict, Verdict.SKIPPED], found
    assert said in found[Kind.INSTALL].message


@pytest.mark.parametrize(
    ("argv", "verdict", "said"),
    [
        ("[cat, /opt/greeting/greeting]", Verdict.PASSED, "from 0.0.1 (was runs) to 0.1.0 (is runs)"),
        ("[echo, was]", Verdict.FAILED, "is does not run"),
    ],
)
def test_an_upgrade_is_proven_by_what_runs(tmp_path: Path, argv: str, verdict: Verdict, said: str) -> None:
    folder = write_draft(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT), tmp_path)
    (folder / "tests/bench.yaml").write_text(
        "parameters: {greeting: is}\n"
        f"older: {{parameters: {{greeting: was}}, running: {{argv: {argv}, older: was, newer: is}}}}\n",
        encoding="utf-8",
    )

    found = walked(folder, Kind.UPGRADE, evidence=tmp_path / "evidence", targets=[TargetKind.PLAIN])

    assert (found[Kind.UPGRADE].verdict, found[Kind.UPGRADE].message) == (verdict, said), found


@pytest.mark.long
def test_an_uninstall_that_leaves_something_is_a_failure(tmp_path: Path) -> None:
    folder = write_draft(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT), tmp_path)
    (folder / "templates/uninstall.sh.j2").write_text("set -eu\nrm -f /opt/greeting/other\n", encoding="utf-8")

    found = walked(folder, Kind.RESIDUE, evidence=tmp_path / "evidence", targets=[TargetKind.PLAIN])

    assert found[Kind.RESIDUE].verdict is Verdict.FAILED


@pytest.mark.long
@pytest.mark.parametrize("template", [DraftTemplate.TARBALL, DraftTemplate.PIP])
def test_other_drafts_install_from_their_samples(tmp_path: Path, template: DraftTemplate) -> None:
    folder = write_draft(DraftAnswers(name="sample", template=template), tmp_path)

    found = walked(folder, *ON_TARGET, evidence=tmp_path / "evidence", targets=[TargetKind.PLAIN])

    assert {one.verdict for kind, one in found.items() if kind is not Kind.NEGATIVE} == {Verdict.PASSED}, found


def test_a_draft_of_a_container_is_tested_on_paper_and_refused_where_there_is_no_docker(
    tmp_path: Path, machines: Callable[..., AbstractContextManager[Machine]]
) -> None:
    folder = write_draft(DraftAnswers(name="box", template=DraftTemplate.CONTAINER), tmp_path)

    found = list(Suite(manifest=load_folder(folder), evidence=tmp_path / "evidence").run())

    on_paper = [one for one in found if not one.target]
    assert {one.verdict for one in on_paper} == {Verdict.PASSED}, found
    assert {one.kind for one in on_paper} == {Kind.LINT, Kind.RENDER}
    rest = [one for one in found if one.target]
    assert {(one.kind, one.target) for one in rest} == {(kind, target) for kind in ON_TARGET for target in TARGETS}
    assert {(one.verdict, one.message) for one in rest} == {(Verdict.SKIPPED, "it needs a Docker engine on the target")}
    with machines("plain") as machine:
        before = machine.world()
        refused = machine.json("install", str(folder), "--yes")
        assert refused.code == 1, str(refused)
        assert refused.error["cause"] == "error: the target has no docker"
        machine.assert_as(before)


@pytest.mark.long
@pytest.mark.systemd
def test_a_draft_of_a_container_runs_where_there_is_docker_and_goes_with_a_rollback(
    tmp_path: Path, machines: Callable[..., AbstractContextManager[Machine]]
) -> None:
    folder = str(write_draft(DraftAnswers(name="box", template=DraftTemplate.CONTAINER, port=8080), tmp_path))
    with machines("systemd", packages=("docker.io", "iptables", "busybox-static")) as machine:
        machine.host.run(["sh", "-euc", AN_ENGINE_AND_AN_IMAGE], timeout_s=600)
        before = machine.world()

        failed = machine.json("install", folder, "--param", "image=broken", "--yes")
        assert (failed.code, failed.error["code"], names_of_containers(machine)) == (9, "rolled-back", []), str(failed)
        assert machine.json("install", folder, "--yes").data["changed"] is True
        assert names_of_containers(machine) == ["box"]
        assert machine.json("verify", folder).code == 0
        assert machine.json("install", folder, "--yes").data["changed"] is False

        machine.host.run(["docker", "stop", "--time=0", "box"])
        assert machine.json("verify", folder).code == 1
        machine.host.run(["docker", "start", "box"])
        assert machine.json("verify", folder).code == 0

        gone = machine.json("uninstall", "box", "--yes").data
        assert (gone["status"], names_of_containers(machine)) == ("succeeded", [])
        assert machine.json("rollback", gone["run_id"], "--yes").code == 0
        assert machine.json("rollback", "--yes").code == 0
        assert names_of_containers(machine) == []
        lines = before.differences(machine.world(), machine.host.root)
        assert [line for line in lines if "/var/lib/docker" not in line and "/var/lib/containerd" not in line] == []


@pytest.mark.long
@pytest.mark.systemd
@pytest.mark.parametrize("name", Registry([builtin_folder()]).names())
def test_the_catalogue_passes_on_a_plain_and_a_systemd_target(tmp_path: Path, name: str) -> None:
    suite = Suite(manifest=load_folder(builtin_folder() / name), evidence=tmp_path / "evidence")
    found = list(suite.run())

    assert [one for one in found if one.verdict is Verdict.FAILED] == []
    assert {one.target for one in found} >= {"plain", "systemd"}
