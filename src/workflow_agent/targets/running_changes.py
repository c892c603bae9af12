"""What started services changed beside files: compared, written down, put back by a rollback (decision 31).

Two looks at the running system, before the services start and when everything holds, give listeners, modules, mounts
and settings that differ. Whoever changed one of them in between is not told apart. Listeners end with their services; a
setting gets its value back where nobody changed it since; a module goes where nobody uses it, a mount where nobody is
in it. What stays is named.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import escape_path, unescape_path
from workflow_agent.targets.live import run_live
from workflow_agent.targets.running_state import SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

__all__ = ["put_back", "running_changes"]

_MOST = 200
_TIMEOUT_S = 10.0
_WRITE = 'printf "%s\\n" "$2" >"$1"'


def running_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Say what differs between two looks, as :func:`running_state.running_state` gives them.

    Returns:
        ``{kind: listener|module|sysctl|mount, name, action: added|removed|changed, value, before}``, at most 200.
    """
    return list(_changes(before, after))[:_MOST]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    was, now = ({_socket(one): one[3] for one in side["listeners"]} for side in (before, after))
    for name in sorted(was.keys() ^ now.keys()):
        yield _change("listener", name, None, now.get(name) or None, is_new=name in now)
    for name in sorted(set(before["modules"]) ^ set(after["modules"])):
        yield _change("module", name, None, None, is_new=name in after["modules"])
    for name, value in sorted(after["settings"].items()):
        if name in before["settings"] and before["settings"][name] != value:
            yield _change("sysctl", name, before["settings"][name], value, is_new=None)
    # An earlier version did not look at mounts.
    if "mounts" in before and "mounts" in after:
        mounted, mounts = before["mounts"], after["mounts"]
        for name in sorted(mounted.keys() ^ mounts.keys()):
            yield _change("mount", name, mounted.get(name), mounts.get(name), is_new=name in mounts)


def _socket(one: Sequence[Any]) -> str:
    protocol, address, port, _ = one
    return f"{protocol} [{address}]:{port}" if ":" in address else f"{protocol} {address}:{port}"


def _change(kind: str, name: str, before: str | None, value: str | None, *, is_new: bool | None) -> dict[str, Any]:
    action = "changed" if is_new is None else "added" if is_new else "removed"
    shown = {"value": value, "before": before}
    return {"kind": kind, "name": _text(name), "action": action} | {
        key: None if one is None else _text(one) for key, one in shown.items()
    }


def _text(value: str) -> str:
    return escape_path(value.encode("utf-8", "surrogateescape"))


async def put_back(pid: int, changes: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Put settings and modules back, the services being stopped; gives what stays, with the reason.

    Args:
        pid: The target's process.
        changes: What :func:`running_changes` gave.
        now: A look at the running system.
    """
    stays: list[dict[str, Any]] = []
    listening = {_text(_socket(one)) for one in now["listeners"]}
    for change in changes:
        kind, name, added = change["kind"], str(change["name"]), change["action"] == "added"
        reason: str | None = None
        if kind == "listener" and added:
            reason = "something still listens there" if name in listening else None
        elif kind == "sysctl":
            reason = await _set(pid, change, now["settings"].get(name))
        elif kind == "module" and added and name in now["modules"]:
            result = await run_live(pid, ["rmmod", name], timeout_s=_TIMEOUT_S)
            reason = None if result.ok else result.last_lines(1) or "it cannot be unloaded"
        if reason is not None:
            stays.append({**change, "reason": reason})
    stays += [one async for one in _unmounted(pid, changes, now.get("mounts") or {})]
    named = {one["name"] for one in stays}
    for change in changes:
        # The kernel ties some to others: forwarding sets what redirects are accepted.
        if change["kind"] == "sysctl" and change["name"] not in named:
            reason = await _set(pid, change, await _value(pid, _place(change)), again=True)
            stays += [{**change, "reason": reason}] if reason is not None else []
    return stays


async def _unmounted(
    pid: int, changes: Sequence[Mapping[str, Any]], mounts: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """Take away what was mounted, the innermost first; gives what stays, and what was unmounted and stays so."""
    there = {_text(point) for point in mounts}
    for change in sorted((one for one in changes if one["kind"] == "mount"), key=_name_of, reverse=True):
        name = _name_of(change)
        if change["action"] == "removed":
            if name not in there:
                yield {**change, "reason": "it is not mounted any more; `mount` brings it back where fstab names it"}
        elif name in there:
            point = os.fsdecode(unescape_path(name))
            result = await run_live(pid, ["umount", "--", point], timeout_s=_TIMEOUT_S)
            if not result.ok:
                yield {**change, "reason": result.last_lines(1) or "it cannot be unmounted"}


def _name_of(change: Mapping[str, Any]) -> str:
    return str(change["name"])


async def _set(pid: int, change: Mapping[str, Any], found: str | None, *, again: bool = False) -> str | None:
    """Give a setting its value back; gives why it stays."""
    if found == change["before"]:
        return None
    if found != change["value"] and not again:
        return f"somebody set it to {found} since"
    place = _place(change)
    result = await run_live(pid, ["sh", "-c", _WRITE, "sh", place, str(change["before"])], timeout_s=_TIMEOUT_S)
    if not result.ok:
        return result.last_lines(1) or "it cannot be set"
    return None if await _value(pid, place) == change["before"] else "it was set, and is not as before"


def _place(change: Mapping[str, Any]) -> str:
    return SETTINGS + str(change["name"]).replace(".", "/")


async def _value(pid: int, place: str) -> str:
    return " ".join((await run_live(pid, ["cat", place], timeout_s=_TIMEOUT_S)).stdout.split())
