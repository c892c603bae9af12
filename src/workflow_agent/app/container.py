"""What is built from what: a list of factories, read from top to bottom. The only user of dependency-injector.

An agent is replaced by configuration: ``[agents] verifier = "module:factory"``; the factory gets the container
and gives an agent of the same name.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from workflow_agent.agents.serving import CONCURRENCY, LateAgent
from workflow_agent.app.clock import SystemClock
from workflow_agent.authoring import FolderCatalogue
from workflow_agent.authoring.sdk.live import LiveFlows
from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver
from workflow_agent.integrations import Plugins, Registry, builtin_folder
from workflow_agent.model.data import plain
from workflow_agent.model.errors import UsageError
from workflow_agent.security.vault import Vault
from workflow_agent.store.remembered import RememberedResults
from workflow_agent.targets.quota import CaptureQuota, CopyScope
from workflow_agent.targets.registry import Targets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.agents.recovery_rules import Bounds
    from workflow_agent.agents.serving import Agent
    from workflow_agent.app.settings import Settings
    from workflow_agent.store import SqliteStore

__all__ = ["AGENTS", "Container", "build_container", "late_agents"]

#: The system agents in the order in which a run meets them, with their verbs: an agent is loaded when it is first
#: asked, because a run that finds everything unchanged needs two of the seven.
AGENTS: Mapping[str, tuple[str, ...]] = {
    "knowledge": ("lookup", "locate", "requested", "prunable", "inverse"),
    "script-builder": ("build", "take"),
    "validator": ("validate", "agree"),
    "executor": ("prepare", "commit", "activate", "configure", "rollback", "discard", "prune", "compare"),
    "verifier": ("verify", "current", "absent"),
    "recovery": ("recover",),
    "improver": ("learn",),
    "person": ("approve", "decide"),
    "python": ("call",),
    "shell": ("run",),
    "container": ("run",),
    "http": ("request",),
    "ssh": ("run",),
    "notify": ("webhook", "mail", "file"),
    "model": ("chat", "act"),
}
#: Requests that an agent answers at the same time, where it is not the usual number: a step that waits for a child
#: workflow must not keep the child's steps waiting. The driver bounds how much is asked.
_CONCURRENCY = dict.fromkeys(("python", "shell", "container", "http", "ssh", "notify", "model"), 4096)


def _data(name: str) -> Path:
    return Path(__file__).resolve().parents[1] / "_data" / name


#: The workflows that come with this package.
_SHIPPED = _data("config") / "workflows"


def _late(name: str) -> Callable[..., Any]:  # Any: an agent
    """Give a factory that loads ``module:Class`` of `workflow_agent.agents` when it is called."""
    module, _, attribute = name.partition(":")

    def make(*arguments: Any, **named: Any) -> Any:  # Any: the class's own
        return getattr(importlib.import_module(f"workflow_agent.agents.{module}"), attribute)(*arguments, **named)

    return make


def _folders(configured: list[Path], *builtin: Path) -> list[Path]:
    return [*configured, *builtin]


def _quota(settings: Settings) -> CaptureQuota:
    limits = settings.limits
    return CaptureQuota(
        max_bytes=limits.capture_bytes, max_entries=limits.capture_entries, max_processes=limits.capture_processes
    )


def _copy_scope(settings: Settings) -> CopyScope:
    return CopyScope(
        max_bytes=settings.limits.clone_bytes,
        without=tuple(str(path) for path in settings.targets.clone_without),
        hidden=(str(settings.paths.state), str(settings.paths.config)),
    )


def _bounds(settings: Settings) -> Bounds:
    from workflow_agent.agents.recovery_rules import Bounds  # noqa: PLC0415  # late: with the executor

    return Bounds(**plain(settings.recovery))


class Container(containers.DeclarativeContainer):
    """Builds; opening and closing is the application's."""

    settings: providers.Dependency[Settings] = providers.Dependency()
    store: providers.Dependency[SqliteStore] = providers.Dependency()

    clock = providers.Singleton(SystemClock)
    bus = providers.Singleton(InProcessBus)
    journal = store.provided.journal
    history = store.provided.history
    catalogue = providers.Singleton(
        lambda settings: FolderCatalogue(*settings.workflows.folders, _SHIPPED, shipped=_SHIPPED), settings
    )
    driver = providers.Singleton(Driver, bus, journal, clock, workflows=catalogue, places=store.provided.places)
    registry = providers.Singleton(
        Registry,
        providers.Callable(
            lambda settings: _folders(
                [*settings.integrations.folders, settings.paths.state / "packages", settings.paths.state / "composed"],
                builtin_folder(),
            ),
            settings,
        ),
        providers.Callable(lambda settings: Plugins(settings.paths.state / "plugins"), settings),
        providers.Callable(lambda settings: RememberedResults(settings.paths.state / "remembered"), settings),
    )
    vault = providers.Singleton(Vault)
    targets = providers.Singleton(
        Targets,
        host_pid=settings.provided.targets.host_pid,
        store=providers.Callable(lambda settings: settings.paths.state / "containers", settings),
        quota=providers.Callable(_quota, settings),
        package_lock_wait_s=settings.provided.timeouts.package_lock_s,
        private=providers.Callable(lambda settings: (settings.paths.state, settings.paths.runtime), settings),
        copy_scope=providers.Callable(_copy_scope, settings),
    )

    knowledge = providers.Singleton(
        _late("knowledge:KnowledgeAgent"), registry, targets, history, store.provided.knowledge
    )
    script_builder = providers.Singleton(
        _late("script_builder:ScriptBuilderAgent"),
        providers.Callable(lambda settings: _folders(settings.templates.folders, _data("templates")), settings),
    )
    validator = providers.Singleton(_late("validator:ValidatorAgent"))
    executor = providers.Singleton(
        _late("executor:ExecutorAgent"),
        targets,
        bus,
        store.provided.artifacts_dir,
        output_limit=settings.provided.limits.output_bytes,
        vault=vault,
        bounds=providers.Callable(_bounds, settings),
    )
    verifier = providers.Singleton(
        _late("verifier:VerifierAgent"),
        targets,
        clock,
        vault,
        stay_s=settings.provided.timeouts.stay_s,
        stay_proven_s=settings.provided.timeouts.stay_proven_s,
        check_s=settings.provided.timeouts.check_s,
    )
    recovery = providers.Singleton(_late("recovery:RecoveryAgent"), bus)
    improver = providers.Singleton(
        _late("improver:ImproverAgent"),
        history,
        registry,
        store.provided.knowledge,
        clock,
        bounds=providers.Callable(_bounds, settings),
        script_s=settings.provided.timeouts.script_s,
    )
    person = providers.Singleton(_late("person:PersonAgent"))
    live_flows = providers.Singleton(LiveFlows)
    deployer = providers.Singleton(_late("container_deployer:ContainerDeployer"))
    python = providers.Singleton(
        _late("python_agent:PythonAgent"), bus, clock, store.provided.artifacts_dir, vault, live_flows, deployer
    )
    shell = providers.Singleton(_late("command_agents:ShellAgent"), bus, clock, store.provided.artifacts_dir, vault)
    container = providers.Singleton(
        _late("container_agent:ContainerAgent"), bus, clock, store.provided.artifacts_dir, vault, deployer
    )
    http_calls = providers.Singleton(_late("http_calls:AiohttpCalls"))
    http = providers.Singleton(_late("http_agent:HttpAgent"), vault, http_calls)
    ssh = providers.Singleton(_late("ssh_agent:SshAgent"), bus, clock, store.provided.artifacts_dir, vault)
    mailer = providers.Singleton(_late("mailing:SmtpMailer"))
    notify = providers.Singleton(_late("notify_agent:NotifyAgent"), vault, http_calls, mailer)
    chat_model = providers.Singleton(
        _late("chat_models:HttpChatModel"),
        http_calls,
        url=settings.provided.models.url,
        model=settings.provided.models.model,
        key=settings.provided.models.key,
    )
    llm_backends = providers.Singleton(
        _late("chat_backends:backend_models"), http_calls, settings.provided.llm_backends
    )
    model = providers.Singleton(
        _late("model_agent:ModelAgent"),
        bus,
        clock,
        store.provided.artifacts_dir,
        vault,
        chat_model,
        store.provided.memories,
        llm_backends,
    )


def build_container(settings: Settings, store: SqliteStore) -> Container:
    """Give a container whose agents are those that the settings name.

    Raises:
        UsageError: an agent's factory cannot be loaded, or gives another agent.
    """
    container = Container(settings=providers.Object(settings), store=providers.Object(store))
    for name in AGENTS:
        target = settings.agents.get(name)
        if target:
            provider = getattr(container, name.replace("-", "_"))
            provider.override(providers.Singleton(_replacement, name, target, container))
    return container


def late_agents(container: Container, settings: Settings) -> list[Agent | LateAgent]:
    """List the agents for serving: ours are loaded when first asked, those of the settings now, to know their verbs."""
    agents: list[Agent | LateAgent] = []
    for name, verbs in AGENTS.items():
        provider = getattr(container, name.replace("-", "_"))
        limit = _CONCURRENCY.get(name, CONCURRENCY)
        agents.append(provider() if settings.agents.get(name) else LateAgent(name, verbs, provider, limit))
    return agents


def _replacement(name: str, target: str, container: Container) -> Agent:
    module_name, _, attribute = target.partition(":")
    where = f"agents.{name}"
    try:
        factory: Callable[[Any], Agent] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"the agent `{target}` cannot be loaded", where=where, cause=str(error), hint="write it as `module:factory`"
        ) from error
    try:
        agent = factory(container)
    except Exception as error:  # border: the code is not ours
        raise UsageError(f"the agent `{target}` cannot be made", where=where, cause=repr(error)) from error
    given = getattr(agent, "name", None)
    if given != name:
        raise UsageError(f"`{target}` gives an agent named `{given}`, wanted is `{name}`", where=where)
    return agent
