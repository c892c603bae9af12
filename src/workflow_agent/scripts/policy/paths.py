"""Places of a system that a script should not delete, open up, or write to."""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase

from workflow_agent.scripts.policy.markers import DECODED, KNOWN, MAYBE, NET

__all__ = [
    "is_block_device",
    "is_kernel_setting",
    "is_log",
    "is_under_system",
    "system_tree",
]

#: Folders that belong to the system as a whole; what lies in them may belong to one program.
_TREES = frozenset(
    [
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/home",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/usr",
        "/var",
        "/boot/efi",
        "/boot/grub",
        "/etc/apt",
        "/etc/pam.d",
        "/etc/ssh",
        "/etc/ssl",
        "/etc/systemd",
        "/etc/systemd/system",
        "/lib/modules",
        "/lib/systemd",
        "/usr/bin",
        "/usr/include",
        "/usr/lib",
        "/usr/lib32",
        "/usr/lib64",
        "/usr/lib/modules",
        "/usr/lib/systemd",
        "/usr/libexec",
        "/usr/local",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/share",
        "/var/backups",
        "/var/cache",
        "/var/lib",
        "/var/lib/apt",
        "/var/lib/dpkg",
        "/var/lib/systemd",
        "/var/log",
        "/var/mail",
        "/var/spool",
    ],
)
_UNDER = ("/bin", "/boot", "/etc", "/lib", "/lib64", "/opt", "/root", "/sbin", "/srv", "/usr", "/var")
_BLOCK = re.compile(
    r"/dev/(sd[a-z]|hd[a-z]|vd[a-z]|xvd[a-z]|nvme\d|mmcblk\d|dm-\d|md\d|loop\d|mapper/|disk/|root|mem\b|kmem\b|port\b)"
)
_LOG = re.compile(
    r"/var/log(/(\*|journal(/.*)?|audit(/.*)?|(syslog|messages|secure|auth\.log|kern\.log|wtmp|btmp|lastlog|"
    r"faillog|dpkg\.log)(\..*|\*)?))?|.*/\.(bash|zsh|sh|ksh)_history|.*/\.history"
)
_GLOB = re.compile(r"[*?\[]")


def _normal(path: str) -> str:
    """Resolve ``..`` and the like by text; a tail that matches everything in a folder stands for the folder."""
    path = re.sub(r"^~(root)?(?=/|$)", "/root", path)
    path = re.sub(r"(/(\*|\.\*|\.\[!\.\]\*|\{\*,\.\*\}|\*\*+|\*\.\*))+/?$", "/", path)
    normal = posixpath.normpath(path) if path else ""
    return "/" + normal.lstrip("/") if normal.startswith("/") else normal


def _stands_for_all(path: str) -> bool:
    return bool(re.search(r"/(\*+|\.\*|\*\.\*)/?$", path))


def system_tree(path: str, *, needs_glob: bool = False) -> str | None:
    """Give the system folder that a target means, or None.

    Unknown parts that may be empty are taken as empty, other unknown parts as a name of their own. Patterns
    are compared segment by segment. With `needs_glob` only ``/etc/*`` counts, not ``/etc``.
    """
    if needs_glob and not _stands_for_all(path):
        return None
    unknown = [segment for segment in path.split("/") if MAYBE in segment]
    if len(unknown) > 1 or (unknown and not path.strip(MAYBE)):
        return None  # several would have to be empty at once; an empty argument deletes nothing
    for marker in (KNOWN, NET, DECODED):
        path = path.replace(marker, "unknown-part")
    normal = _normal(path.replace(MAYBE, ""))
    if normal in _TREES:
        return normal
    if not _GLOB.search(normal) or not normal.startswith("/"):
        return None
    matching = (tree for tree in sorted(_TREES) if tree != "/" and _matches(tree, normal))
    return next(matching, None)


def _matches(tree: str, pattern: str) -> bool:
    names, patterns = tree.split("/")[1:], pattern.split("/")[1:]
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def is_under_system(path: str) -> bool:
    """Say whether a path lies in (or is) one of the system's own folders."""
    normal = _normal(path)
    return normal == "/" or any(normal == tree or normal.startswith(tree + "/") for tree in _UNDER)


def is_block_device(path: str) -> bool:
    """Say whether a path is a disk, a partition, a mapped device or raw memory."""
    return bool(_BLOCK.match(posixpath.normpath(path))) if path.startswith("/") else False


def is_kernel_setting(path: str) -> bool:
    """Say whether writing to a path changes the running kernel."""
    normal = posixpath.normpath(path) if path.startswith("/") else path
    return normal.startswith(("/proc/sys/", "/proc/sysrq-trigger", "/sys/"))


def is_log(path: str) -> bool:
    """Say whether a path is a system log or a shell's history."""
    return bool(_LOG.fullmatch(_normal(path) if not _stands_for_all(path) else path))
