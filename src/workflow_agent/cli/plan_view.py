"""What would change, as a person reads it before saying yes: packages, accounts, units, files; then what it costs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.conflict_view import decision_lines, is_about
from workflow_agent.cli.drift_view import repaired_paths
from workflow_agent.cli.planned import planned_tier
from workflow_agent.cli.style import Style, clip, safe
from workflow_agent.cli.tables import counted, moment, size
from workflow_agent.model.status import CHECK_IS_NOT_RED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["CHANGE_SIGNS", "change_summary", "plan_lines", "rollback_lines", "told_lines"]

#: Sign and colour of what happens to a path; all are ASCII.
CHANGE_SIGNS = {
    "created": ("+", "green"),
    "modified": ("~", "yellow"),
    "deleted": ("-", "red"),
    "appended": (">", "cyan"),
}
_SIGNS = {
    "installed": "created",
    "added": "created",
    "enabled": "created",
    "removed": "deleted",
    "disabled": "deleted",
    "upgraded": "modified",
    "downgraded": "modified",
    **{action: action for action in CHANGE_SIGNS},
}
_SHOWN_FACTS = 8
_SHOWN_FILES = 12
_LABEL = 11
#: How targets begin the reason for leaving state data out.
_KEPT_REASON = "state data is kept"
#: Deleted and replaced paths are what a person looks for; created ones are many.
_ORDER = ("deleted", "modified", "appended", "created")
#: Who may read a file is never a detail.
_ACCESS = frozenset({"mode", "owner", "type", "xattr"})
#: What every change of accounts or packages writes.
_RECORDS = re.compile(
    r"/etc/(passwd|shadow|group|gshadow|subuid|subgid)-?$|/etc/ld\.so\.cache$|/var/(lib/dpkg|cache/debconf)/|/var/log/"
)
_TIERS = {
    "exact": "exact: everything can be taken back bit for bit",
    "approximate": "approximate: seen in a clone of the target; an installation is captured anew",
    "logical": "logical: it can be taken back, but not bit for bit",
    "needs-attention": "needs attention: not everything can be taken back",
}


def plan_lines(plan: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write a plan.

    Args:
        plan: integration, version, target, tier, tier_reason, change_set (with changes), findings, services, effects;
            action, script, restarts, left, differences, current (what is wrong with it now), keep, adopted,
            required_by, as far as they are there.
        style: What the stream shows; `verbose` shows every path.
    """
    change_set = plan.get("change_set") or {}
    stays = plan.get("stays") or ()
    changes = [change for change in change_set.get("changes") or () if change.get("path") not in stays]
    subject = plan.get("integration") or plan.get("script")
    name = " ".join(safe(part) for part in (subject, plan.get("version")) if part)
    yield style.paint(f"{name} on {safe(plan.get('target', 'host'))}", "bold")
    if plan.get("required_by"):
        yield f"  required by {', '.join(safe(name) for name in plan['required_by'])}"
    yield ""
    yield from _standing(plan, style)
    if not changes:
        yield "  no file would change" if (plan.get("current") or {}).get("reason") else "  nothing would change"
    for kind, describe in (
        ("packages", _package),
        ("users", _account),
        ("groups", _account),
        ("units", _unit),
        ("cron", _cron),
        ("kernel", _kernel),
    ):
        yield from _facts(kind, change_set.get(kind) or (), describe, style)
    leaving = plan.get("action") == "uninstall"
    if not plan.get("unchanged"):
        again = frozenset(plan.get("restarts") or ())
        services = plan.get("services") or ()
        first = [service for service in services if service.get("name") not in again]
        yield from _services(first, "stops" if leaving else "starts", style)
        yield from _services([one for one in services if one not in first], "restarts", style)
    yield from _left(plan.get("left") or (), style)
    yield from (_label("keeps", safe(path), style) for path in plan.get("keep") or ())
    yield from (_label("stays", safe(path), style) for path in stays)
    yield from _files(changes, change_set.get("bytes_added") or 0, style, own=bool(plan.get("script")))
    yield from _remarks(change_set, stays, style)
    yield from _findings(plan.get("findings") or (), style)
    yield from told_lines(plan.get("told") or (), style)
    yield from _effects(plan.get("effects") or (), style)
    yield from _tier(plan, style)


def change_summary(changes: Mapping[str, Any]) -> str:
    """Write the counts of a run's changes in one line."""
    counts = [f"{changes[action]:,} {action}" for action in CHANGE_SIGNS if changes.get(action)]
    return ", ".join(counts) or "nothing"


def _label(label: str, text: str, style: Style) -> str:
    return f"  {style.paint(label.ljust(_LABEL), 'bold')}{text}"


def _item(action: str, text: str, style: Style) -> str:
    sign, color = CHANGE_SIGNS[_SIGNS.get(action, "modified")]
    room = None if style.width is None else style.width - 6
    return f"    {style.paint(sign, color)} {clip(text, room, ellipsis=style.glyph('…', '...'))}"


def _facts(
    label: str, facts: Sequence[Mapping[str, Any]], describe: Callable[[Mapping[str, Any]], str], style: Style
) -> Iterator[str]:
    if not facts:
        return
    actions = [str(fact.get("action")) for fact in facts]
    yield _label(label, ", ".join(f"{actions.count(one)} {safe(one)}" for one in dict.fromkeys(actions)), style)
    shown = facts if style.verbose else facts[:_SHOWN_FACTS]
    yield from (_item(str(fact.get("action")), describe(fact), style) for fact in shown)
    yield from _more(len(facts) - len(shown), style)


def _more(number: int, style: Style) -> Iterator[str]:
    if number > 0:
        yield f"      {style.glyph('…', '...')} and {number:,} more (`--verbose` shows all)"


def _package(fact: Mapping[str, Any]) -> str:
    before, version = fact.get("before"), fact.get("version")
    both = before and version and before != version
    versions = f"{safe(before)} -> {safe(version)}" if both else safe(version or before or "")
    return f"{safe(fact.get('name'))} {versions}".rstrip()


def _account(fact: Mapping[str, Any]) -> str:
    number = f" (id {safe(fact['id'])})" if fact.get("id") is not None else ""
    members = "".join(
        f", {word} {', '.join(safe(name) for name in fact[key])}"
        for key, word in (("added", "with"), ("removed", "without"))
        if fact.get(key)
    )
    return f"{safe(fact.get('name'))}{number}{members}"


def _unit(fact: Mapping[str, Any]) -> str:
    words = ["init script"] if fact.get("kind") == "sysvinit" else []
    words += [str(fact["action"])] if fact.get("action") not in {None, "added"} else []
    if fact.get("enabled") is not None:
        words.append("starts with the machine" if fact["enabled"] else "does not start with the machine")
    told = f" ({safe(', '.join(words))})" if words else ""
    return f"{safe(fact.get('name'))}{told}"


def _standing(plan: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write how what is wanted stands to what is installed: other values, what is wrong, what is not ours."""
    if plan.get("adopted"):
        yield _label("note", "not installed by workflow-agent: only this uninstall can be rolled back", style)
    differences = plan.get("differences") or {}
    versions = differences.get("version")
    if versions:
        yield _label("version", f"{safe(versions['before'])} -> {safe(versions['after'])}", style)
    for one in differences.get("parameters") or ():
        values = f"{safe(_given(one['before']))} -> {safe(_given(one['after']))}"
        yield _label("parameter", f"{safe(one['name'])}: {values}", style)
    for name in differences.get("dropped") or ():
        yield _label("dropped", f"parameter {safe(name)}: there is none any more", style)
    current = plan.get("current") or {}
    drift = current.get("drift") or ()
    drifted = {item.get("path") for item in drift}
    rest = [path for path in current.get("missing") or () if path not in drifted]
    yield from (_label("missing", safe(path), style) for path in rest)
    yield from (_label("drifted", text, style) for text in repaired_paths(drift, _paths(plan)))
    for check in current.get("checks") or ():
        if check.get("status") not in CHECK_IS_NOT_RED:
            text = f"{safe(check.get('id'))}: {safe(check.get('observed'))} (expected {safe(check.get('expected'))})"
            yield _label("wrong", style.paint(text, "red"), style)


def _paths(plan: Mapping[str, Any]) -> set[str]:
    return {str(change.get("path")) for change in (plan.get("change_set") or {}).get("changes") or ()}


def _given(value: object) -> object:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else value


def _services(services: Sequence[Mapping[str, Any]], label: str, style: Style) -> Iterator[str]:
    if services:
        named = [
            safe(service.get("name"))
            + (f" ({', '.join(safe(port) for port in service['listens'])})" if service.get("listens") else "")
            for service in services
        ]
        yield _label(label, ", ".join(named), style)


def _left(left: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write what a script asked of services and is not done, with the command that a person would type."""
    for one in left:
        yield _label(
            "not done", style.paint(f"`{safe(one.get('command'))}`: {safe(one.get('reason'))}", "yellow"), style
        )


def _files(changes: Sequence[Mapping[str, Any]], added: int, style: Style, *, own: bool = False) -> Iterator[str]:
    if not changes:
        return
    actions = [str(change.get("action")) for change in changes]
    counts = ", ".join(f"{actions.count(one):,} {one}" for one in CHANGE_SIGNS if one in actions)
    yield _label("files", counts + (f"; {size(added)} written" if added > 0 else ""), style)
    if style.verbose:
        yield from (_item(str(change["action"]), _path(change), style) for change in changes)
        return
    ranked = sorted(
        (change for change in changes if change.get("kind") != "directory"),
        # what a person's own script itself writes is what they look for
        key=lambda change: (own and _is_record(change), _rank(change)),
    )
    shown = ranked[:_SHOWN_FILES]
    yield from (_item(str(change["action"]), _path(change), style) for change in shown)
    yield from _more(len(changes) - len(shown), style)


def _rank(change: Mapping[str, Any]) -> int:
    action = change["action"]
    return _ORDER.index(action) if action in _ORDER else len(_ORDER)


def _is_record(change: Mapping[str, Any]) -> bool:
    """Tell whether a change is one that packages and accounts tell already; never one of who may read a file."""
    known = _RECORDS.match(str(change.get("path"))) is not None and change["action"] != "deleted"
    return known and _ACCESS.isdisjoint(change.get("aspects") or ())


def _path(change: Mapping[str, Any]) -> str:
    aspects = ", ".join(safe(one) for one in change.get("aspects") or ())
    kind = "" if change.get("kind") == "file" else f" ({safe(change.get('kind'))})"
    told = f"  {aspects}" if aspects and change.get("action") == "modified" else ""
    return f"{safe(change.get('path'))}{kind}{told}"


def _remarks(change_set: Mapping[str, Any], stays: Sequence[str], style: Style) -> Iterator[str]:
    for entry in change_set.get("dropped") or ():
        if str(entry.get("reason")).startswith(_KEPT_REASON):
            continue  # said as what is kept
        yield _label("left out", f"{safe(entry.get('path'))} ({safe(entry.get('reason'))})", style)
    for note in change_set.get("notes") or ():
        if is_about(str(note), stays):
            continue
        yield _label("note", style.paint(safe(note), "yellow"), style)


def _findings(findings: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    for finding in findings:
        severity = str(finding.get("severity"))
        if severity == "info" and not style.verbose:
            continue
        allowed = ", allowed" if finding.get("allowed") else ""
        line = f"line {finding.get('line')}, " if finding.get("line") else ""
        text = f"{safe(finding.get('message'))} ({line}{safe(finding.get('rule'))}{allowed})"
        yield _label(safe(severity), style.paint(text, "red" if severity == "error" else "yellow"), style)


def told_lines(told: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write what of a script is no shell text, and whence the facts are that it stands upon."""
    for one in told:
        match one.get("kind"):
            case "hook":
                text = f"Python {safe(one.get('file'))}, sha256 {safe(one.get('sha256'))} ({safe(one.get('when'))})"
                yield _label("hook", style.paint(text, "yellow"), style)
            case "validation":
                argv = " ".join(safe(word) for word in one.get("argv") or ())
                yield _label("judged by", f"`{argv}` ({safe(one.get('label'))})", style)
            case _:
                where = f"{safe(one.get('address'))} {safe(one.get('selector'))}"
                value = f"{safe(one.get('fact'))} {safe(one.get('value'))}"
                block = one.get("template")
                lines = f"lines {one.get('first')}-{one.get('last')} of {safe(block)}" if block else "all of the file"
                yield _label("from", f"{value}: {where}, sha256 {safe(one.get('text_sha256'))} ({lines})", style)


def _cron(fact: Mapping[str, Any]) -> str:
    return safe(fact.get("path"))


def _kernel(fact: Mapping[str, Any]) -> str:
    value, before = fact.get("value"), fact.get("before")
    told = " -> ".join(safe(one) for one in (before, value) if one)
    return f"{safe(fact.get('kind'))} {safe(fact.get('name'))}{f' = {told}' if told else ''} (at the next start)"


def _effects(effects: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    for effect in effects:
        lasting = effect.get("kind") == "irreversible"
        text = safe(effect.get("description"))
        yield _label("for good" if lasting else "effect", style.paint(text, "red") if lasting else text, style)


def _tier(plan: Mapping[str, Any], style: Style) -> Iterator[str]:
    if plan.get("reach"):
        text = f"{safe(plan['reach'])}: not bit for bit ({safe(plan.get('reach_reason'))})"
        yield _label("this is", style.paint(text, "yellow"), style)
    told = planned_tier(plan, plan.get("change_set"))
    tier = told["tier"] if plan.get("tier") else None
    if tier:
        lasting = sum(1 for effect in plan.get("effects") or () if effect.get("kind") == "irreversible")
        text = _TIERS.get(str(tier), safe(tier))
        if lasting:
            text += f", except {counted(lasting, 'effect')} that cannot be undone"
        talked = any(one.get("stays") for one in (plan.get("change_set") or {}).get("outside") or ())
        if talked:
            text += ", except what the script did over connections"
        if told["tier_reason"]:
            text += f" ({safe(told['tier_reason'])})"
        label = "preview" if tier == "approximate" else "undo"
        is_exact = tier == "exact" and not lasting and not talked
        yield _label(label, style.paint(text, "green" if is_exact else "yellow"), style)


def rollback_lines(summary: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write what a rollback would do: the summary of its approval (see the workflow ``rollback``)."""
    subject = summary.get("integration") or summary.get("script")
    name = " ".join(safe(part) for part in (subject, summary.get("version")) if part)
    forward = summary.get("direction") == "redo"
    starts = forward is not bool(summary.get("leaving"))
    verb = "bring back" if forward else "take back"
    yield style.paint(f"{verb} {name} on {safe(summary.get('target', 'host'))}", "bold")
    yield f"  run {safe(summary.get('undoes'))}"
    if summary.get("also"):
        yield _label("and", ", ".join(safe(name) for name in summary["also"]), style)
    preview = summary.get("preview") or {}
    counts = [
        f"{preview[key]:,} {word}"
        for key, word in (("restored", "restored"), ("removed", "removed"), ("attributes", "with their attributes"))
        if preview.get(key)
    ]
    if counts:
        yield _label("paths", ", ".join(counts), style)
    for key, label in (("appended", "keep lines"), ("owned", "data"), ("kept", "kept"), ("merged", "merged")):
        paths = preview.get(key) or ()
        shown = paths if style.verbose else paths[:_SHOWN_FACTS]
        yield from (_label(label, safe(path), style) for path in shown)
        yield from _more(len(paths) - len(shown), style)
    for copy in preview.get("data") or ():
        text = f"{safe(copy['path'])} as it was on {moment(copy['taken_at'])}; what is there now is set aside"
        yield _label("data back", text, style)
    yield from decision_lines(preview.get("decided") or (), style, planned=True)
    services = [safe(service.get("name")) for service in summary.get("services") or ()]
    if services:
        yield _label("starts" if starts else "stops", ", ".join(services), style)
    for entry in preview.get("left") or ():
        yield _label("left", safe(entry.get("path", entry)), style)
    if preview.get("decided") and summary.get("tier") == "exact":
        text = "exact, but for what was decided about paths that somebody else changed"
        yield _label("undo", style.paint(text, "yellow"), style)
    elif preview.get("merged") and summary.get("tier") == "exact":
        text = "exact, but for shared files in which the records of others stay"
        yield _label("undo", style.paint(text, "yellow"), style)
    else:
        yield from _tier(summary, style)
