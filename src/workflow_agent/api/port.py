"""What the API needs of the application, which lies above it and hands it in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from workflow_agent.api.orders import ResumeOrder, RunOrder

__all__ = ["RunEvent", "RunService"]


class RunEvent(Protocol):
    """Something that happened in a run, as people follow it."""

    @property
    def type(self) -> str:
        """Its name."""
        ...

    @property
    def timestamp(self) -> datetime:
        """When, in UTC."""
        ...

    @property
    def run_id(self) -> str:
        """In which run."""
        ...

    @property
    def workflow(self) -> str:
        """Of which workflow."""
        ...

    @property
    def step(self) -> str | None:
        """In which step."""
        ...

    @property
    def message(self) -> str:
        """A sentence for people."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """What the journal says of it."""
        ...

    @property
    def id(self) -> str:
        """How far the stream has come with it."""
        ...


class RunService(Protocol):
    """Begins runs and says what became of them."""

    async def begin(self, order: RunOrder, key: str | None) -> str:
        """Begin a run, or find the one that was begun with the key; gives its id once it is on disk.

        Raises:
            ValidationError: the workflow, its input or a secret is not valid; nothing was begun.
            ConflictError: the key belongs to a run of something else.
            BusyError: as many runs as may be are being driven.
            StoreError: the database cannot be used.
        """
        ...

    async def describe(self, run: str, wait_s: float = 0.0) -> dict[str, Any]:
        """Describe a run: where it stands, its result or its error; waits so long for its end. Raises NotFoundError."""
        ...

    async def runs(self, limit: int, status: str | None) -> list[dict[str, Any]]:
        """List runs, the newest first, each as `describe` gives it but for result and error."""
        ...

    async def resolve(self, run: str) -> str:
        """Complete the beginning of a run's id; raises NotFoundError or ConflictError."""
        ...

    async def events(self, run_id: str, after: str) -> AsyncIterator[RunEvent]:
        """Give the events of a run behind a place, to its last; raises ValidationError for what is no place."""
        ...

    async def logs(self, run: str) -> list[str]:
        """List what the steps of a run said; raises NotFoundError."""
        ...

    async def cancel(self, run: str, reason: str) -> bool:
        """Ask a run to stop; False when it is past that. Raises NotFoundError, ConflictError."""
        ...

    async def pause(self, run: str, reason: str) -> None:
        """Let nothing new start in a run. Raises NotFoundError, ConflictError."""
        ...

    async def resume(self, run: str, order: ResumeOrder) -> None:
        """Let a run go on that is paused, or that nobody drives.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has ended, or is driven and not paused.
            ParameterError: a secret is missing with which it was begun.
        """
        ...

    async def signal(self, run: str, name: str, data: Any) -> None:
        """Tell a run that something happened. Raises NotFoundError, ConflictError."""
        ...

    async def scraped(self) -> str:
        """Give figures of all runs as Prometheus reads them."""
        ...

    async def health(self) -> dict[str, Any]:
        """Say whether what is needed is there: status (ok, down), version, components by name."""
        ...
