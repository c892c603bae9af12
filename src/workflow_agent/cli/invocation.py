"""What was typed for all commands: where settings come from, how output looks, how much of it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from workflow_agent.cli.style import Style, style_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workflow_agent.app.settings import Settings
    from workflow_agent.security.secret import Secret

__all__ = ["Invocation"]


@dataclass(slots=True, kw_only=True)
class Invocation:
    """Made once per process by the border; the root command fills it in, commands read it."""

    json: bool = False
    config: Path | None = None
    color: str | None = None
    quiet: bool = False
    verbose: int = 0
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    #: What was given as secrets, to be hidden in a crash report.
    secrets: dict[str, Secret] = field(default_factory=dict)
    _settings: Settings | None = None

    def settings(self) -> Settings:
        """Load the settings when they are first needed; raises ValidationError, NotFoundError."""
        if self._settings is None:
            from workflow_agent.app import load_settings  # noqa: PLC0415  # late: pydantic, 36 ms

            overrides: dict[str, Any] = {"output.color": self.color}
            self._settings = load_settings(self.config, overrides, self.environ)
        return self._settings

    def style(self, stream: TextIO | None = None) -> Style:
        """Say what a stream (stdout when None) can show; settings count once they are loaded."""
        output = self._settings.output if self._settings is not None else None
        return style_for(
            stream or sys.stdout,
            self.environ,
            color=self.color or (output.color if output else "auto"),
            from_option=self.color is not None,
            ascii_only=output.ascii if output else False,
            verbose=self.verbose,
        )

    def say(self, line: str = "") -> None:
        """Talk to a person, on stderr; silent with ``--quiet``."""
        if not self.quiet:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
