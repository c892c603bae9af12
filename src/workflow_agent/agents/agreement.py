"""What a plan file says a run will do, and how what it would do now differs from that. Pure.

What belongs here: the few things that two runs of one plan have in common. What does not: contents of files (keys that
a package makes differ each time), times, logs and caches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Disagreement", "disagreements", "expectation"]

#: What of a target's facts a plan depends upon; a kernel may be a newer one.
_FACTS = ("hostname", "os_id", "os_version", "architecture", "init", "package_manager", "tier", "identity")
_SUBJECT = ("version", "manifest_hash", "parameter_hash", "script_hash")
#: What of a path's state is the same each time.
_ACCESS = ("mode", "uid", "gid")
#: Where files change by themselves from one run to the next.
_APART = ("/var/log/", "/var/cache/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One thing that is not as planned; texts as a person reads them, None where there is nothing."""

    what: str
    planned: str | None
    now: str | None


def expectation(
    lookup: Mapping[str, Any], script: Mapping[str, Any] | None, change_set: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Give what a plan file keeps of one integration, as JSON.

    Args:
        lookup: Output of `knowledge.lookup`.
        script: Of `script-builder.build`; None where nothing is to be done.
        change_set: Of `executor.prepare`; None as well.

    Returns:
        version, manifest_hash, parameter_hash, script_hash, facts, packages (``NAME VERSION``: action), paths
        (path: ``ACTION KIND MODE UID GID``) and edited (path: since which run somebody edited what is written over).
    """
    changes = change_set or {}
    return {
        **{name: lookup.get(name) for name in _SUBJECT},
        "script_hash": (script or {}).get("hash"),
        "facts": {name: (lookup.get("facts") or {}).get(name) for name in _FACTS},
        "packages": {f"{one['name']} {one['version']}": one["action"] for one in changes.get("packages") or ()},
        "paths": {one["path"]: _path_text(one) for one in changes.get("changes") or () if _counts(one)},
        "edited": {one["path"]: f"edited since {one['run_id']}" for one in changes.get("edits") or ()},
    }


def disagreements(planned: Mapping[str, Any], now: Mapping[str, Any]) -> list[Disagreement]:
    """Compare two expectations; what is told first explains what is told later."""
    found = [_different(name.replace("_", " "), planned.get(name), now.get(name)) for name in _SUBJECT]
    for part in ("facts", "packages", "paths", "edited"):
        before, after = planned.get(part) or {}, now.get(part) or {}
        found += [_different(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    return [one for one in found if one is not None]


def _different(what: str, planned: Any, now: Any) -> Disagreement | None:  # Any: JSON values
    if planned == now:
        return None
    return Disagreement(what=what, planned=_text(planned), now=_text(now))


def _text(value: Any) -> str | None:  # Any: a JSON value
    return None if value is None else str(value)


def _counts(change: Mapping[str, Any]) -> bool:
    return not change["path"].startswith(_APART) and list(change.get("aspects") or ()) != ["mtime"]


def _path_text(change: Mapping[str, Any]) -> str:
    after = change.get("after") or {}
    return " ".join([change["action"], change["kind"], *(str(after[key]) for key in _ACCESS if key in after)])
