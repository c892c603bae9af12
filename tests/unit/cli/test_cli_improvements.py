"""`improvements`: suggestions are listed, accepted and rejected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUGGESTIONS = {
    "i-1": {"kind": "parameter", "name": "port", "value": 81, "text": "use another port"},
    "i-2": {"kind": "setting", "name": "recovery.attempts", "value": 5, "text": "try more often"},
    "i-3": {"kind": "by-hand", "text": "make room"},
}


@pytest.fixture
def suggested(state: Path) -> None:
    async def write() -> None:
        store = await SqliteStore.open(state)
        for at, (name, said) in enumerate(SUGGESTIONS.items()):
            evidence = [{"run_id": "r-9", "step": "prepare", "sign": "the line", "cause": ""}]
            row = {"improvement_id": name, "integration": "nginx", "failure": "disk", "suggestion": said}
            await store.knowledge.suggest({**row, "evidence": evidence}, at=float(at))
        await store.close()

    asyncio.run(write())


@pytest.mark.usefixtures("suggested")
def test_suggestions_are_listed_and_decided(cli: Callable[..., Any]) -> None:
    listed = cli("improvements", "list", "--json").json["data"]["items"]
    assert [item["improvement_id"] for item in listed] == ["i-3", "i-2", "i-1"]
    assert "use another port" in cli("improvements", "list", "nginx").out

    port = cli("improvements", "accept", "i-1")
    assert "from now on `install nginx` takes port=81" in port.out
    assert "run r-9, step prepare: the line" in port.out
    assert "`attempts = 5` in the section `[recovery]`" in cli("improvements", "accept", "i-2").out
    assert "for a person" in cli("improvements", "accept", "i-3").out
    assert cli("improvements", "reject", "i-3", "--json").json["data"]["state"] == "rejected"

    accepted = cli("improvements", "list", "--state", "accepted", "--json").json["data"]["items"]
    assert {item["improvement_id"] for item in accepted} == {"i-1", "i-2"}


def test_what_is_not_there_is_said(cli: Callable[..., Any]) -> None:
    assert cli("improvements", "list").out == "nothing is suggested\n"
    assert cli("improvements", "accept", "i-9").code == 5
    mistaken = cli("improvements", "list", "--state", "opne")
    assert (mistaken.code, "open" in mistaken.err) == (2, True)
