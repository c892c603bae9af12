"""From changed files to what they mean: packages, users, groups, units, cron files. Pure.

The files of a system are the truth; these are labels over them. Whatever stands in the files is taken from
a script that may be hostile: nothing here raises over it, and all text is made printable.

Source: passwd(5), group(5), systemd.unit(5), cron(8); for packages see ``derive_packages``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Change, ChangeAction, escape_path
from workflow_agent.targets.derive_packages import package_changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    #: What a person is told about one thing, with JSON values.
    Fact: TypeAlias = dict[str, Any]
    #: Contents by path; None (or no entry) where there is no file.
    Contents: TypeAlias = Mapping[str, bytes | None]

__all__ = ["Derived", "derive_changes", "needs_content"]

_STATUS = "/var/lib/dpkg/status"
_PASSWD = "/etc/passwd"  # noqa: S105  # a path
_GROUP = "/etc/group"
_UNIT_FOLDER = r"(?:/etc|(?:/usr(?:/local)?)?/lib)/systemd/system"
_UNIT_NAME = r"[^/]+\.(?:service|socket|timer|path|target|mount|automount|swap|slice|device|scope)"
_UNIT = re.compile(rf"{_UNIT_FOLDER}/(?P<unit>{_UNIT_NAME})")
_WANTED = re.compile(rf"{_UNIT_FOLDER}/[^/]+\.(?:wants|requires)/(?P<unit>{_UNIT_NAME})")
_DROP_IN = re.compile(rf"{_UNIT_FOLDER}/(?P<unit>{_UNIT_NAME})\.d/[^/]+\.conf")
_INIT_SCRIPT = re.compile(r"/etc/init\.d/(?P<unit>[^/.][^/]*)")
_RUNLEVEL = re.compile(r"/etc/rc[2-5S]\.d/(?P<kind>[SK])\d\d(?P<unit>[^/]+)")
_CRON = re.compile(
    r"/etc/crontab|/etc/cron\.(?:d|hourly|daily|weekly|monthly|yearly)/[^/.][^/]*|/var/spool/cron/crontabs/[^/]+"
)
_TOLD = {ChangeAction.CREATED: "added", ChangeAction.DELETED: "removed"}
_CONTENT = frozenset({"content", "target", "type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What changed files mean.

    `packages`: ``{name, action: installed|removed|upgraded|downgraded, version, before}`` · `users`:
    ``{name, id, action: created|removed|changed}`` · `groups`: the same and ``added``, ``removed``: members ·
    `units`: ``{name, kind: systemd|sysvinit, action, enabled, masked}``, action is added, removed, changed or,
    where no unit file changed, enabled, disabled, masked, unmasked · `cron`: ``{path, action}`` · `notes`:
    sentences that a person should read before saying yes.
    """

    packages: tuple[Mapping[str, Any], ...] = ()
    users: tuple[Mapping[str, Any], ...] = ()
    groups: tuple[Mapping[str, Any], ...] = ()
    units: tuple[Mapping[str, Any], ...] = ()
    cron: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def needs_content(path: str) -> bool:
    """Whether :func:`derive_changes` looks into this file; a few per plan, so that only they are read.

    Of a link the target's path is the content.
    """
    return path in (_STATUS, _PASSWD, _GROUP) or _UNIT.fullmatch(path) is not None


def derive_changes(before: Contents, after: Contents, changes: Sequence[Change]) -> Derived:
    """Say what changes mean.

    Args:
        before: Contents of the files for which :func:`needs_content` holds, as they were; of links the target.
        after: The same as they become.
        changes: Every changed path.
    """
    notes: list[str] = []
    return Derived(
        packages=tuple(package_changes(before.get(_STATUS) or b"", after.get(_STATUS) or b"", notes)),
        users=tuple(_users(before.get(_PASSWD) or b"", after.get(_PASSWD) or b"", notes)),
        groups=tuple(_groups(before.get(_GROUP) or b"", after.get(_GROUP) or b"")),
        units=tuple(_units(before, after, changes)),
        cron=tuple(_cron(changes)),
        notes=tuple(notes),
    )


# -- accounts ---------------------------------------------------------------------------------------------------


def _rows(raw: bytes, least: int) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for line in raw.split(b"\n"):
        fields = [escape_path(one) for one in line.split(b":")]
        if len(fields) >= least and fields[0]:
            rows.setdefault(fields[0], fields)
    return rows


def _id(fields: list[str]) -> int | None:
    text = fields[2]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None  # noqa: PLR2004


def _action(was: list[str] | None, now: list[str] | None) -> str:
    if was is None:
        return "created"
    return "removed" if now is None else "changed"


def _users(before: bytes, after: bytes, notes: list[str]) -> list[Fact]:
    was, now = _rows(before, 7), _rows(after, 7)
    facts = []
    for name in sorted({*was, *now}):
        old, new = was.get(name), now.get(name)
        if old == new:
            continue
        number = _id(new or old or [])
        facts.append({"name": name, "id": number, "action": _action(old, new)})
        if new is not None and number == 0 and (old is None or _id(old) != 0):
            notes.append(f"user {name} has the superuser's id 0")
    return facts


def _groups(before: bytes, after: bytes) -> list[Fact]:
    was, now = _rows(before, 4), _rows(after, 4)
    facts = []
    for name in sorted({*was, *now}):
        old, new = was.get(name), now.get(name)
        if old == new:
            continue
        had, has = _members(old), _members(new)
        facts.append(
            {
                "name": name,
                "id": _id(new or old or []),
                "action": _action(old, new),
                "added": sorted(has - had),
                "removed": sorted(had - has),
            }
        )
    return facts


def _members(fields: list[str] | None) -> set[str]:
    return {one for one in fields[3].split(",") if one} if fields else set()


# -- units and cron ---------------------------------------------------------------------------------------------


def _matters(change: Change) -> bool:
    """Whether a change is one of content: touching a unit file does not change the unit."""
    if change.kind == "directory":
        return False
    return change.action is not ChangeAction.MODIFIED or not _CONTENT.isdisjoint(change.aspects)


def _units(before: Contents, after: Contents, changes: Sequence[Change]) -> list[Fact]:
    facts: dict[tuple[str, str], Fact] = {}
    # Deletions first: a link that moves from one target's folder to another leaves its unit enabled.
    for change in sorted(changes, key=lambda one: one.action is not ChangeAction.DELETED):
        if not _matters(change):
            continue
        if match := _WANTED.fullmatch(change.path):
            _unit(facts, match["unit"], "systemd")["enabled"] = change.action is not ChangeAction.DELETED
        elif match := _DROP_IN.fullmatch(change.path):
            _unit(facts, match["unit"], "systemd").setdefault("action", "changed")
        elif match := _UNIT.fullmatch(change.path):
            _unit_file(_unit(facts, match["unit"], "systemd"), change, before, after)
        elif match := _INIT_SCRIPT.fullmatch(change.path):
            _unit(facts, match["unit"], "sysvinit")["action"] = _TOLD.get(change.action, "changed")
        elif match := _RUNLEVEL.fullmatch(change.path):
            _runlevel(_unit(facts, match["unit"], "sysvinit"), match["kind"], change.action)
    return [_finished(facts[key]) for key in sorted(facts)]


def _unit(facts: dict[tuple[str, str], Fact], name: str, kind: str) -> Fact:
    return facts.setdefault((name, kind), {"name": name, "kind": kind})


def _runlevel(fact: Fact, kind: str, action: ChangeAction) -> None:
    if kind == "S":
        fact["enabled"] = action is not ChangeAction.DELETED
    elif action is not ChangeAction.DELETED:
        fact.setdefault("enabled", False)


def _unit_file(fact: Fact, change: Change, before: Contents, after: Contents) -> None:
    was_masked = before.get(change.path) == b"/dev/null"
    masked = change.action is not ChangeAction.DELETED and after.get(change.path) == b"/dev/null"
    if masked or was_masked:
        fact["masked"] = masked
    elif "action" in fact and fact["action"] != _TOLD.get(change.action):
        fact["action"] = "changed"  # removed here, added there
    else:
        fact["action"] = _TOLD.get(change.action, "changed")


def _finished(fact: Fact) -> Fact:
    enabled, masked = fact.get("enabled"), fact.get("masked")
    only = "changed" if enabled is None else _word(enabled, "enabled", "disabled")
    only = only if masked is None else _word(masked, "masked", "unmasked")
    return {
        "name": fact["name"],
        "kind": fact["kind"],
        "action": fact.get("action", only),
        "enabled": enabled,
        "masked": masked,
    }


def _word(holds: object, yes: str, no: str) -> str:
    return yes if holds else no


def _cron(changes: Sequence[Change]) -> list[Fact]:
    return [
        {"path": change.path, "action": _TOLD.get(change.action, "changed")}
        for change in sorted(changes, key=lambda one: one.path)
        if _matters(change) and _CRON.fullmatch(change.path)
    ]
