"""Taking a run back logically: when it may be, what does it, what is left, and how that is taken back itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.logical import LOGICAL, logical_way, package_script
from workflow_agent.integrations import Registry, builtin_folder
from workflow_agent.model.errors import ConflictError, PrunedError, RollbackIncompleteError
from workflow_agent.testing.fake_target import FakeTransaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.unit.agents.conftest import Bench

NODE = "prometheus-node-exporter"
PACKAGES: list[dict[str, Any]] = [
    {"name": "a", "action": "installed", "version": "1", "before": None},
    {"name": "b", "action": "upgraded", "version": "2", "before": "1:1.0-1"},
    {"name": "c", "action": "removed", "version": None, "before": "3"},
]


async def ran(
    bench: Bench, run_id: str, *, packages: Sequence[Mapping[str, Any]] = (), integration: str | None = None
) -> None:
    """Put a run into history and on the target, which committed one file."""
    records: list[tuple[str, Mapping[str, Any]]] = [
        ("subject", {"integration": integration, "version": "1"}),
        ("transaction", {"transaction": f"{run_id}.1", "target": "host", "state": "committed", "tier": "exact"}),
        ("change-set", {"changes": [], "packages": list(packages)}),
    ]
    if integration:
        generation = {"target": "host", "integration": integration, "parameter_hash": "p", "parameters": {}}
        generation |= {"manifest_version": "1", "manifest_hash": "m", "transaction": f"{run_id}.1"}
        records.append(("generation", generation))
    await bench.ran(run_id, records=records, integration=integration, action="install" if integration else "apply")
    bench.world.transactions[f"{run_id}.1"] = FakeTransaction(
        f"{run_id}.1", run_id, "committed", {"/x": None}, {"/x": "x"}
    )
    bench.world.files["/x"] = "x"


async def inverse(bench: Bench, run: str) -> dict[str, Any]:
    bench.world.holder = None
    return await bench.ask("knowledge.inverse", run_id="r-99", target="host", run=run)


async def test_what_can_be_taken_back_exactly_is_not_taken_back_otherwise(bench: Bench) -> None:
    await ran(bench, "r-1", packages=PACKAGES)

    with pytest.raises(ConflictError, match="exactly") as refused:
        await inverse(bench, "r-1")
    assert "leave `--logical` out" in str(refused.value.hint)


async def test_a_conflict_or_lost_images_are_the_reason_and_packages_are_a_way(bench: Bench) -> None:
    await ran(bench, "r-1", packages=PACKAGES)
    bench.world.files["/x"] = "somebody else's"
    by_conflict = await inverse(bench, "r-1")
    del bench.world.transactions["r-1.1"]
    lost = await inverse(bench, "r-1")

    assert (by_conflict["way"], by_conflict["tier"]) == ("packages", "logical")
    assert "/x" in by_conflict["tier_reason"]
    assert "holds no transaction" in lost["tier_reason"]
    assert lost["transactions"] == ["r-1.1"]


async def test_an_integration_that_the_run_brought_in_is_uninstalled(bench: Bench) -> None:
    await ran(bench, "r-1", integration=NODE, packages=PACKAGES)
    bench.world.transactions["r-1.1"].state = "pruned"
    assert (await inverse(bench, "r-1"))["way"] == "uninstall"

    await ran(bench, "r-2", integration=NODE, packages=PACKAGES)
    bench.world.transactions["r-2.1"].state = "pruned"
    assert (await inverse(bench, "r-2"))["way"] == "packages", "an uninstall would take the earlier one away too"


async def test_without_an_inverse_it_needs_a_person_and_what_is_left_is_listed(bench: Bench) -> None:
    await ran(bench, "r-1")
    bench.world.transactions["r-1.1"].state = "pruned"

    with pytest.raises(RollbackIncompleteError) as needs:
        await inverse(bench, "r-1")
    assert needs.value.details["left"][0]["path"] == "/x"
    assert needs.value.details["tier"] == "needs-attention"
    assert str(needs.value.state).startswith("nothing was changed; what it left: /x")
    del bench.world.transactions["r-1.1"]
    with pytest.raises(RollbackIncompleteError, match="needs a person") as unknown:
        await inverse(bench, "r-1")
    assert "not known" in str(unknown.value.state)


async def test_a_logical_rollback_is_taken_back_once_and_brings_the_run_back(bench: Bench) -> None:
    await ran(bench, "r-1", integration=NODE)
    bench.world.transactions["r-1.1"].state = "pruned"
    told = await bench.ask("executor.compare", run_id="r-2", target="host", transactions=["r-1.1"], undoes=["r-1"])
    assert [item["state"] for item in told["items"]] == ["left"]
    records = [("transaction", {"transaction": "r-2.1", "target": "host", "state": "committed", "tier": "exact"})]
    records += [(one["kind"], one["data"]) for one in told["_records"]]
    await bench.ran("r-2", records=records, action="rollback", integration=NODE, workflow=LOGICAL)
    assert (await bench.store.history.run("r-1"))["undone_by"] == "r-2"

    located = await bench.ask("knowledge.locate", target="host", run="r-2")
    assert (located["direction"], located["transaction"]) == ("undo", "r-2.1")
    assert (located["ends"], located["redoes"]) == (["r-2"], "r-1")
    with pytest.raises(ConflictError, match="is a rollback"):
        await inverse(bench, "r-2")
    # As the workflow does it: first the exchange, then the proof.
    await bench.ran("r-3", records=[("undone", {"run": "r-2"}), ("redone", {"run": "r-1"})], action="rollback")
    assert (await bench.store.history.run("r-1"))["undone_by"] is None
    assert (await bench.store.history.run("r-2"))["undone_by"] == "r-3"
    with pytest.raises(ConflictError, match="does not come again") as refused:
        await bench.ask("knowledge.locate", target="host", run="r-3")
    assert "rollback r-1 --logical" in str(refused.value.hint)


async def test_the_refusal_of_a_pruned_run_names_the_other_way(bench: Bench) -> None:
    await ran(bench, "r-1", packages=PACKAGES)
    pruned = {"transaction": "r-1.1", "target": "host", "bytes": 1}
    await bench.ran("r-2", records=[("pruned", pruned)], action="prune")

    with pytest.raises(PrunedError) as refused:
        await bench.ask("knowledge.locate", target="host", run="r-1")
    assert "rollback r-1 --logical" in str(refused.value.hint)
    assert "pruned by run r-2" in (await inverse(bench, "r-1"))["tier_reason"]


def test_packages_get_the_versions_that_they_had_and_what_others_need_is_refused() -> None:
    assert package_script(PACKAGES).splitlines()[3:] == [
        "dpkg --purge -- a",
        "apt-get install -y --no-install-recommends --allow-downgrades -- b=1:1.0-1 c=3",
    ]
    assert "'x; rm -rf /'" in package_script([{"name": "x; rm -rf /", "action": "installed"}])
    assert package_script([]) == ""


class _Remembering:
    """Answers of a registry, as the store keeps them."""

    def __init__(self) -> None:
        self._answers: dict[str, Any] = {}

    def recall(self, key: str) -> Any | None:
        return self._answers.get(key)

    def keep(self, key: str, value: Any) -> None:
        self._answers[key] = value


async def test_the_way_is_known_without_reading_the_manifest_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading one loads its models: a tenth of a second of each rollback."""
    await ran(bench, "r-1", integration=NODE)
    registry = Registry([builtin_folder()], memory=_Remembering())
    registry.brief(NODE)

    def read(*_: object) -> None:
        pytest.fail("the manifest is read")

    for name in ("get", "find", "load"):
        monkeypatch.setattr(Registry, name, read)
    source = {"integration": NODE, "run_id": "r-1", "target": "host"}
    assert await logical_way(bench.store.history, registry, source, is_first=True) == ("uninstall", "")
