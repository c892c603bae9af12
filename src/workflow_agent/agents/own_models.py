"""Requests and replies as pydantic models, for agents of one's own. Ours are records (``model.data``)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Reply", "Request"]


class Request(BaseModel):
    """Data of a request. Unknown keys are errors: a workflow that says more than is understood is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Reply(BaseModel):
    """Data of a reply: a step's output."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
