"""The unit that recovers before services start: its text, its place, whether it is there.

Under systemd it is wanted by ``sysinit.target`` and ordered before it; under sysvinit it is a script of run level S.
Where nothing starts services there is nothing to come before: the next command recovers.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.model.errors import UsageError
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import InitKind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAME", "UnitState", "install_unit", "remove_unit", "unit_state"]

#: Of the unit, and of the init script.
NAME = "workflow-agent-recover"
_MODULE = "workflow_agent.targets.boot_recovery"
_UNIT = f"etc/systemd/system/{NAME}.service"
_WANTED = f"etc/systemd/system/sysinit.target.wants/{NAME}.service"
_SCRIPT = f"etc/init.d/{NAME}"
#: After the local file systems are mounted, before anything else of the run level that starts something.
_STARTED = f"etc/rcS.d/S15{NAME}"

_SYSTEMD = """\
# Written by `workflow-agent recover --install-unit`; `workflow-agent recover --remove-unit` takes it away.
[Unit]
Description=Take back interrupted transactions of workflow-agent
Documentation=man:workflow-agent(1)
DefaultDependencies=no
ConditionDirectoryNotEmpty=/.workflow-agent/tx
After=systemd-remount-fs.service local-fs.target
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=PYTHONPATH={place} PYTHONDONTWRITEBYTECODE=1
ExecStart={python} -m {module}

[Install]
WantedBy=sysinit.target
"""

_SYSVINIT = """\
#!/bin/sh
# Written by `workflow-agent recover --install-unit`; `workflow-agent recover --remove-unit` takes it away.
### BEGIN INIT INFO
# Provides:          {name}
# Required-Start:    $local_fs
# Required-Stop:
# Default-Start:     S
# Default-Stop:
# Short-Description: Take back interrupted transactions of workflow-agent
### END INIT INFO
case "$1" in
start|restart|force-reload)
    [ -d /.workflow-agent/tx ] || exit 0
    PYTHONPATH={place} PYTHONDONTWRITEBYTECODE=1 exec {python} -m {module}
    ;;
stop|status) ;;
*)
    echo "usage: $0 start" >&2
    exit 3
    ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """Whether the unit is there: `kind` of init system, `path` of the unit, and what is `wrong` with it."""

    kind: InitKind
    path: str | None
    installed: bool
    wrong: str | None = None


def unit_state(root: Path, kind: InitKind) -> UnitState:
    """Look whether the unit is installed, started at boot, and names a program that is there."""
    if kind is InitKind.NONE:
        return UnitState(kind=kind, path=None, installed=False)
    unit, started = _places(kind)
    path = f"/{unit}"
    try:
        text = (root / unit).read_text(encoding="utf-8")
    except OSError:
        return UnitState(kind=kind, path=path, installed=False)
    wrong = None
    if not (root / started).is_symlink():
        wrong = "it is not started at boot"
    elif text != _text(kind, _values()):
        wrong = "it was written by another installation of workflow-agent"
    return UnitState(kind=kind, path=path, installed=True, wrong=wrong)


def install_unit(root: Path, kind: InitKind) -> str:
    """Write the unit and have it started at boot; gives its path.

    Raises:
        UsageError: nothing starts services there, or our own program is not there.
        OSError: it cannot be written.
    """
    if kind is InitKind.NONE:
        raise UsageError(
            "nothing starts services there, so nothing can come before them",
            where="--install-unit",
            hint="the next command that changes the target recovers, and so does `workflow-agent recover`",
        )
    values = _values()
    for path in (values["python"], f"{values['place']}/workflow_agent"):
        if not os.path.lexists(root / path.lstrip("/")):
            raise UsageError(
                "the target does not have this installation of workflow-agent",
                where=path,
                hint="install it there, and run the command there",
            )
    unit, started = _places(kind)
    _write(root / unit, _text(kind, values), mode=0o644 if kind is InitKind.SYSTEMD else 0o755)
    link = root / started
    link.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        link.symlink_to(os.path.relpath(f"/{unit}", f"/{started}/.."))
    return f"/{unit}"


def remove_unit(root: Path, kind: InitKind) -> bool:
    """Take the unit away; gives whether it was there."""
    if kind is InitKind.NONE:
        return False
    unit, started = _places(kind)
    (root / started).unlink(missing_ok=True)
    try:
        (root / unit).unlink()
    except FileNotFoundError:
        return False
    return True


def _places(kind: InitKind) -> tuple[str, str]:
    return (_UNIT, _WANTED) if kind is InitKind.SYSTEMD else (_SCRIPT, _STARTED)


def _values() -> dict[str, str]:
    """Name the interpreter and the package that run now."""
    return {"python": sys.executable, "place": str(Path(__file__).parents[2])}


def _text(kind: InitKind, values: Mapping[str, str]) -> str:
    template = _SYSTEMD if kind is InitKind.SYSTEMD else _SYSVINIT
    return template.format(name=NAME, module=_MODULE, **values)


def _write(path: Path, text: str, *, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(mode)
    new.replace(path)
