"""A real server for tests: ``workflow-agent serve`` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["ServerProcess"]

_STOP_S = 20.0


class ServerProcess:
    """A server on a free port, or on a Unix socket, of a state folder; one that was killed can be started again.

    Args:
        state: The state folder.
        socket: Listen there in place of a port.
        environ: Variables, besides those of this process.
    """

    def __init__(self, state: Path, *, socket: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._state = state
        self._socket = socket
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[str] | None = None
        self._talk = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the object
        #: Where it listens; set once it does.
        self.url = ""
        #: Port that it has, so that it comes back to it.
        self._port = "0"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._talk.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process is not None and self._process.poll() is None:
                self.stop()
        finally:
            self.kill()
            self._talk.close()

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def token(self) -> str:
        """The token that it asks for."""
        return (self._state / "api-token").read_text(encoding="ascii").strip()

    @property
    def talk(self) -> str:
        """What it wrote to standard error so far."""
        self._talk.seek(0)
        return self._talk.read().decode("utf-8", "replace")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        where = ["--socket", str(self._socket)] if self._socket else ["--listen", f"127.0.0.1:{self._port}"]
        environ = {**os.environ, "WORKFLOW_AGENT_PATHS__STATE": str(self._state), **self._environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workflow_agent", "serve", *where],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._talk,
            text=True,
            env=environ,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said.startswith("listening on "):
            self.kill()
            raise RuntimeError(f"the server did not start: {said}{self.talk}")
        self.url = said.removeprefix("listening on ").strip()
        self._port = self.url.rpartition(":")[2]

    def stop(self) -> int:
        """Stop it as a service manager does; gives its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """End it at once, as a crash does; one that has ended is no error."""
        if self._process is not None:
            self._process.kill()
            self.ended()

    def ended(self) -> int:
        """Wait for its end; gives its exit code."""
        assert self._process is not None
        with self._process:  # closes its output
            return self._process.wait(_STOP_S)
