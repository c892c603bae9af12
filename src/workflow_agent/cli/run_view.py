"""Runs as people read them: how one ended, one in full, many in a table, its changes path by path."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.calls_view import call_lines
from workflow_agent.cli.conflict_view import decision_lines
from workflow_agent.cli.drift_view import drift_lines, repaired_paths
from workflow_agent.cli.plan_view import CHANGE_SIGNS, change_summary, told_lines
from workflow_agent.cli.running_view import running_lines
from workflow_agent.cli.style import Style, safe
from workflow_agent.cli.tables import Column, ago, counted, duration, moment, size, table
from workflow_agent.model.status import CHECK_IS_NOT_RED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["check_lines", "diff_lines", "ending_lines", "history_lines", "run_lines", "run_subject"]

_HISTORY = (
    Column("run_id", "run"),
    Column("status", "status", is_status=True),
    Column("action", "action", rank=1),
    Column("integration", "integration", shrinks=True),
    Column("target", "target", rank=3),
    Column("when", "when", rank=2),
    Column("user", "by", rank=4),
)
#: How a check that is not red is marked; all others are.
_CHECK_SIGNS = {"passed": ("succeeded", "green"), "not-applicable": ("skipped", "dim")}
_TAIL = 10
_REMAINDER = 20
_METRICS = 20
#: Below this many columns the verb of a run is worth more than the rest of its id.
_NARROW = 80
#: `r-` and the ten characters of a ULID that are its milliseconds.
_MOMENT = 12


def run_subject(run: Mapping[str, Any]) -> str:
    """Name what a run is about."""
    if run.get("action") == "run":  # of a person's own workflow, which has no target
        return f"run {safe(run['workflow'])}"
    parts = [run.get("action") or run.get("workflow"), _about(run), run.get("version")]
    return f"{' '.join(safe(part) for part in parts if part)} on {safe(run.get('target') or 'host')}"


def _about(run: Mapping[str, Any]) -> Any:  # Any: whatever history gives
    """Name the integration of a run, or the script or the workflow of a person's own."""
    inputs = run.get("inputs") or {}
    if run.get("action") == "run":
        return run.get("workflow")
    return run.get("integration") or (run.get("script") or {}).get("name") or inputs.get("name")


def ending_lines(run: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write how a run ended: state, what changed, checks, its id, and the command that takes it back."""
    status = str(run["status"])
    took = duration(run.get("started_at"), run.get("finished_at"))
    yield f"{style.status(status)}  {run_subject(run)}{f' in {took}' if took else ''}"
    if status == "succeeded" and run.get("undoes"):
        yield f"  undid     {safe(run['undoes'])}"
    elif status == "succeeded" and run.get("action") not in {"plan", "verify", "prune", "run"}:
        yield f"  changed   {change_summary(run['changes']) if run.get('changed') else _nothing(run)}"
    yield from _requirement_lines(run.get("requirements") or (), style)
    yield from _broken_lines(run, style)
    yield from check_lines(run.get("checks") or (), style)
    yield from drift_lines(run.get("drift"), style)
    yield from decision_lines(run.get("decisions") or (), style)
    yield from running_lines(run.get("running"), style)
    yield from _copied_lines(run.get("copied") or ())
    yield from _own_lines(run, style)
    yield from _pruned_lines(run)
    yield from _remainder_lines(run, style)
    yield f"  run       {safe(run['run_id'])}"
    if run.get("rollback_command"):
        yield f"  undo      {style.paint(safe(run['rollback_command']), 'bold')}"


def _nothing(run: Mapping[str, Any]) -> str:
    told = {"uninstall": "nothing: it is not installed", "apply": "nothing: everything is as the script wants it"}
    return told.get(str(run.get("action")), "nothing: it is as wanted")


def _own_lines(run: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write what a person's own script asked of services: what was done, and what was not."""
    if run.get("started"):
        yield f"  started   {', '.join(safe(name) for name in run['started'])}"
    if run.get("status") == "succeeded":
        for one in run.get("left") or ():
            text = f"`{safe(one['command'])}`: {safe(one['reason'])}"
            yield f"  not done  {style.paint(text, 'yellow')}"


def _remainder_lines(run: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write what is not as it was before, after a rollback that was not exact."""
    remainder = run.get("remainder")
    if remainder is None:
        return
    items = remainder["items"]
    if not remainder["compared"]:
        yield f"  differs   {style.paint('not known: nobody knows any more what was there before', 'yellow')}"
    if not items:
        yield from () if not remainder["compared"] else ("  differs   nothing but times",)
        return
    yield f"  differs   {counted(len(items), 'path is', 'paths are')} not as before the run"
    shown = items if style.verbose else items[:_REMAINDER]
    for item in shown:
        aspects = f" ({', '.join(safe(one) for one in item['aspects'])})" if item["aspects"] else ""
        yield f"    {safe(item['state']).ljust(8)} {safe(item['path'])}{aspects}"
    if len(items) > len(shown):
        yield f"    and {len(items) - len(shown):,} more; `workflow-agent show {safe(run['run_id'])} -v` lists all"


def _pruned_lines(run: Mapping[str, Any]) -> Iterator[str]:
    """Write what a run gave up, on which target, and how much that freed."""
    if pruned := run.get("pruned"):
        told = f"{size(pruned['bytes'])} on {safe(run.get('target') or 'host')}"
        yield f"  freed     {told}: before-images of {counted(len(pruned['runs']), 'run')}"
        yield from (f"    {safe(name)}" for name in pruned["runs"])


def _requirement_lines(requirements: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write what came with it or was there, and how surely that can be taken back."""
    for one in requirements:
        text = f"{safe(one['integration'])} {safe(one['version'])}: {safe(one['state'])}"
        if one["state"] == "adopted":
            text = style.paint(f"{text}: verifiable, not exactly rollbackable", "yellow")
        yield f"  requires  {text}"


def _broken_lines(run: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write what a run found that it was there to put right, and which of it it left alone."""
    broken = run.get("broken") or {}
    drift = broken.get("drift") or ()
    drifted = {item.get("path") for item in drift}
    for path in broken.get("missing") or ():
        if path not in drifted:
            yield f"  was wrong {safe(path)}: missing or replaced"
    changed = {item["path"] for item in (run.get("changes") or {}).get("items") or ()}
    yield from (f"  was wrong {text}" for text in repaired_paths(drift, changed))
    for check in broken.get("checks") or ():
        if check.get("status") not in CHECK_IS_NOT_RED:
            text = f"{safe(check.get('id'))}: {safe(check.get('observed'))} (expected {safe(check.get('expected'))})"
            yield f"  was wrong {style.paint(text, 'yellow')}"


def check_lines(checks: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write checks: all of them where one failed or with `verbose`, else their number and what they observed."""
    if not checks:
        return
    made = [check for check in checks if check.get("status") != "not-applicable"]
    passed = [check for check in made if check.get("status") == "passed"]
    others = f", {len(checks) - len(made)} not applicable" if len(made) < len(checks) else ""
    yield f"  checks    {len(passed)} of {len(made)} passed{others}"
    for check in checks:
        status = str(check.get("status"))
        sign, color = _CHECK_SIGNS.get(status, ("failed", "red"))
        text = f"{safe(check.get('id'))}: {safe(check.get('observed'))}"
        if status not in CHECK_IS_NOT_RED:
            text += f" (expected {safe(check.get('expected'))})"
        yield f"    {style.paint(style.symbol(sign), color)} {text}"


def history_lines(runs: Sequence[Mapping[str, Any]], style: Style, *, now: float | None = None) -> Iterator[str]:
    """Write a table of runs, newest first; times are relative on a terminal and exact in a pipe."""
    if not runs:
        yield "no run yet; `workflow-agent integrations list` shows what can be installed"
        return
    present = time.time() if now is None else now
    shown = _characters([run["run_id"] for run in runs], style.width)
    rows = [
        {
            **run,
            "run_id": run["run_id"][:shown],
            "integration": _about(run),
            "when": _when(run.get("created_at"), present, style),
            "status": _state_of(run),
        }
        for run in runs
    ]
    yield from table(_HISTORY, rows, style)


def _characters(ids: Sequence[str], width: int | None) -> int | None:
    """How much of each id a narrow terminal shows: what tells it from the others, and its moment; None: all of it."""
    if width is None or width >= _NARROW:
        return None
    return next((at for at in range(_MOMENT, len(ids[0])) if len({one[:at] for one in ids}) == len(ids)), None)


def _state_of(run: Mapping[str, Any]) -> str:
    """An old run that was taken back reads as rolled back."""
    return "rolled-back" if run.get("undone_by") else str(run["status"])


def _when(at: float | None, now: float, style: Style) -> str:
    return ago(at, now) if style.width is not None else moment(at)


def _copied_lines(copies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for copy in copies:
        yield f"  copied    {safe(copy['path'])}: {counted(copy['entries'], 'entry', 'entries')}, {size(copy['bytes'])}"


def _accuracy_lines(measured: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write how much of a plan is so, and what is not."""
    for one in measured:
        if not (one["compared"] and one["planned"]):
            continue
        items, about = one["items"], f" ({safe(one['integration'])})" if len(measured) > 1 else ""
        yield f"  planned   {one['planned'] - len(items):,} of {counted(one['planned'], 'path')} as planned{about}"
        for item in items if style.verbose else items[:_REMAINDER]:
            aspects = f" ({', '.join(safe(name) for name in item['aspects'])})" if item["aspects"] else ""
            yield f"    {safe(item['state'])} {safe(item['path'])}{aspects}"


def _metric_lines(metrics: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write what steps measured: ``crunch container_cpu_s 0.82 (container fetcher)``."""
    shown = metrics if style.verbose else metrics[:_METRICS]
    for number, one in enumerate(shown):
        tags = ", ".join(f"{safe(name)} {safe(value)}" for name, value in (one.get("tags") or {}).items())
        text = f"{safe(one.get('step'))} {safe(one['name'])} {one['value']:,.15g}" + (f" ({tags})" if tags else "")
        yield f"  {'' if number else 'measured':9} {text}"
    if len(metrics) > len(shown):
        yield f"  {'':9} and {len(metrics) - len(shown):,} more (`--verbose` shows all)"


def run_lines(run: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write a run in full."""
    yield style.paint(run_subject(run), "bold")
    yield from _facts(run, style)
    yield from _steps(run.get("steps") or (), style)
    yield from _requirement_lines(run.get("requirements") or (), style)
    yield from _broken_lines(run, style)
    yield from check_lines(run.get("checks") or (), style)
    yield from drift_lines(run.get("drift"), style)
    yield from decision_lines(run.get("decisions") or (), style)
    yield from running_lines(run.get("running"), style)
    yield from _copied_lines(run.get("copied") or ())
    yield from _accuracy_lines(run.get("accuracy") or (), style)
    yield from _metric_lines(run.get("metrics") or (), style)
    yield from call_lines(run.get("tool_calls") or (), style)
    yield from _own_lines(run, style)
    yield from _pruned_lines(run)
    yield from _remainder_lines(run, style)
    for finding in run.get("findings") or ():
        yield f"  finding   {_finding(finding)}"
    for attempt in run.get("attempts") or ():
        yield f"  attempt   {_attempt(attempt)}"
    yield from _error(run.get("error"), style)
    output = run.get("output")
    if isinstance(output, dict) and output.get("tail") and (run.get("error") or style.verbose):
        yield "  output"
        yield from (f"    | {safe(line)}" for line in output["tail"][-_TAIL:])
    yield from _undo_lines(run, style)


def _undo_lines(run: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write how the run can be taken back now: how well, why, and by which command."""
    rollback = run.get("rollback")
    command = rollback["command"] if rollback else run.get("rollback_command")
    if rollback:
        text = f"{safe(rollback['tier'])}: {safe(rollback['reason'])}"
        yield f"  undo      {style.paint(text, 'green' if rollback['tier'] == 'exact' else 'yellow')}"
    if command:
        yield f"  {'' if rollback else 'undo':9} {style.paint(safe(command), 'bold')}"


def _attempt(attempt: Mapping[str, Any]) -> str:
    """Write a failed attempt: its class, what was done about it, where its evidence is."""
    text = f"{attempt.get('attempt')} of {safe(attempt.get('step'))} failed ({safe(attempt.get('class'))})"
    pause = attempt.get("pause_s")
    done = f"tried again after {pause:g} s" if pause is not None else str(attempt.get("decision", "")).replace("-", " ")
    text += f", {safe(done)}: {safe(attempt.get('cause') or attempt.get('message'))}"
    return text + (f"; evidence in {safe(attempt['folder'])}" if attempt.get("folder") else "")


def _finding(finding: Mapping[str, Any]) -> str:
    """Write what the validator found, where it comes from, and who allowed it."""
    line = f", line {finding.get('line')}" if finding.get("line") else ""
    text = f"{safe(finding.get('rule'))}{line}: {safe(finding.get('message'))}"
    if finding.get("origin"):
        text += f" ({safe(finding['origin'])})"
    if finding.get("keys"):
        text += f", from {', '.join(safe(key) for key in finding['keys'])}"
    return text + (f"; allowed by {safe(finding.get('allowed_by') or '?')}" if finding.get("allowed") else "")


def _facts(run: Mapping[str, Any], style: Style) -> Iterator[str]:
    yield f"  run       {safe(run['run_id'])}"
    yield f"  status    {style.status(str(run['status']))}"
    who = " on ".join(safe(part) for part in (run.get("user"), run.get("host")) if part)
    took = duration(run.get("started_at"), run.get("finished_at"))
    yield f"  when      {moment(run.get('started_at'))}{f', {took}' if took else ''}{f', by {who}' if who else ''}"
    if script := run.get("script"):
        words = [script["interpreter"], script["name"], *script["arguments"]]
        yield f"  script    {safe(' '.join(words))}, sha256 {safe(script['hash'])}"
    yield from told_lines(run.get("told") or (), style)
    if run.get("changed") and not run.get("undoes") and not run.get("pruned"):
        yield f"  changed   {change_summary(run['changes'])}"
    if run.get("tier") and not run.get("rollback"):  # which says what holds now
        yield f"  tier      {safe(run['tier'])}"
    yield from _own_facts(run)
    if run.get("undoes"):
        yield f"  undoes    {safe(run['undoes'])}"
    if run.get("undone_by"):
        yield f"  undone by {safe(run['undone_by'])}"
    if run.get("pruned_by"):
        yield f"  pruned by {safe(run['pruned_by'])}"


def _own_facts(run: Mapping[str, Any]) -> Iterator[str]:
    """Write what people said of a run of their own workflow: tags, where it comes from, what they changed in it."""
    if run.get("tags"):
        yield f"  tags      {', '.join(safe(f'{name}={value}') for name, value in run['tags'].items())}"
    if run.get("origin"):
        yield f"  made from {safe(run['origin'])}"
    for change in run.get("altered") or ():
        told = {name: value for name, value in change.items() if name != "by"}
        who = f", by {safe(change['by'])}" if change.get("by") else ""
        yield f"  altered   {safe(json.dumps(told, ensure_ascii=False))}{who}"


def _steps(steps: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    shown = [step for step in steps if style.verbose or step.get("status") not in {"skipped", "pending"}]
    if not shown:
        return
    yield "  steps"
    widest = max(len(str(step["id"])) for step in shown)
    for step in shown:
        took = duration(step.get("started_at"), step.get("finished_at"))
        reason = f"  {safe(step['reason'])}" if step.get("reason") else ""
        state = style.status(str(step["status"]), width=12)
        yield f"    {safe(step['id']).ljust(widest)}  {state} {took}{reason}".rstrip()


def _error(error: Mapping[str, Any] | None, style: Style) -> Iterator[str]:
    if not error:
        return
    yield f"  {style.paint('error', 'red')}     {safe(error.get('message'))} [{safe(error.get('code'))}]"
    for key in ("where", "cause", "state"):
        if error.get(key):
            yield f"  {key.ljust(9)} {safe(error[key])}"


def diff_lines(changes: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write every path that a run changed, with what it was and what it became."""
    if not changes:
        yield "the run changed no path"
    for change in changes:
        sign, color = CHANGE_SIGNS.get(str(change.get("action")), ("~", "yellow"))
        kind = "" if change.get("kind") == "file" else f" ({safe(change.get('kind'))})"
        before, after = change.get("before") or {}, change.get("after") or {}
        one_side = "" if before and after else f"  {_described(before or after)}"
        yield f"{style.paint(sign, color)} {safe(change.get('path'))}{kind}{one_side}".rstrip()
        if before and after:
            yield from _differences(change, before, after)


def _differences(change: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    aspects = [safe(aspect) for aspect in change.get("aspects") or ()]
    if aspects:
        yield f"    changed: {', '.join(aspects)}"
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        if was != now:
            yield f"    {safe(key)}: {_value(key, was)} -> {_value(key, now)}"


def _described(facts: Mapping[str, Any]) -> str:
    told = [f"{safe(key)} {_value(key, facts[key])}" for key in ("mode", "uid", "gid", "target") if key in facts]
    if facts.get("size"):
        told.append(_value("size", facts["size"]))
    return ", ".join(told)


def _value(key: str, value: object) -> str:
    if value is None:
        return "none"
    if key == "size" and isinstance(value, int):
        return f"{value:,} bytes"
    if key == "mtime_ns" and isinstance(value, int):
        return moment(value / 1e9)
    return safe(value)
