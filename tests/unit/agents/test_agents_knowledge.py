"""What is known: lookups on shipped and hostile manifests, and which transaction a rollback means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import (
    ConflictError,
    NotFoundError,
    ParameterError,
    UnsupportedPlatformError,
    ValidationError,
)
from workflow_agent.security.marks import mark, reference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.unit.agents.conftest import Bench

NODE = "prometheus-node-exporter"
KNOWN = {
    "services": [{"name": "x"}],
    "checks": [{"id": "works", "kind": "file", "spec": {"path": "/x"}}],
    "negative_checks": [{"id": "gone", "kind": "file", "spec": {"path": "/x", "exists": False}}],
    "state_data": [{"path": "/var/lib/x", "policy": "keep"}, {"path": "/var/cache/x", "policy": "drop"}],
}


def installed(run_id: str, state: str = "committed") -> list[tuple[str, Mapping[str, Any]]]:
    return [
        ("subject", {"integration": "x", "version": "1.0.0", **KNOWN}),
        ("transaction", {"transaction": f"{run_id}.1", "target": "host", "state": state, "tier": "exact"}),
        (
            "generation",
            {
                "target": "host",
                "integration": "x",
                "parameter_hash": "p",
                "parameters": {"port": 1},
                "manifest_version": "1.0.0",
                "manifest_hash": "m",
                "transaction": f"{run_id}.1",
            },
        ),
    ]


def undo(*runs: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [("undone", {"run": run}) for run in runs]


# -- lookup --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NODE, "nginx"])
async def test_a_shipped_integration_is_known_completely_and_as_json(bench: Bench, name: str) -> None:
    reply = await bench.lookup(integration=name)

    assert json.loads(json.dumps(reply)) == reply
    assert reply["integration"] == name
    assert reply["action"] == "install"
    assert reply["installed"] is None
    assert reply["facts"]["os_id"] == "debian"
    assert reply["checks"]
    assert reply["services"]
    subject = reply["_records"][0]
    assert (subject["kind"], subject["data"]["integration"]) == ("subject", name)
    assert subject["data"]["negative_checks"] == reply["negative_checks"]


async def test_parameters_are_bound_and_reach_services_and_checks(bench: Bench) -> None:
    reply = await bench.lookup(parameters={"port": "9200"})
    other = await bench.lookup()

    assert reply["parameters"]["port"] == 9200
    assert reply["services"][0]["listens"] == ["tcp/9200"]
    assert reply["parameter_hash"] != other["parameter_hash"]
    assert reply["manifest_hash"] == other["manifest_hash"]


async def test_names_that_nobody_knows_are_refused_with_the_nearest(bench: Bench) -> None:
    with pytest.raises(NotFoundError) as integration:
        await bench.lookup(integration="prometheus-node-exporte")
    with pytest.raises(ParameterError) as parameter:
        await bench.lookup(parameters={"prot": 1})
    with pytest.raises(NotFoundError) as target:
        await bench.lookup(target="hots")
    with pytest.raises(ParameterError):
        await bench.lookup(parameters={"port": "many"})

    assert NODE in str(integration.value.hint)
    assert "port" in str(parameter.value.hint)
    assert "host" in str(target.value.hint)
    assert bench.world.transactions == {}


@pytest.mark.parametrize("name", ["./nothing", "a/b\0c", "/" + "x" * 5000, "..", "-/$(touch /tmp/x)"])
async def test_a_folder_that_holds_nothing_is_not_found(bench: Bench, name: str) -> None:
    with pytest.raises(NotFoundError):
        await bench.lookup(integration=name)


async def test_a_folder_is_used_by_its_path(bench: Bench, tmp_path: Path) -> None:
    folder = _integration(tmp_path / "mine" / "tiny")

    reply = await bench.lookup(integration=str(folder))

    assert (reply["integration"], reply["folder"]) == ("tiny", str(folder))


async def test_a_secret_that_is_given_travels_as_its_reference(bench: Bench, tmp_path: Path) -> None:
    secret = "\nparameters:\n  password: {type: string, secret: true, description: Secret.}\n"
    folder = _integration(tmp_path / "tiny", more=secret)

    assert (await bench.lookup(integration=str(folder)))["parameters"] == {"password": None}
    given = {"password": reference("password", "0" * 64)}
    reply = await bench.lookup(integration=str(folder), parameters=given)
    assert reply["parameters"] == given
    assert reply["context"]["parameters"] == {"password": mark("password")}
    with pytest.raises(ParameterError, match="is a secret"):
        await bench.lookup(integration=str(folder), parameters={"password": "hunter2-hunter2"})


async def test_a_platform_that_is_not_supported_is_refused(bench: Bench, tmp_path: Path) -> None:
    folder = _integration(tmp_path / "tiny", release="99")

    with pytest.raises(UnsupportedPlatformError):
        await bench.lookup(integration=str(folder))


async def test_verify_without_parameters_takes_those_of_what_is_installed(bench: Bench) -> None:
    first = await bench.lookup(parameters={"port": 9300})
    generation = {key: first[key] for key in ("integration", "parameters", "parameter_hash", "manifest_hash")}
    await bench.ran(
        "r-1",
        records=[("generation", generation | {"target": "host", "manifest_version": "1.0.0", "transaction": "t"})],
    )

    reply = await bench.lookup(action="verify")
    chosen = await bench.lookup(action="verify", parameters={"port": 1})

    assert reply["parameters"] == first["parameters"]
    assert reply["installed"]["run_id"] == "r-1"
    assert reply["action"] == "verify"
    assert chosen["parameters"]["port"] == 1


async def test_what_we_did_not_install_can_be_looked_at(bench: Bench) -> None:
    reply = await bench.lookup(action="verify")

    assert reply["installed"] is None
    assert reply["checks"]


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"integration": 7}, "integration"),
        ({"parameters": []}, "parameters"),
        ({"more": 1}, "more"),
        ({"target": None}, "target"),
    ],
)
async def test_a_request_that_is_not_valid_names_the_key(bench: Bench, data: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError, match=key) as refused:
        await bench.lookup(**data)

    assert refused.value.where == "agent.knowledge.lookup (step step)"


# -- locate --------------------------------------------------------------------------------------------------------


async def test_the_newest_run_is_located_with_all_that_its_rollback_needs(bench: Bench) -> None:
    await bench.ran("r-1", records=[])
    await bench.ran("r-2", records=installed("r-2"))

    reply = await bench.ask("knowledge.locate", target="host")

    assert (reply["run"], reply["direction"], reply["transaction"]) == ("r-2", "undo", "r-2.1")
    assert reply["undoes"] == ["r-2"]
    assert (reply["services"], reply["checks"]) == (KNOWN["services"], KNOWN["checks"])
    assert reply["checks_after"] == KNOWN["negative_checks"]
    assert reply["keep"] == ["/var/lib/x"]
    assert (reply["integration"], reply["version"], reply["tier"]) == ("x", "1.0.0", "exact")
    assert reply["generation"]["parameters"] == {"port": 1}


async def test_after_a_second_installation_of_the_same_is_undone_the_first_has_to_work(bench: Bench) -> None:
    await bench.ran("r-1", records=installed("r-1"))
    await bench.ran("r-2", records=installed("r-2"))

    second = await bench.ask("knowledge.locate", target="host")
    first = await bench.ask("knowledge.locate", target="host", run="r-1")

    assert (second["run"], second["checks_after"], second["started_after"]) == ("r-2", KNOWN["checks"], True)
    assert (first["run"], first["checks_after"]) == ("r-1", KNOWN["negative_checks"])


async def test_a_rollback_can_be_taken_back_and_that_again_and_again(bench: Bench) -> None:
    await bench.ran("r-1", records=installed("r-1"))
    await bench.ran("r-2", action="rollback", records=undo("r-1"))
    redo = await bench.ask("knowledge.locate", target="host", run="r-2")
    await bench.ran("r-3", action="rollback", records=[("redone", {"run": "r-1"})])
    undo_again = await bench.ask("knowledge.locate", target="host", run="r-3")
    await bench.ran("r-4", action="rollback", records=undo("r-1", "r-3"))
    redo_again = await bench.ask("knowledge.locate", target="host", run="r-4")

    assert [(one["direction"], one["source"], one["run"]) for one in (redo, undo_again, redo_again)] == [
        ("redo", "r-1", "r-2"),
        ("undo", "r-1", "r-3"),
        ("redo", "r-1", "r-4"),
    ]
    assert undo_again["undoes"] == ["r-1", "r-3"]
    assert {one["transaction"] for one in (redo, undo_again, redo_again)} == {"r-1.1"}


async def test_what_was_rolled_back_already_is_a_conflict_that_says_by_whom(bench: Bench) -> None:
    await bench.ran("r-1", records=installed("r-1"))
    await bench.ran("r-2", action="rollback", records=undo("r-1"))
    await bench.ran("r-3", action="rollback", records=[("redone", {"run": "r-1"})])
    await bench.ran("r-4", action="rollback", records=undo("r-1"))

    with pytest.raises(ConflictError, match="by run r-4") as first:
        await bench.ask("knowledge.locate", target="host", run="r-1")
    with pytest.raises(ConflictError, match="r-1 was rolled back already"):
        # r-3 brought r-1 back, and that is over by now.
        await bench.ask("knowledge.locate", target="host", run="r-3")

    assert "rollback r-4" in str(first.value.hint)


@pytest.mark.parametrize(
    ("run", "target", "error", "part"),
    [
        ("r-1", "host", ConflictError, "changed nothing"),
        ("r-2", "host", ConflictError, "changed nothing"),
        ("r-3", "other", ConflictError, "was on `host`"),
        ("r-4", "host", ConflictError, "rolled back already"),
        ("r-5", "host", NotFoundError, "no transaction"),
        ("r-9", "host", NotFoundError, "no run begins"),
        ("r-", "host", ConflictError, "several runs"),
        ("", "other", NotFoundError, "nothing to roll back"),
    ],
)
async def test_what_cannot_be_rolled_back_is_refused(
    bench: Bench, run: str, target: str, error: type[Exception], part: str
) -> None:
    await bench.ran("r-1", status="failed", changed=False)
    await bench.ran("r-2", changed=False)
    await bench.ran("r-3", records=installed("r-3"))
    await bench.ran("r-4", status="rolled-back", changed=False)
    await bench.ran("r-5")

    with pytest.raises(error, match=part):
        await bench.ask("knowledge.locate", target=target, run=run)


def _integration(folder: Path, *, release: str = "12", more: str = "") -> Path:
    """Write a small integration."""
    folder.mkdir(parents=True)
    (folder / "integration.yaml").write_text(
        f"""schema: workflow-agent/integration/1
name: {folder.name}
version: 1.0.0
description: A small integration for tests.
category: other
platforms:
  - family: debian
    os: [debian]
    releases: ["{release}"]
actions:
  install: {{template: apt/install, with: {{packages: [hello]}}}}
  uninstall: {{template: apt/uninstall, with: {{packages: [hello]}}}}
checks:
  - {{id: file, kind: file, path: /etc/tiny, description: A file.}}
negative_checks:
  - {{id: file-gone, kind: file, path: /etc/tiny, exists: false, description: No file.}}
documentation: [{{title: Page, url: "https://example.org"}}]
{more}"""
    )
    return folder
