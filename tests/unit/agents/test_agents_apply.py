"""A person's own script on the bus: taken, validated, captured; what it asked of services."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.requested import Unit, sort_requested
from workflow_agent.model.errors import ScriptFailedError, ScriptRefusedError, ValidationError
from workflow_agent.model.system import InitKind

if TYPE_CHECKING:
    from tests.unit.agents.conftest import Bench

TEXT = "#!/bin/bash\necho hello\n"
THERE = {
    "idle": Unit(known=True, active=False),
    "busy": Unit(known=True, active=True),
    "unseen": Unit(known=True, active=None),
    "gone": Unit(known=False, active=False),
    "masked": Unit(known=True, active=False, masked=True),
}


async def taken(bench: Bench, text: str = TEXT) -> dict[str, Any]:
    script: dict[str, Any] = (await bench.ask("script-builder.take", name="a.sh", text=text, arguments=["x"]))["script"]
    return script


async def test_a_script_is_taken_as_it_stands_and_recorded(bench: Bench) -> None:
    reply = await bench.ask("script-builder.take", name="a.sh", text=TEXT, arguments=["x"])

    script = reply["script"]
    assert script["text"] == TEXT
    assert script["hash"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert script["provenance"]["integration"] is None
    assert script["arguments"] == ["x"]
    assert [record["kind"] for record in reply["_records"]] == ["script"]
    with pytest.raises(ValidationError, match="Windows"):
        await taken(bench, "echo\r\n")


async def test_its_findings_name_it_and_are_weighed_as_its_own(bench: Bench) -> None:
    script = await taken(bench, "#!/bin/bash\nfor a in $@; do echo; done\n")
    assert (await bench.ask("validator.validate", script=script, own=True))["findings"]
    with pytest.raises(ScriptRefusedError, match="SC2068"):
        await bench.ask("validator.validate", script=script)
    with pytest.raises(ScriptRefusedError) as caught:
        await bench.ask("validator.validate", script=await taken(bench, "#!/bin/sh\nreboot\n"), own=True)
    assert str(caught.value.where).startswith("a.sh:2")


async def test_its_records_belong_to_no_integration(bench: Bench) -> None:
    reply = await bench.ask("executor.prepare", target="host", script=await taken(bench))

    kept = {record["kind"]: record["data"] for record in reply["_records"]}
    assert kept["transaction"]["integration"] is None
    assert kept["change-set"]["integration"] is None


async def test_a_failure_is_explained_with_what_may_be_behind_it(bench: Bench) -> None:
    script = await taken(bench, '#!/bin/sh\ncd "$(dirname "$0")"\nexit 3\n')

    with pytest.raises(ScriptFailedError) as caught:
        await bench.ask("executor.prepare", target="host", script=script)

    assert "looks for files beside itself" in str(caught.value.hint)


def sort(*asked: tuple[str, str], init: InitKind = InitKind.SYSTEMD, start: bool = True) -> tuple[Any, ...]:
    starts, restarts, left = sort_requested(asked, THERE, init, start=start)
    return starts, restarts, {item["command"]: item["reason"] for item in left}


@pytest.mark.parametrize(
    ("asked", "starts", "restarts"),
    [
        ([("start", "idle")], ["idle"], []),
        ([("start", "busy")], [], []),
        ([("restart", "idle"), ("restart", "busy")], ["idle"], ["busy"]),
        ([("reload", "busy"), ("try-restart", "idle"), ("reload", "idle")], [], ["busy"]),
        ([("start", "idle"), ("stop", "idle")], [], []),
        ([("stop", "idle"), ("start", "idle"), ("start", "idle")], ["idle"], []),
        ([("enable", "idle"), ("mask", "busy"), ("reset-failed", "")], [], []),
    ],
)
def test_what_a_script_asked_of_services_is_done_as_it_would_have_been(
    asked: list[tuple[str, str]], starts: list[str], restarts: list[str]
) -> None:
    assert sort(*asked) == (starts, restarts, {})


def test_what_is_not_done_is_left_with_its_reason_and_its_command() -> None:
    assert sort(("start", "gone"), ("start", "gone"), ("isolate", "rescue.target"), ("poweroff", ""))[2] == {
        "systemctl start gone": "the target has no such service",
        "systemctl isolate rescue.target": "it reaches past files and services",
        "systemctl poweroff": "it reaches past files and services",
    }
    assert sort(("start", "masked")) == ([], [], {"systemctl start masked": "it is masked: nobody can start it"})
    assert sort(("reload", "unseen"), init=InitKind.SYSVINIT)[2] == {
        "service unseen reload": "it cannot be seen whether it runs"
    }
    assert sort(("start", "unseen"), init=InitKind.SYSVINIT)[0] == ["unseen"]
    assert sort(("start", "idle"), init=InitKind.NONE)[2] == {
        "service idle start": "nothing on the target starts services"
    }
    assert sort(("start", "idle"), ("restart", "busy"), start=False) == (
        [],
        [],
        {
            "systemctl start idle": "asked not to start services",
            "systemctl restart busy": "asked not to start services",
        },
    )


def test_reading_units_again_is_left_only_where_no_start_does_it() -> None:
    assert sort(("daemon-reload", ""))[2] == {"systemctl daemon-reload": "no service is started, which would do it"}
    assert sort(("daemon-reload", ""), ("start", "idle"))[2] == {}
    assert sort(("daemon-reload", ""), init=InitKind.SYSVINIT)[2] == {}


async def test_actions_are_looked_up_on_the_target_and_kept_for_the_rollback(bench: Bench) -> None:
    changes = {
        "changes": [{"path": "/srv/x", "action": "created"}],
        "requested": [{"verb": "start", "unit": "a.service"}],
    }

    reply = await bench.ask("knowledge.requested", target="host", script="a.sh", change_set=changes)

    assert (reply["services"], reply["restarts"], reply["pending"]) == ([], [], True)
    assert [item["command"] for item in reply["left"]] == ["service a start"]
    assert reply["facts"]["target"] == "host"
    assert reply["_changed"] is False
    (record,) = reply["_records"]
    assert (record["kind"], record["data"]["script"], record["data"]["integration"]) == ("subject", "a.sh", None)


async def test_nothing_changed_and_nothing_asked_is_nothing_to_do(bench: Bench) -> None:
    reply = await bench.ask("knowledge.requested", target="host", script="a.sh", change_set={"changes": []})

    assert reply["pending"] is False
