"""What is built from what: a list of factories, read from top to bottom. The only user of dependency-injector.

An agent is replaced by configuration: ``[agents] verifier = "module:factory"``; the factory gets the container
and gives an agent of the same name.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from workflow_agent.agents.executor import ExecutorAgent
from workflow_agent.agents.knowledge import KnowledgeAgent
from workflow_agent.agents.person import PersonAgent
from workflow_agent.agents.recovery import RecoveryAgent
from workflow_agent.agents.script_builder import ScriptBuilderAgent
from workflow_agent.agents.validator import ValidatorAgent
from workflow_agent.agents.verifier import VerifierAgent
from workflow_agent.authoring import FolderCatalogue
from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver
from workflow_agent.integrations import Registry, builtin_folder
from workflow_agent.model.errors import UsageError
from workflow_agent.targets.capture import CaptureQuota
from workflow_agent.targets.registry import Targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.agents.serving import Agent
    from workflow_agent.app.settings import Settings
    from workflow_agent.store import SqliteStore

__all__ = ["AGENTS", "Container", "SystemClock", "build_container"]

#: The system agents, in the order in which a run meets them.
AGENTS = ("knowledge", "script-builder", "validator", "executor", "verifier", "recovery", "person")


class SystemClock:
    """The wall clock."""

    def now(self) -> float:
        """Give UTC seconds since the epoch."""
        return time.time()


def _data(name: str) -> Path:
    return Path(__file__).resolve().parents[1] / "_data" / name


def _folders(configured: list[Path], *builtin: Path) -> list[Path]:
    return [*configured, *builtin]


def _quota(settings: Settings) -> CaptureQuota:
    return CaptureQuota(max_bytes=settings.limits.capture_bytes, max_entries=settings.limits.capture_entries)


class Container(containers.DeclarativeContainer):
    """Builds; opening and closing is the application's."""

    settings: providers.Dependency[Settings] = providers.Dependency()
    store: providers.Dependency[SqliteStore] = providers.Dependency()

    clock = providers.Singleton(SystemClock)
    bus = providers.Singleton(InProcessBus)
    journal = store.provided.journal
    history = store.provided.history
    driver = providers.Singleton(Driver, bus, journal, clock)

    catalogue = providers.Singleton(
        lambda folders: FolderCatalogue(*folders),
        providers.Callable(
            lambda settings: _folders(settings.workflows.folders, _data("config") / "workflows"), settings
        ),
    )
    registry = providers.Singleton(
        Registry,
        providers.Callable(lambda settings: _folders(settings.integrations.folders, builtin_folder()), settings),
    )
    targets = providers.Singleton(
        Targets,
        host_pid=settings.provided.targets.host_pid,
        quota=providers.Callable(_quota, settings),
        package_lock_wait_s=settings.provided.timeouts.package_lock_s,
    )

    knowledge = providers.Singleton(KnowledgeAgent, registry, targets, history)
    script_builder = providers.Singleton(
        ScriptBuilderAgent,
        providers.Callable(lambda settings: _folders(settings.templates.folders, _data("templates")), settings),
    )
    validator = providers.Singleton(ValidatorAgent)
    executor = providers.Singleton(
        ExecutorAgent,
        targets,
        bus,
        store.provided.artifacts_dir,
        output_limit=settings.provided.limits.output_bytes,
    )
    verifier = providers.Singleton(VerifierAgent, targets, clock)
    recovery = providers.Singleton(RecoveryAgent, bus)
    person = providers.Singleton(PersonAgent)


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
