"""Runners: named places that drive runs. ``local`` is this process; others are servers that the settings name.

What belongs here: what a runner is, whether it is well, and whether it has what a workflow needs. What does not: how a
run is begun at a server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import NotFoundError, ParameterError, UnreachableError, UsageError
from workflow_agent.model.named_table import check_named_table
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.model.workflow import Workflow

__all__ = [
    "LOCAL",
    "Runner",
    "RunnerHealth",
    "asked_health",
    "check_runner",
    "find_runner",
    "health_of_answer",
    "needs_of",
    "runner_of_settings",
    "token_of",
]

#: The runner that is always there.
LOCAL: Final = "local"
_KEYS: Final = ("url", "token_file", "description")
_ANSWER_S: Final = 5.0
_MOST_BYTES: Final = 1 << 16
#: First words of verbs that the engine carries out itself.
_OF_THE_ENGINE: Final = frozenset({"flow", "wait", "workflow"})
#: What agents need besides themselves.
_NEEDED: Final = {"container": "docker"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A place that drives runs.

    Attributes:
        name: Its name.
        url: Address of the server; None for this process.
        description: One sentence for people.
        token_file: File with the server's token; None for this process.
    """

    name: str
    url: str | None = None
    description: str = ""
    token_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerHealth:
    """Whether a runner is well.

    Attributes:
        name: The runner.
        status: ``ok``, ``down`` (it answers, and says that it cannot work) or ``unreachable``.
        version: Its release; None where it gave none.
        components: By name, what it needs, each ``ok`` or another word; an agent is a component too.
        message: Why it is not well.
    """

    name: str
    status: str
    version: str | None
    components: Mapping[str, str]
    message: str | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether runs can be begun there."""
        return self.status == "ok"

    def missing(self, required: Iterable[str]) -> list[str]:
        """List those of some components that are not there, or not well."""
        return sorted({name for name in required if self.components.get(name) != "ok"})


def runner_of_settings(name: str, table: Any) -> Runner:  # Any: as settings have it
    """Read a runner as it stands in settings.

    Raises:
        ValueError: it is none; the sentence says why.
    """
    check_named_table(name, table, _KEYS)
    if name == LOCAL:
        raise ValueError("cannot be declared: that name means this process")
    for key, value in table.items():
        if not isinstance(value, str):
            raise ValueError(f"has a `{key}` that is no text")  # noqa: TRY004  # ends a sentence of the settings
    for key in ("url", "token_file"):
        if not table.get(key):
            raise ValueError(f"needs `{key}`")
    token_file = Path(table["token_file"]).expanduser()
    if not token_file.is_absolute():
        raise ValueError("has a `token_file` that is no absolute path")
    url = _checked_url(table["url"])
    return Runner(name=name, url=url, description=table.get("description", ""), token_file=str(token_file))


def _checked_url(url: str) -> str:
    from workflow_agent.client.server_address import server_address  # noqa: PLC0415  # late: few settings have one

    try:
        server_address(url)
    except UsageError as error:
        raise ValueError(f"has a `url` that is refused: {error.message}") from None
    return url


def find_runner(name: str, known: Mapping[str, Runner]) -> Runner:
    """Give a runner by its name; raises NotFoundError with the nearest one."""
    if name not in known:
        hint = did_you_mean(name, known) or "`workflow-agent runners list` lists them; settings declare them"
        raise NotFoundError(f"there is no runner `{name[:64]}`", hint=hint)
    return known[name]


def token_of(runner: Runner) -> str:
    """Read the token of a runner's server; raises ParameterError."""
    path = Path(runner.token_file or "")
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is no text of a token"
        raise ParameterError(
            f"the token of the runner `{runner.name}` cannot be read", where=str(path), cause=cause
        ) from None
    if not text:
        raise ParameterError(f"the token of the runner `{runner.name}` is empty", where=str(path))
    return text


async def asked_health(runner: Runner) -> RunnerHealth:
    """Ask a server whether it is well; one that does not answer as a server does is unreachable."""
    import aiohttp  # noqa: PLC0415  # late: 150 ms

    from workflow_agent.client.server_address import server_address  # noqa: PLC0415  # late: as in settings

    base, socket = server_address(str(runner.url))
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    connector = aiohttp.UnixConnector(socket) if socket else aiohttp.TCPConnector()
    try:
        async with (
            aiohttp.ClientSession(base, connector=connector, timeout=timeout, trust_env=False) as session,
            session.get("/health", allow_redirects=False) as answer,
        ):
            text = b""
            async for part in answer.content.iter_any():
                text += part
                if len(text) > _MOST_BYTES:
                    return _unreachable(runner, "what answers there is no server of workflow-agent")
    except TimeoutError:
        return _unreachable(runner, f"it did not answer in {_ANSWER_S:.0f} s")
    except aiohttp.ClientError as error:
        return _unreachable(runner, str(error))
    try:
        return health_of_answer(runner.name, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        return _unreachable(runner, "what answers there is no server of workflow-agent")


def _unreachable(runner: Runner, message: str) -> RunnerHealth:
    return RunnerHealth(name=runner.name, status="unreachable", version=None, components={}, message=message)


def health_of_answer(name: str, said: Mapping[str, Any]) -> RunnerHealth:
    """Read what a server says of itself; raises what a mapping of another form raises."""
    found = said["components"]
    components = {str(key): str(each["status"]) for key, each in found.items()}
    components |= {str(agent): "ok" for agent in found.get("agents", {}).get("names", ()) if agent not in components}
    told = [f"{key}: {each['message']}" for key, each in found.items() if each.get("message")]
    return RunnerHealth(
        name=name,
        status="ok" if said["status"] == "ok" else "down",
        version=str(said["version"]),
        components=components,
        message="; ".join(told) or None,
    )


def needs_of(definition: Workflow) -> frozenset[str]:
    """Give the components that the steps of a workflow need: agents, and what those need."""
    verbs = {step.uses for step in (*definition.steps, *definition.on_failure)}
    verbs |= {str((step.undo or {})["uses"]) for step in (*definition.steps, *definition.on_failure) if step.undo}
    agents = {verb.partition(".")[0] for verb in verbs} - _OF_THE_ENGINE
    return frozenset(agents | {_NEEDED[agent] for agent in agents if agent in _NEEDED})


def check_runner(health: RunnerHealth, required: Iterable[str]) -> None:
    """Check that a runner is well and has what is needed.

    Raises:
        UnreachableError: it is not, or has not; nothing was begun.
    """
    state = "nothing was begun"
    hint = "`workflow-agent runners list` shows how they are; name another one"
    where = f"runner {health.name}"
    if not health.is_healthy:
        word = "cannot be reached" if health.status == "unreachable" else "is not well"
        raise UnreachableError(
            f"the runner `{health.name}` {word}", where=where, cause=health.message, state=state, hint=hint
        )
    if missing := health.missing(required):
        told = ", ".join(f"`{name}`" for name in missing)
        raise UnreachableError(
            f"the runner `{health.name}` does not have {told}",
            where=where,
            cause=health.message,
            state=state,
            hint=hint,
        )
