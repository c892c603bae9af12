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


#: Equal workflows that were seen, by identity: each keeps its object alive, so that no other one has its number.
_by_object: dict[int, tuple[Workflow, Definition]] = {}
_by_hash: OrderedDict[str, Definition] = OrderedDict()


def definition_of(workflow: Workflow) -> Definition:
    """Give the definition that an equal workflow had before, or this one's."""
    known = _by_object.get(id(workflow))
    if known is not None and known[0] is workflow:
        return known[1]
    found = _shared(workflow)
    if len(_by_object) >= _KEPT:
        _by_object.clear()
    _by_object[id(workflow)] = (workflow, found)
    return found


def _shared(workflow: Workflow) -> Definition:
    data = workflow.to_dict()
    digest = content_hash(data)
    found = _by_hash.pop(digest, None)
    if found is None:
        found = Definition(workflow, digest, Record(RecordKind.DEFINITION, {"hash": digest, "definition": data}))
    _by_hash[digest] = found
    if len(_by_hash) > _KEPT:
        _by_hash.popitem(last=False)
    return found
