"""Events and records become what history tells about a run."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import InternalError, ValidationError
from workflow_agent.model.event import EventType, RecordKind
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.event import Event
    from workflow_agent.store import SqliteStore


async def write(store: SqliteStore, *events: Event) -> None:
    await store.journal.append(events[0].run_id, events[0].seq - 1, events)


def table(store: SqliteStore, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{store.folder}/workflow-agent.db?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def status(store: SqliteStore, run_id: str = "r-1") -> str:
    return str((await store.history.run(run_id))["status"])


def noted(chain: EventChain, *records: tuple[str, Mapping[str, Any]]) -> Event:
    return chain.event(EventType.STEP_SUCCEEDED, step="s", records=records)


def generation(parameter_hash: str = "p", **other: Any) -> tuple[str, dict[str, Any]]:
    data: dict[str, Any] = {
        "target": "host",
        "integration": "nginx",
        "parameter_hash": parameter_hash,
        "parameters": {"port": 80},
        "manifest_version": "1.0",
        "manifest_hash": "m",
        "transaction": "t-1",
    }
    return (RecordKind.GENERATION, data | other)


async def install(store: SqliteStore, run_id: str, *records: tuple[str, Mapping[str, Any]]) -> None:
    chain = EventChain(run_id, at=float(run_id.removeprefix("r-")) * 100)
    await write(store, chain.created(target="host"), noted(chain, *records), chain.finished())


async def live(store: SqliteStore, integration: str | None = "nginx") -> list[str]:
    return [item.run_id for item in await store.history.generations("host", integration)]


async def test_a_run_is_told_from_its_events(store: SqliteStore) -> None:
    chain = EventChain("r-1", at=100.0)
    meta = {"action": "install", "integration": "nginx", "version": "1.2", "target": "host"}
    await write(store, chain.created(inputs={"port": 80}, user="ada", host="web1", undoes="r-0", **meta))
    before = await store.history.run("r-1")
    await write(store, chain.event(EventType.RUN_STARTED), chain.finished("failed", error={"code": "x"}))

    after = await store.history.run("r-1")

    assert (before["status"], before["changed"], before["started_at"]) == ("queued", None, None)
    assert after == meta | {
        "run_id": "r-1",
        "status": "failed",
        "changed": True,
        "tier": None,
        "error": {"code": "x"},
        "undoes": "r-0",
        "undone_by": None,
        "pruned_by": None,
        "workflow": "install",
        "workflow_hash": "0" * 64,
        "inputs": {"port": 80},
        "user": "ada",
        "host": "web1",
        "origin": None,
        "created_at": 100.0,
        "started_at": 101.0,
        "finished_at": 102.0,
        "tags": {},
        "steps": [],
    }


async def test_the_status_follows_the_phase_of_the_step(store: SqliteStore) -> None:
    chain = EventChain("r-1")
    seen = []
    for event in (
        chain.created(),
        chain.event(EventType.RUN_STARTED),
        chain.event(EventType.STEP_STARTED, step="prepare", data={"phase": "planning"}),
        chain.event(EventType.STEP_SUCCEEDED, step="prepare"),
        chain.event(EventType.STEP_STARTED, step="commit"),
        chain.event(EventType.CANCEL_REQUESTED, data={"reason": "Ctrl-C"}),
        chain.finished("cancelled", changed=False),
    ):
        await write(store, event)
        seen.append(await status(store))

    assert seen == ["queued", "running", "planning", "planning", "running", "running", "cancelled"]


async def test_a_run_may_start_in_a_phase_and_hold_its_whole_workflow(store: SqliteStore) -> None:
    chain = EventChain("r-1")
    data = {"workflow": {"name": "plan", "steps": []}, "workflow_hash": "h"}
    created = chain.event(EventType.RUN_CREATED, data=data)
    await write(store, created, chain.event(EventType.RUN_STARTED, data={"phase": "planning"}))

    run = await store.history.run("r-1")

    assert (run["workflow"], run["status"], run["inputs"]) == ("plan", "planning", {})


async def test_steps_are_told_in_the_order_in_which_they_began(store: SqliteStore) -> None:
    chain = EventChain("r-1", at=0.0)
    error = {"code": "step-failed"}
    await write(
        store,
        chain.created(),
        chain.event(EventType.STEP_STARTED, step="z"),
        chain.event(EventType.STEP_FAILED, step="z", data={"error": error}),
        chain.event(EventType.RETRY_SCHEDULED, step="z", attempt=2, data={"due_at": 9.0, "reason": "busy"}),
    )
    waiting = (await store.history.run("r-1"))["steps"]
    await write(
        store,
        chain.event(EventType.STEP_STARTED, step="z", attempt=2),
        chain.event(EventType.STEP_SUCCEEDED, step="z", attempt=2, data={"status": "unchanged"}),
        chain.event(EventType.STEP_SUCCEEDED, step="b", data={"started_at": 5.5, "output": {}}),
        chain.event(EventType.STEP_SKIPPED, step="a", data={"reason": "when is false"}),
        chain.event(EventType.STEP_FAILED, step="y", data={"error": error, "status": "cancelled"}),
    )

    steps = (await store.history.run("r-1"))["steps"]

    assert [(step["status"], step["attempt"], step["reason"]) for step in waiting] == [("waiting", 2, "busy")]
    keys = ("id", "status", "attempt", "started_at", "finished_at", "error", "reason")
    assert [tuple(step[key] for key in keys) for step in steps] == [
        ("z", "unchanged", 2, 1.0, 5.0, None, None),
        ("b", "succeeded", 1, 5.5, 6.0, None, None),
        ("a", "skipped", 1, None, 7.0, None, "when is false"),
        ("y", "cancelled", 1, None, 8.0, error, None),
    ]


async def test_records_of_each_kind_are_kept_exactly_and_in_a_table(store: SqliteStore) -> None:
    provenance = {"integration": "nginx", "action": "install", "version": "1", "template": "t.j2"}
    change = {"path": "/etc/x", "action": "created", "kind": "file", "aspects": ["content"], "after": {"size": 1}}
    records: list[tuple[str, dict[str, Any]]] = [
        (RecordKind.SCRIPT, {"text": "echo", "hash": "h", "provenance": provenance, "interpreter": "/bin/bash"}),
        (RecordKind.FINDING, {"rule": "R1", "severity": "warning", "message": "m", "line": 3, "column": 2}),
        (RecordKind.FINDING, {"rule": "R2", "allowed": True}),
        (RecordKind.OUTPUT, {"path": "out.log", "bytes": 10, "truncated": False, "tail": ["x"]}),
        (RecordKind.CHANGE_SET, {"changes": [change, {"path": "/b", "action": "deleted"}], "bytes_added": 7}),
        (RecordKind.CHANGE_SET, {}),
        (RecordKind.CHECK, {"id": "port", "kind": "port", "status": "passed", "observed": "open", "attempts": 2}),
        ("house-rule", {"anything": [1]}),
    ]
    chain = EventChain("r-1")
    await write(store, chain.created(), noted(chain, *records))

    kept = await store.history.records("r-1")

    assert [(record.kind, record.data) for record in kept] == [(str(kind), data) for kind, data in records]
    assert [record.data["rule"] for record in await store.history.records("r-1", "finding")] == ["R1", "R2"]
    assert await store.history.records("r-none") == []
    assert table(store, "SELECT hash, integration, template, interpreter FROM scripts") == [
        ("h", "nginx", "t.j2", "/bin/bash")
    ]
    assert table(store, 'SELECT rule, line, "column", allowed FROM findings') == [
        ("R1", 3, 2, None),
        ("R2", None, None, 1),
    ]
    assert table(store, "SELECT step, path, bytes, truncated FROM outputs") == [("s", "out.log", 10, 0)]
    assert table(store, "SELECT created, modified, deleted, appended, bytes_added FROM change_sets") == [
        (1, 0, 1, 0, 7),
        (0, 0, 0, 0, None),
    ]
    assert table(store, "SELECT path, action, kind, aspects, before, after FROM changes") == [
        ("/etc/x", "created", "file", '["content"]', None, '{"size":1}'),
        ("/b", "deleted", None, None, None, None),
    ]
    assert table(store, "SELECT check_id, status, observed, attempts FROM checks") == [("port", "passed", "open", 2)]


async def test_hostile_text_in_columns_is_inert_and_exact_in_the_record(store: SqliteStore) -> None:
    text = '\udcff\'); DROP TABLE runs; --\0 "$(reboot)" 漢字'
    chain = EventChain("r-1")
    created = chain.created(integration=text, target=text, user=text)
    failed = chain.event(EventType.STEP_FAILED, step=text, data={"error": {"message": text}})
    await write(store, created, failed, noted(chain, (RecordKind.CHECK, {"id": text, "observed": [text]})))

    run = await store.history.run("r-1")

    assert run["user"] == text.replace("\udcff", r"\udcff").replace("\0", r"\x00")
    assert run["steps"][0]["error"] == {"message": text}
    assert (await store.history.records("r-1"))[0].data == {"id": text, "observed": [text]}
    assert [found["run_id"] for found in await store.history.runs(target=text, integration=text)] == ["r-1"]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (RecordKind.TRANSACTION, {"state": "committed"}),
        (RecordKind.GENERATION, {"target": "host"}),
        (RecordKind.UNDONE, {}),
        (RecordKind.CHANGE_SET, {"changes": [{"path": "/x"}]}),
        (RecordKind.CHANGE_SET, {"changes": 7}),
        (RecordKind.SCRIPT, {"provenance": "text"}),
    ],
)
async def test_a_record_that_lacks_a_part_fails_its_append_alone(
    store: SqliteStore, kind: str, data: dict[str, Any]
) -> None:
    chain = EventChain("r-1")
    await write(store, chain.created())

    with pytest.raises(InternalError, match=f"`{kind}`"):
        await write(store, noted(chain, (kind, data)))

    assert len(await store.journal.events("r-1")) == 1
    await write(store, EventChain("r-2").created())


async def test_a_record_that_is_no_json_is_refused(store: SqliteStore) -> None:
    chain = EventChain("r-1")

    with pytest.raises(ValidationError):
        await write(store, chain.created(), noted(chain, ("note", {"x": object()})))


async def test_a_row_that_the_schema_refuses_fails_its_append_alone(store: SqliteStore) -> None:
    chain = EventChain("r-1")
    await write(store, chain.created())
    no_step = chain.event(EventType.STEP_STARTED)

    with pytest.raises(Exception, match="database reported an error") as caught:
        await write(store, no_step)

    assert "NOT NULL" in str(getattr(caught.value, "cause", ""))
    assert len(await store.journal.events("r-1")) == 1


async def test_a_transaction_gives_the_run_its_tier_and_keeps_its_last_state(store: SqliteStore) -> None:
    prepared = {"transaction": "t-1", "state": "prepared", "target": "host", "tier": "exact"}
    chain = EventChain("r-1")
    await write(store, chain.created(), noted(chain, (RecordKind.TRANSACTION, prepared)))
    nothing_yet = await store.history.latest_transaction("host")
    await write(store, noted(chain, (RecordKind.TRANSACTION, prepared | {"state": "committed", "tier": None})))

    latest = await store.history.latest_transaction("host")

    assert nothing_yet is None
    assert latest is not None
    assert (latest["transaction"], latest["run_id"], latest["state"], latest["tier"]) == (
        "t-1",
        "r-1",
        "committed",
        "exact",
    )
    assert (await store.history.run("r-1"))["tier"] == "exact"
    assert await store.history.latest_transaction("docker:web") is None


async def test_the_latest_transaction_is_the_newest_one_that_was_not_undone(store: SqliteStore) -> None:
    for number in (1, 2, 3):
        record = {"transaction": f"t-{number}", "state": "committed", "target": "host"}
        await install(store, f"r-{number}", (RecordKind.TRANSACTION, record))
    await install(store, "r-4", (RecordKind.UNDONE, {"run": "r-3"}))

    latest = await store.history.latest_transaction("host")

    assert latest is not None
    assert latest["run_id"] == "r-2"


async def test_the_latest_transaction_is_the_last_one_that_was_told_of_whichever_run_began_first(
    store: SqliteStore,
) -> None:
    waited, came = EventChain("r-1"), EventChain("r-2")
    await write(store, waited.created(target="host"))
    await write(store, came.created(target="host"))
    for chain, name in ((came, "t-2"), (waited, "t-1")):
        record = {"transaction": name, "state": "committed", "target": "host"}
        await write(store, noted(chain, (RecordKind.TRANSACTION, record)), chain.finished())

    latest = await store.history.latest_transaction("host")

    assert latest is not None
    assert latest["run_id"] == "r-1"


async def test_a_generation_ends_the_one_before(store: SqliteStore) -> None:
    await install(store, "r-1", generation("one"))
    await install(store, "r-2", generation("two"))
    await install(store, "r-3", generation("other", integration="redis"))
    await install(store, "r-4", generation("elsewhere", target="docker:web"))

    everything = await store.history.generations("host", live_only=False)

    assert [(item.run_id, item.parameter_hash, item.live) for item in everything] == [
        ("r-3", "other", True),
        ("r-2", "two", True),
        ("r-1", "one", False),
    ]
    assert everything[0].parameters == {"port": 80}
    assert everything[0].created_at == 301.0
    assert table(store, "SELECT ended_by FROM generations WHERE run_id = 'r-1'") == [("r-2",)]


async def test_a_generation_may_be_corrected_by_its_run(store: SqliteStore) -> None:
    await install(store, "r-1", generation("one"), generation("two", created_at=5.0))

    assert [item.parameter_hash for item in await store.history.generations("host")] == ["two"]


async def test_undoing_an_upgrade_brings_the_generation_before_back(store: SqliteStore) -> None:
    await install(store, "r-1", generation("one"))
    await install(store, "r-2", generation("two"))
    await install(store, "r-3", (RecordKind.UNDONE, {"run": "r-2"}))

    assert await live(store) == ["r-1"]
    undone = await store.history.run("r-2")
    assert (undone["status"], undone["undone_by"]) == ("rolled-back", "r-3")

    await install(store, "r-4", (RecordKind.REDONE, {"run": "r-2"}))

    assert await live(store) == ["r-2"]
    redone = await store.history.run("r-2")
    assert (redone["status"], redone["undone_by"]) == ("succeeded", None)
    undoer = await store.history.run("r-3")
    assert (undoer["status"], undoer["undone_by"]) == ("rolled-back", "r-4")


async def test_redoing_forgets_that_the_rollback_ended_the_generation(store: SqliteStore) -> None:
    ended = (RecordKind.GENERATION_ENDED, {"generation": "r-1", "reason": "rolled back"})
    await install(store, "r-1", generation("one"))
    await install(store, "r-2", (RecordKind.UNDONE, {"run": "r-1"}), ended)
    before = await live(store)

    await install(store, "r-3", (RecordKind.REDONE, {"run": "r-1"}))

    assert (before, await live(store)) == ([], ["r-1"])


async def test_a_run_that_took_itself_back_can_be_redone(store: SqliteStore) -> None:
    await install(store, "r-1", (RecordKind.UNDONE, {"run": "r-1"}))
    await install(store, "r-2", (RecordKind.REDONE, {"run": "r-1"}))

    run = await store.history.run("r-1")
    assert (run["status"], run["undone_by"]) == ("succeeded", None)


async def test_an_uninstall_ends_a_generation_and_undoing_it_brings_it_back(store: SqliteStore) -> None:
    await install(store, "r-1", generation("one"))
    await install(store, "r-2", generation("two"))
    await install(store, "r-3", (RecordKind.GENERATION_ENDED, {"generation": "r-2", "reason": "uninstalled"}))
    uninstalled = await live(store)
    reason = table(store, "SELECT ended_by, removed_reason FROM generations WHERE run_id = 'r-2'")

    await install(store, "r-4", (RecordKind.UNDONE, {"run": "r-3"}))

    assert uninstalled == []
    assert reason == [("r-3", "uninstalled")]
    assert await live(store) == ["r-2"]


async def test_undoing_out_of_order_never_leaves_two_generations_live(store: SqliteStore) -> None:
    for number in (1, 2, 3):
        await install(store, f"r-{number}", generation(str(number)))
    await install(store, "r-4", (RecordKind.UNDONE, {"run": "r-2"}))
    after_first = await live(store)

    await install(store, "r-5", (RecordKind.UNDONE, {"run": "r-3"}))

    assert after_first == ["r-3"]
    assert await live(store) == ["r-1"]


async def test_a_run_that_took_itself_back_leaves_no_generation_and_no_candidate(store: SqliteStore) -> None:
    transaction = {"transaction": "t-1", "state": "committed", "target": "host"}
    await install(store, "r-1", generation("one"))
    chain = EventChain("r-2", at=200.0)
    records = [generation("two"), (RecordKind.TRANSACTION, transaction)]
    await write(store, chain.created(target="host"), noted(chain, *records), chain.finished("rolled-back"))

    assert await live(store) == ["r-1"]
    assert await store.history.latest_transaction("host") is None
    assert (await store.history.run("r-2"))["undone_by"] == "r-2"


async def test_undoing_a_run_that_nobody_knows_changes_nothing(store: SqliteStore) -> None:
    await install(store, "r-1", generation("one"), (RecordKind.UNDONE, {"run": "r-elsewhere"}))

    assert await live(store) == ["r-1"]


async def test_more_records_than_a_page_holds_are_all_given(store: SqliteStore) -> None:
    chain = EventChain("r-1")
    await write(store, chain.created(), noted(chain, *[("note", {"n": number}) for number in range(1001)]))

    assert [record.data["n"] for record in await store.history.records("r-1")] == list(range(1001))
