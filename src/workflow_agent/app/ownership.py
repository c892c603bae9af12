"""Who drives a run: a lock on a file of the run, so that others see whether its process lives."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ConflictError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["RunOwnership"]


class RunOwnership:
    """Holds ``owner`` in the folder of a run; the system gives it free when the process ends, however that happens.

    Args:
        artifacts: Gives the folder for a run's files.
    """

    def __init__(self, artifacts: Callable[[str], Path]) -> None:
        self._artifacts = artifacts

    @contextmanager
    def held(self, run_id: str) -> Iterator[None]:
        """Own a run inside the block.

        Raises:
            ConflictError: somebody drives it, another process or this one.
            StoreError: its folder cannot be written.
        """
        path = self._artifacts(run_id) / "owner"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError("the run's folder cannot be written", where=str(path), cause=error.strerror) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError("another process is driving this run", run_id=run_id) from error
            yield
        finally:
            os.close(descriptor)
