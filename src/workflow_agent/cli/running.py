"""What commands that run a workflow share: the request, carrying it out, and how it is told."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.style import safe
from workflow_agent.model.errors import (
    ChangesPendingError,
    InterruptedRunError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import EDITED_NOTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.options import Consent, Scripting, Values, Where
    from workflow_agent.cli.session import Ended
    from workflow_agent.cli.style import Style
    from workflow_agent.security.secret import Secret

__all__ = [
    "RunRequest",
    "carry_out",
    "check_isolation",
    "done_or_planned",
    "existing_target",
    "requested",
    "require_options",
    "told",
    "wait_seconds",
]

#: Kinds of isolation; `auto` is a transaction. In a clone of the target a script is only rehearsed.
_ISOLATIONS = ("auto", "transaction")
_REHEARSAL = "container"
#: What is done with what is installed.
_ABOUT_INSTALLED = frozenset({"verify", "upgrade", "repair", "uninstall"})
#: Verbs that run the workflow `install`.
_AS_INSTALL = frozenset({"upgrade", "repair"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What was typed for a run or several, one after the other: each name on each target.

    With `runs`, it is about each of these instead.
    """

    workflow: str
    names: tuple[str, ...]
    targets: tuple[str, ...] = ("host",)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    events: bool = False
    runs: tuple[str, ...] = ()

    def each(self) -> list[tuple[str, str | None]]:
        """List target and integration of every run; all of one target come together."""
        return [(target, name) for target in self.targets for name in self.runs or self.names or (None,)]


# -- what was typed --------------------------------------------------------------------------------------------------


def requested(
    invocation: Invocation,
    workflow: str,
    names: Sequence[str],
    *,
    place: Where,
    values: Values | None = None,
    scripting: Scripting | None = None,
    events: bool,
    **more: Any,  # Any: further inputs of the workflow
) -> RunRequest:
    """Make the request for runs about integrations; inputs that a workflow does not declare are left out later.

    Raises:
        NotFoundError: there is no such integration or target.
        ParameterError: a parameter cannot be read.
        UsageError: an option cannot be meant so.
    """
    from workflow_agent.cli.parameters import read_parameters, seconds  # noqa: PLC0415  # late: cheap, but not for help

    settings = invocation.settings()
    timeout = scripting.timeout if scripting is not None else None
    if scripting is not None:
        check_isolation(scripting.isolation, planned=workflow == "plan")
        more |= {"isolation": scripting.isolation} if workflow == "plan" else {}
        more["allow"] = scripting.allow or []
    is_there = not _ABOUT_INSTALLED.isdisjoint((workflow, more.get("action"), more.get("planned")))
    targets = tuple(dict.fromkeys(_wanted_target(name) for name in place.target or ("host",)))
    try:
        found = tuple(_named(invocation, name, targets if is_there else ()) for name in names)
    except NotFoundError as error:
        if len(names) == 1 and not set(names[0]) & set("/:"):
            from workflow_agent.cli.composing import hint_at_knowledge  # noqa: PLC0415  # late: a mistake

            hint_at_knowledge(invocation, names[0], error)
        raise
    inputs = {
        "parameters": read_parameters(values.param or [], values.param_file) if values is not None else {},
        "wait_s": wait_seconds(invocation, place),
        "timeout_s": seconds(timeout, "--timeout") if timeout is not None else settings.timeouts.script_s,
        **more,
    }
    secrets = _secrets(invocation, values, found if workflow in {"install", "plan"} else ())
    return RunRequest(workflow=workflow, names=found, targets=targets, inputs=inputs, secrets=secrets, events=events)


def _named(invocation: Invocation, name: str, targets: Sequence[str]) -> str:
    """Give what a run is asked for; what is installed on `targets` from a folder is found by its name as well."""
    from workflow_agent.cli.sources import integration_input, is_folder_name  # noqa: PLC0415  # late

    try:
        return integration_input(invocation.settings(), _brought_in(invocation, name))
    except NotFoundError:
        if not targets or is_folder_name(name):
            raise
        from workflow_agent.cli.installed_folders import installed_from  # noqa: PLC0415  # late: few come so

        if (folder := installed_from(invocation, name, targets)) is None:
            raise
        return folder


def _brought_in(invocation: Invocation, name: str) -> str:
    """Bring in what is named by a package's file, a repository, or what is known; gives the integration's name."""
    if name.startswith("knowledge:"):
        from workflow_agent.cli.composing import compose_integration  # noqa: PLC0415  # late: few come so

        return compose_integration(invocation, name.removeprefix("knowledge:"))
    if not name.startswith("git+") and not name.endswith(".integration.zip"):
        return name
    from workflow_agent.cli.packages import bring_in  # noqa: PLC0415  # late: few come so

    return bring_in(invocation, name).name


def _secrets(invocation: Invocation, values: Values | None, asked_for: Sequence[str]) -> dict[str, Secret]:
    """Read what was given as secrets; a person at a terminal is asked for the required ones of `asked_for`."""
    if values is None:
        return {}
    from workflow_agent.cli.secret_input import given_secrets  # noqa: PLC0415  # late

    return given_secrets(invocation, values.secret or [], asked_for)


def wait_seconds(invocation: Invocation, place: Where) -> float:
    """Give how long to wait for a target that another run holds; raises UsageError."""
    from workflow_agent.cli.parameters import seconds  # noqa: PLC0415  # late

    if place.wait is None:
        return 0.0
    return seconds(place.wait, "--wait") if place.wait else invocation.settings().timeouts.target_s


def existing_target(name: str) -> str:
    """Give the full name of a target that exists; raises NotFoundError, UnreachableError for one that is down."""
    if name == "host":
        return name
    from workflow_agent.targets.registry import full_target_name  # noqa: PLC0415  # late: other targets only

    return full_target_name(name)


def _wanted_target(name: str) -> str:
    """Give the full name of a target; one that is down begins a run that fails, which history then has."""
    try:
        return existing_target(name)
    except UnreachableError:
        return name


def check_isolation(kind: str, *, planned: bool = False) -> None:
    """Raise UsageError for a kind of isolation that there is not, or not for this."""
    where = "--isolation"
    if kind == _REHEARSAL:
        if not planned:
            hint = "rehearse it first: `workflow-agent plan NAME --isolation container`"
            raise UsageError("what ran in a clone of the target cannot be brought to it", where=where, hint=hint)
    elif kind not in _ISOLATIONS:
        what = (
            f"isolation `{kind}` does not exist yet" if kind == "declared" else f"there is no isolation `{kind[:40]}`"
        )
        raise UsageError(what, where=where, hint="use `auto` or `transaction`, with a plan also `container`")


# -- running ---------------------------------------------------------------------------------------------------------


def carry_out(invocation: Invocation, request: RunRequest, *, keep_going: bool = False) -> list[Ended]:
    """Run one after the other until one fails; with `keep_going` all of them, unless a person stops one."""
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms
    from workflow_agent.targets.spare_program import prepare_spare  # noqa: PLC0415  # late: as the others

    async def all_of_them() -> list[Ended]:
        done: list[Ended] = []
        async with open_app(invocation.settings()) as app:
            for target, name in request.each():
                if target != request.targets[-1] and name == request.each()[0][1]:
                    prepare_spare(2)  # the program that looks at the next target starts while this run goes on
                done.append(await _one(app, invocation, request, target, name))
                error = done[-1].error
                if error is not None and (not keep_going or isinstance(error, InterruptedRunError)):
                    break
        return done

    return asyncio.run(all_of_them())


async def _one(app: App, invocation: Invocation, request: RunRequest, target: str, name: str | None) -> Ended:
    from workflow_agent.cli.session import conduct  # noqa: PLC0415  # late: asyncio, 35 ms

    about = "run" if request.runs else "integration"
    inputs = {**request.inputs, "target": target} | ({about: name} if name is not None else {})
    return await conduct(app, invocation, request.workflow, inputs, secrets=request.secrets, events=request.events)


def done_or_planned(
    invocation: Invocation,
    consent: Consent,
    verb: str,
    request: Callable[[bool], RunRequest],
    planned: Callable[[Ended], tuple[dict[str, Any], bool, Callable[[Style], Iterator[str]]]],
    *,
    keep: Callable[[RunRequest, Sequence[Ended]], str] | None = None,
) -> Outcome:
    """Carry a changing verb out, or show what it would do.

    Args:
        invocation: Of the command.
        consent: Whether it is done, asked about, or only shown.
        verb: As people say it, such as ``install``.
        request: Makes the request, of the plan where its argument is true.
        planned: Gives from a run of the plan its data, whether anything would change, and how it is written.
        keep: Keeps a plan that could be made; gives the command that carries it out.

    Raises:
        CommandFailedError: a run failed; it carries the outcome.
        UsageError: the options do not go together.
    """
    require_options(consent, verb)
    asked = request(consent.plan_only)
    done = carry_out(invocation, asked)
    if not consent.plan_only:
        return told(asked, done)
    kept = keep(asked, done) if keep is not None and done[-1].error is None else None
    return _planned(asked, done, planned, check=consent.check, kept=kept)


def require_options(consent: Consent, verb: str) -> None:
    """Refuse before anything is begun what cannot be meant, and when nobody can be asked.

    Raises:
        UsageError: the options do not go together.
        ConsentError: nobody can be asked.
    """
    from workflow_agent.cli.consent import require_consent  # noqa: PLC0415  # late

    if consent.check and not consent.plan_only:
        raise UsageError("`--check` belongs to a plan", where=verb, hint="add `--plan`, or use `workflow-agent plan`")
    if not consent.plan_only:
        require_consent(given=consent.yes, verb=verb)


# -- telling ---------------------------------------------------------------------------------------------------------


def told(request: RunRequest, done: list[Ended]) -> Outcome:
    """Put reports together, one run is the data itself, several are items; raises CommandFailedError."""
    reports = [ended.report for ended in done if ended.report is not None]
    data: dict[str, Any] = {"items": reports} if len(request.each()) > 1 else (reports[0] if reports else {})

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.run_view import ending_lines  # noqa: PLC0415  # late

        for report in reports:
            yield from ending_lines(report, style)

    outcome = Outcome(data=data, lines=lines, exit_code=0, streamed=request.events, warnings=_warnings(done))
    return _finished(request, done, outcome)


def _planned(
    request: RunRequest,
    done: list[Ended],
    planned: Callable[[Ended], tuple[dict[str, Any], bool, Callable[[Style], Iterator[str]]]],
    *,
    check: bool,
    kept: str | None = None,
) -> Outcome:
    plans = [planned(ended) for ended in done]
    reports = [{**(ended.report or {}), "plan": plan} for ended, (plan, _, _) in zip(done, plans, strict=True)]
    data = {"items": reports} if len(request.each()) > 1 else reports[0]

    def lines(style: Style) -> Iterator[str]:
        for number, (ended, (_, _, write)) in enumerate(zip(done, plans, strict=True)):
            if ended.error is None:
                yield from ([""] if number else [])
                yield from write(style)
                yield from ("", f"  nothing was changed; run {ended.run_id}")
        if kept is not None:
            yield f"  do exactly this: {safe(kept)}"

    pending = any(changes for _, changes, _ in plans)
    exit_code = ChangesPendingError.exit_code if check and pending else 0
    outcome = Outcome(data=data, lines=lines, exit_code=exit_code, streamed=request.events, warnings=_warnings(done))
    return _finished(request, done, outcome)


def _finished(request: RunRequest, done: list[Ended], outcome: Outcome) -> Outcome:
    """Give the outcome, or raise the last run's error with what was done before it and what was not begun."""
    error = done[-1].error
    if error is None:
        return outcome
    error.where = _place_as_typed(request, error.where)
    before = [ended.run_id for ended in done[:-1]]
    if before:
        parts = [error.state or "", f"done before it: {', '.join(before)}, which stay"]
        error.state = "; ".join(part for part in parts if part)
    if rest := request.each()[len(done) :]:
        several = len(request.targets) > 1
        names = [" on ".join(filter(None, (name, target if several else ""))) for target, name in rest]
        not_begun = f"not begun: {', '.join(names)}"
        error.state = f"{error.state}; {not_begun}" if error.state else not_begun
    raise CommandFailedError(error, outcome)


def _place_as_typed(request: RunRequest, where: str | None) -> str | None:
    """Begin the place of a step with the verb that was typed: an upgrade and a repair run the workflow `install`."""
    verb = request.inputs.get("planned") or request.inputs.get("action")
    began = f"{request.workflow} › "
    if where is None or verb not in _AS_INSTALL or not where.startswith(began):
        return where
    return f"{verb} › {where.removeprefix(began)}"


def _warnings(done: list[Ended]) -> tuple[str, ...]:
    return tuple(warning for ended in done for warning in (*ended.warnings, *_remarks(ended)))


def _remarks(ended: Ended) -> Iterator[str]:
    """Say what a person should know of a run beside its end."""
    if ended.error is not None:
        return
    from workflow_agent.cli.conflict_view import is_about  # noqa: PLC0415  # late: when a run is over

    lookup = ended.outputs.get("lookup") or {}
    if (ended.outputs.get("absent") or {}).get("adopted"):
        yield f"`{lookup['integration']}` was not installed by workflow-agent: only this uninstall can be rolled back"
    for step, output in ended.outputs.items():
        is_done = step.endswith("prepare") and (ended.report or {}).get("changed")  # else its plan says it
        notes = ((output or {}).get("change_set") or {}).get("notes") or () if is_done else ()
        stays = [str(one["path"]) for one in (ended.report or {}).get("decisions") or ()]
        told = (str(note) for note in notes if str(note).startswith(EDITED_NOTE))
        yield from (note for note in told if not is_about(note, stays))
    for step, output in ended.outputs.items():
        if step.endswith("current") and (output or {}).get("adopted"):
            name = ended.outputs[f"{step.removesuffix('current')}lookup"]["integration"]
            yield f"`{name}` is adopted: it works, but was not installed by workflow-agent; no rollback takes it back"
    for name in (lookup.get("differences") or {}).get("dropped") or ():
        yield f"`{lookup['integration']}` has no parameter `{name}` any more: its value is dropped"
