"""Facts about a target, read from its own files, never from a cache. Nothing of the target is executed."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

from workflow_agent.model.system import InitKind, TargetFacts, Tier
from workflow_agent.targets.capabilities import capabilities_of
from workflow_agent.targets.paths import open_root, read_in_root, stat_in_root
from workflow_agent.targets.probes import Prober

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["parse_os_release", "read_facts", "read_system"]

_SMALL = 64 << 10
#: First one found wins; a system may carry more than one.
_PACKAGE_MANAGERS = (
    ("apt", "/usr/bin/apt-get"),
    ("dnf", "/usr/bin/dnf"),
    ("microdnf", "/usr/bin/microdnf"),
    ("yum", "/usr/bin/yum"),
    ("zypper", "/usr/bin/zypper"),
    ("apk", "/sbin/apk"),
    ("pacman", "/usr/bin/pacman"),
)
_SERVICE_COMMANDS = ("/usr/sbin/service", "/sbin/service")
_NOT_TRIED = "it was not tried whether an overlay can be mounted here"


async def read_facts(
    target: str,
    pid: int,
    *,
    prober: Prober | None = None,
    try_overlay: Callable[[], Awaitable[str | None]] | None = None,
    needs_root: bool = True,
) -> TargetFacts:
    """Read the facts of the target in which process `pid` lives (0: this machine as we see it).

    Args:
        target: The target's name, as it is shown.
        pid: A process of the target, for example its init.
        prober: Asked for the host name, which belongs to a namespace; one is made and closed when omitted.
        try_overlay: Mounts an overlay on the target's root and takes it away; gives why that fails, or None.
        needs_root: Whether nothing can be captured without root.

    Raises:
        UnreachableError: The target cannot be entered.
        OSError: Its root folder cannot be opened.
    """
    hostname = await _hostname(pid, prober)
    is_root = os.geteuid() == 0
    if needs_root and not is_root:
        reason: str | None = "not root: nothing can be captured"
    else:
        reason = await try_overlay() if try_overlay else _NOT_TRIED
    release, init, manager = await asyncio.to_thread(_read, pid)
    system = os.uname()
    return TargetFacts(
        target=target,
        hostname=hostname,
        os_id=release.get("ID", "linux"),
        os_version=release.get("VERSION_ID", ""),
        os_codename=release.get("VERSION_CODENAME", ""),
        os_like=tuple(release.get("ID_LIKE", "").split()),
        architecture=system.machine,
        kernel=system.release,
        init=init,
        package_manager=manager,
        is_root=is_root,
        tier=Tier.LOGICAL if reason else Tier.EXACT,
        tier_reason=reason,
        capabilities=capabilities_of(pid),
    )


async def _hostname(pid: int, prober: Prober | None) -> str:
    if pid == 0:
        return os.uname().nodename
    if prober is not None:
        return await prober.hostname()
    own = Prober(pid)
    try:
        return await own.hostname()
    finally:
        await own.close()


def _read(pid: int) -> tuple[dict[str, str], InitKind, str | None]:
    with open_root(pid) as root:
        return read_system(root)


def read_system(root: int) -> tuple[dict[str, str], InitKind, str | None]:
    """Read `os-release`, the init system and the package manager below an opened root folder."""
    manager = next((name for name, path in _PACKAGE_MANAGERS if _exists(root, path)), None)
    return _os_release(root), _init(root), manager


def _os_release(root: int) -> dict[str, str]:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            return parse_os_release(read_in_root(root, path, limit=_SMALL).decode("utf-8", "replace"))
        except OSError:
            continue
    return {}


def parse_os_release(text: str) -> dict[str, str]:
    r"""Read `os-release` without a shell: ``KEY=value``, ``KEY="value"``, ``KEY='value'``, ``\`` escapes.

    Lines that are not assignments are skipped; the last of equal keys counts.
    Source: os-release(5).
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key.isidentifier() and key.isascii():
            found[key] = _unquote(value)
    return found


def _unquote(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return re.sub(r"\\(.)", r"\1", value)


def _init(root: int) -> InitKind:
    """Tell what starts services. systemd must be running, not only installed."""
    if _exists(root, "/run/systemd/system") and _first_process(root) == "systemd":
        return InitKind.SYSTEMD
    scripts = _exists(root, "/etc/init.d") and _exists(root, "/lib/lsb/init-functions")
    if scripts or any(_exists(root, path) for path in _SERVICE_COMMANDS):
        return InitKind.SYSVINIT
    return InitKind.NONE


def _first_process(root: int) -> str:
    """Name PID 1 as the target's own procfs shows it."""
    try:
        return read_in_root(root, "/proc/1/comm", limit=_SMALL).decode("utf-8", "replace").removesuffix("\n")
    except OSError:
        return ""


def _exists(root: int, path: str) -> bool:
    try:
        stat_in_root(root, path)
    except OSError:
        return False
    return True
