"""What of an integration a person without root can have: told before anything is run."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import PermissionDeniedError
from workflow_agent.model.system import escape_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.model.system import Script, Service

__all__ = ["fitted_to_home"]

#: What a manifest says where it says nothing.
_USUAL_OWNER = "root:root"
#: Templates for packages of the system.
_SYSTEM_PACKAGES = "apt/"
_SHOWN = 5


def fitted_to_home(script: Script, services: Sequence[Service], home: str) -> Script:
    """Give a script as it is run without root: files that belong to root by default belong to the person.

    Args:
        script: What shall be run, with the files that are written after it.
        services: What shall be started then.
        home: The person's home folder, to which everything is confined.

    Raises:
        PermissionDeniedError: it needs root; nothing was run.
    """
    reasons = list(_reasons(script, services, home))
    if reasons:
        shown = escape_path(os.fsencode(home))
        more = f", and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        name = script.provenance.integration or script.provenance.template
        raise PermissionDeniedError(
            f"`{name}` needs root",
            where=name,
            cause=f"{'; '.join(reasons[:_SHOWN])}{more}; without root only {shown} can be changed",
            state="nothing was run, and nothing was changed",
            hint="run the command as root, for example with `sudo`",
            details={"needs_root": reasons},
        )
    own = f"{os.geteuid()}:{os.getegid()}"
    files = tuple(replace(item, owner=own) if item.owner == _USUAL_OWNER else item for item in script.files)
    made = tuple({**one, "owner": own} if one.get("owner") == _USUAL_OWNER else one for one in script.directories)
    return replace(script, files=files, directories=made) if files or made else script


def _reasons(script: Script, services: Sequence[Service], home: str) -> Iterator[str]:
    if script.provenance.integration is not None and script.provenance.template.startswith(_SYSTEM_PACKAGES):
        yield "it changes packages of the system"
    mine = _own_names()
    written = [(item.path, item.owner, "writes") for item in script.files]
    written += [(one["path"], one.get("owner", _USUAL_OWNER), "makes") for one in script.directories]
    for path, owner, verb in written:
        shown = escape_path(os.fsencode(path))
        if not os.path.normpath(path).startswith(home.rstrip("/") + "/"):
            yield f"it {verb} {shown}"
        elif not _can_own(owner, mine):
            yield f"{shown} shall belong to {owner}"
    for service in services:
        if service.start and service.user not in mine:
            yield f"it starts {service.name} as {service.user}"


def _can_own(owner: str, mine: set[str]) -> bool:
    user, _, group = owner.partition(":")
    return owner == _USUAL_OWNER or (user in mine and (group or user) in mine)


def _own_names() -> set[str]:
    """Give the names and numbers by which the person and their group are known."""
    found = {str(os.geteuid()), str(os.getegid())}
    with suppress(KeyError):  # nobody has to be in /etc/passwd
        found.add(pwd.getpwuid(os.geteuid()).pw_name)
    return found
