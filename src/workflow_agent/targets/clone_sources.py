"""What a clone for a rehearsal is made from; here a container. Of a host see ``host_copy``. Blocking."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker import APIClient

    from workflow_agent.targets.engine import ContainerState, Engine

__all__ = ["CLONE_REPOSITORY", "CloneImage", "CloneSource", "ContainerSource"]

#: Images of clones are called so.
CLONE_REPOSITORY = "workflow-agent-rehearsal"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneImage:
    """An image to clone from: its id, the host name of a clone, and what its labels are."""

    id: str
    hostname: str
    labels: Mapping[str, str] = field(default_factory=dict)


class CloneSource(Protocol):
    """Something that can be cloned."""

    @property
    def name(self) -> str:
        """How people call it."""

    def image(self, engine: Engine, client: APIClient, labels: Mapping[str, str], tag: str) -> CloneImage:
        """Make an image with these labels, while the original goes on.

        Raises:
            UnreachableError: The engine refused.
            CaptureError: It is too large to be copied.
        """

    def notes(self) -> list[str]:
        """Say what the clone is made of and what it lacks; asked when the image is there."""


class ContainerSource:
    """A container of the engine that makes the clone.

    Args:
        container: What the engine said of it.
    """

    def __init__(self, container: ContainerState) -> None:
        self._container = container

    @property
    def name(self) -> str:
        """Its name, as of a target."""
        return f"docker:{self._container.name}"

    def image(self, engine: Engine, client: APIClient, labels: Mapping[str, str], tag: str) -> CloneImage:
        """Make the image; see :class:`CloneSource`."""
        found = engine.get(f"/containers/{self._container.id}/json")["Config"]
        # An image has the labels of its container, which mean something to other programs: none is handed on.
        labels = dict.fromkeys(found["Labels"] or {}, "") | dict(labels)
        with engine.told(self._container.id):
            made = client.commit(self._container.id, CLONE_REPOSITORY, tag, pause=False, conf={"Labels": labels})
        return CloneImage(id=str(made["Id"]), hostname=found["Hostname"], labels=labels)

    def notes(self) -> list[str]:
        """Name its volumes."""
        notes = ["rehearsed in a clone of the container: an installation runs the script anew, and can differ"]
        if self._container.mounts:
            notes.append(f"volumes are not in the clone: {', '.join(self._container.mounts)}")
        return notes
