"""Definitions that runs share: the same object for every run of one hash, and what follows from it worked out once.

A client compiles its workflow anew for each run, and a process that takes runs up reads a definition for each. What is
prepared for an object (``plan``) is of use to all of them only when they have the same one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from workflow_agent.model.event import Record, RecordKind
from workflow_agent.model.identity import content_hash
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from workflow_agent.model.workflow import Workflow

__all__ = ["Definition", "definition_of"]

#: Definitions that are remembered. `plan` remembers fewer.
_KEPT = 64


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A workflow, its hash, and the record that keeps it with RunCreated."""

    workflow: Workflow
    hash: str
    record: Record


_by_hash: OrderedDict[str, Definition] = OrderedDict()


def definition_of(workflow: Workflow) -> Definition:
    """Give the definition that an equal workflow had before, or this one's."""
    for known in reversed(_by_hash.values()):
        if known.workflow is workflow:
            return known
    data = workflow.to_dict()
    digest = content_hash(data)
    found = _by_hash.pop(digest, None)
    if found is None:
        found = Definition(workflow, digest, Record(RecordKind.DEFINITION, {"hash": digest, "definition": data}))
    _by_hash[digest] = found
    if len(_by_hash) > _KEPT:
        _by_hash.popitem(last=False)
    return found
