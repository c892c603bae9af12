"""The host as a person without root may change it: what lies in their home folder (decision 18).

The same transactions as everywhere else, with the home folder in place of the file systems: captured in a user
namespace, committed by exchange, with plan files and before-images in ``.workflow-agent`` in that folder.
"""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import PermissionDeniedError
from workflow_agent.model.system import InitKind, escape_path
from workflow_agent.targets.capture_tier import home_mounts, home_reason
from workflow_agent.targets.host import HostTarget
from workflow_agent.targets.mounts import plan_mounts, read_mounts
from workflow_agent.targets.package_locks import PackageLocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from workflow_agent.model.system import Script, Service, TargetFacts
    from workflow_agent.targets.capture import CaptureHome
    from workflow_agent.targets.mounts import Mount, MountUse
    from workflow_agent.targets.quota import CaptureQuota, CopyScope

__all__ = ["HomeTarget", "home_folder"]

_PATH = "/usr/local/bin:/usr/bin:/bin"


def home_folder() -> str | None:
    """Give the home folder of the person who runs this, its links followed; None where they have none of their own.

    ``HOME`` counts where it names a folder of theirs (with `sudo` it may be another's), else what the system says.
    """
    named = [os.environ.get("HOME", "")]
    with suppress(KeyError):  # nobody has to be in /etc/passwd
        named.append(pwd.getpwuid(os.geteuid()).pw_dir)
    for name in named:
        if name.startswith("/") and _is_own(path := os.path.realpath(name)):
            return path
    return None


def _is_own(path: str) -> bool:
    try:
        return path != "/" and os.path.isdir(path) and os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


class HomeTarget(HostTarget):
    """What a person without root may change of this machine; implements the port ``Target``.

    Args:
        name: As people call it (``host``).
        state: Folders of our own that scripts do not see, as the one with the database.
        quota: How much a script may stage.
        copy_scope: What of the machine is copied for a rehearsal.
    """

    def __init__(
        self,
        name: str = "host",
        *,
        state: Sequence[Path] = (),
        quota: CaptureQuota | None = None,
        copy_scope: CopyScope | None = None,
    ) -> None:
        super().__init__(name, quota=quota, copy_scope=copy_scope)
        self._folder = home_folder() or "/nonexistent"
        self._base = os.fsencode(self._folder)
        paths = [os.path.realpath(path) for path in state]
        self._hidden = tuple(path for path in paths if path.startswith(self._folder + "/"))

    async def facts(self) -> TargetFacts:
        """Read facts; see the port. Nothing starts the system's services for a person without root."""
        found = await super().facts()
        self._facts = replace(found, init=InitKind.NONE)
        return self._facts

    # -- what differs from a host ------------------------------------------------------------------------------------

    def fitted(self, script: Script, services: Sequence[Service]) -> Script:
        """Give a script as it is prepared here; raises PermissionDeniedError for one that needs root."""
        from workflow_agent.targets.home_limits import fitted_to_home  # noqa: PLC0415  # late: installations only

        self._require_root()
        return fitted_to_home(script, services, self._folder)

    def _require_root(self) -> None:
        if not os.path.isdir(self._folder):
            raise PermissionDeniedError(
                "changing this system needs root",
                cause="without root what lies in the home folder can be changed, and there is none that is yours",
                state="nothing was changed",
                hint="run the command as root, for example with `sudo`, or set HOME",
            )

    def _mounts(self) -> list[tuple[Mount, MountUse]]:
        return home_mounts(plan_mounts(read_mounts(0)), self._base)

    def _static_reason(self, mounts: list[tuple[Mount, MountUse]]) -> str | None:
        del mounts
        return home_reason(plan_mounts(read_mounts(0)), self._base)

    def _home(self) -> CaptureHome:
        from workflow_agent.targets.capture import CaptureHome  # noqa: PLC0415  # late: 10 ms

        try:
            name = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            name = str(os.geteuid())
        environment = {
            "HOME": self._folder,
            "USER": name,
            "LOGNAME": name,
            "PATH": f"{self._folder}/.local/bin:{_PATH}",
        }
        return CaptureHome(point=self._folder, hidden=self._hidden, environment=environment)

    def _package_locks(self) -> PackageLocks:
        return _NoLocks(self._root)

    def _hidden_folders(self) -> frozenset[bytes]:
        return frozenset(map(os.fsencode, self._hidden))

    def _notes(self) -> tuple[str, ...]:
        shown = escape_path(self._base)
        return (f"without root only what lies in {shown} can be changed: everything else was read-only for the script",)


class _NoLocks(PackageLocks):
    """Without root nobody installs packages of the system."""

    async def acquire(self, *, wait_s: float) -> None:
        """Take nothing."""
