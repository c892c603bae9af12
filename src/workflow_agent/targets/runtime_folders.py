"""Folders in ``/run`` that come with services: found missing before, removed by a rollback.

Services make them when they start, or a package asks systemd-tmpfiles(8) for them while it is installed. They lie
outside every capture. One that stays belongs to a user that a rollback has removed: the next user gets its number, or
the next installation another one, and the service cannot write there any more.

Source: tmpfiles.d(5).
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.operations import OperationKind
from workflow_agent.targets.paths import read_in_root, stat_in_root

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workflow_agent.model.system import Service
    from workflow_agent.targets.operations import Operation

__all__ = ["asked_folders", "brought_settings", "missing_folders", "remove_folders"]

_RUNTIME = ("/run/", "/var/run/")
_UID_FIELD = 2  # of a line of passwd
_SETTINGS = rb"/(?:usr/lib|lib|etc)/tmpfiles\.d/[^/]+\.conf"
#: A line that makes a folder: its path, without specifiers and quotes.
_FOLDER_LINE = r"[dDvqQ][-+!=~^$]*\s+(?P<path>/(?:var/)?run/[^\s%\"'*?\[]+)(?:\s|$)"


def missing_folders(root_fd: int, service: Service) -> list[str]:
    """List the folders below ``/run`` that a service declares and that are not there, outer ones first."""
    declared = [spec["path"] for spec in service.directories if spec["path"].startswith(_RUNTIME)]
    return _missing(root_fd, declared)


def brought_settings(operations: Iterable[Operation]) -> list[str]:
    """List the files for systemd-tmpfiles that a transaction brought."""
    brought = [
        path
        for operation in operations
        if operation.kind in {OperationKind.CREATE, OperationKind.EXCHANGE}
        for path in (operation.path, *(operation.path + b"/" + name for name in operation.content))
    ]
    return sorted(os.fsdecode(path) for path in brought if re.fullmatch(_SETTINGS, path))


def asked_folders(root_fd: int, settings: Iterable[str]) -> list[str]:
    """List the folders below ``/run`` that such files ask for and that are not there, outer ones first.

    Raises:
        OSError: a file cannot be read.
    """
    asked = [
        match["path"].rstrip("/")
        for file in settings
        for line in read_in_root(root_fd, file).decode("utf-8", "replace").splitlines()
        if (match := re.match(_FOLDER_LINE, line.strip()))
    ]
    return _missing(root_fd, dict.fromkeys(asked))


def _missing(root_fd: int, paths: Iterable[str]) -> list[str]:
    return sorted(path for path in paths if not _is_there(root_fd, path))


def _is_there(root_fd: int, path: str) -> bool:
    try:
        stat_in_root(root_fd, path)
    except OSError:
        return False
    return True


def remove_folders(root_fd: int, paths: Iterable[str]) -> None:
    """Remove folders: whole ones whose owner is no user any more, others only where nothing is in them.

    Raises:
        OSError: the target's users cannot be read.
    """
    users = _users(root_fd)
    for path in sorted(paths, reverse=True):
        parent, _, name = os.fsencode(path).removeprefix(b"/var").strip(b"/").rpartition(b"/")
        with suppress(OSError):
            parent_fd = open_beneath(root_fd, parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_uid in users:
                    os.rmdir(name, dir_fd=parent_fd)
                else:
                    shutil.rmtree(name, dir_fd=parent_fd)
            finally:
                os.close(parent_fd)


def _users(root_fd: int) -> set[int]:
    """List the ids of the target's users."""
    lines = read_in_root(root_fd, "/etc/passwd").decode("utf-8", "replace").splitlines()
    fields = [line.split(":") for line in lines]
    return {int(field[_UID_FIELD]) for field in fields if len(field) > _UID_FIELD and field[_UID_FIELD].isdecimal()}
