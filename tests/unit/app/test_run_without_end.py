"""A run that could not be written down any further: what is said of its target depends on how far it is known to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from workflow_agent.app.run_errors import without_end
from workflow_agent.model.errors import NotFoundError, OutcomeUnknownError, StoreError, WorkflowAgentError

if TYPE_CHECKING:
    from workflow_agent.model.ports import History


class Known:
    """History as far as it can be read."""

    def __init__(self, found: str | WorkflowAgentError) -> None:
        self._found = found

    async def run(self, _: str) -> dict[str, str]:
        if isinstance(self._found, WorkflowAgentError):
            raise self._found
        return {"status": self._found}


@pytest.mark.parametrize(
    ("error", "found", "state"),
    [
        (StoreError("full"), NotFoundError(), "nothing was changed"),
        (StoreError("full"), "planning", "the run on `host` has no end, nothing was changed"),
        (StoreError("full"), "running", "the run on `host` has no end; what it had begun is still there"),
        (StoreError("full"), StoreError("gone"), "the run on `host` has no end; what it had begun is still there"),
        (OutcomeUnknownError(), NotFoundError(), "the run on `host` has no end; what it had begun is still there"),
    ],
)
async def test_what_is_said_is_never_more_than_what_is_known(
    error: StoreError, found: str | WorkflowAgentError, state: str
) -> None:
    told = await without_end(error, cast("History", Known(found)), "r-1", "host")

    assert told is error
    assert (told.run_id, told.state) == ("r-1", state)
    assert ("workflow-agent resume r-1" in (told.hint or "")) is (state != "nothing was changed")
