"""The system agents on a real bus, with the shipped manifests and templates, a real store, and a target in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.executor import ExecutorAgent
from workflow_agent.agents.knowledge import KnowledgeAgent
from workflow_agent.agents.person import PersonAgent
from workflow_agent.agents.recovery import RecoveryAgent
from workflow_agent.agents.script_builder import ScriptBuilderAgent
from workflow_agent.agents.serving import serve
from workflow_agent.agents.validator import ValidatorAgent
from workflow_agent.agents.verifier import VerifierAgent
from workflow_agent.bus import InProcessBus
from workflow_agent.integrations import Registry, builtin_folder
from workflow_agent.model.event import EventType
from workflow_agent.model.message import Message
from workflow_agent.security.vault import Vault
from workflow_agent.store import SqliteStore
from workflow_agent.testing import EventChain
from workflow_agent.testing.fake_target import FakeTargets, FakeWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

_NOW = 1_800_000_000.0
_TEMPLATES = Path(__file__).parents[3] / "templates"


class FixedClock:
    def now(self) -> float:
        return _NOW


@dataclass
class Bench:
    """What a test of an agent needs."""

    bus: InProcessBus
    store: SqliteStore
    integrations: Path
    world: FakeWorld = field(default_factory=FakeWorld)
    person: PersonAgent = field(default_factory=PersonAgent)
    vault: Vault = field(default_factory=Vault)
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.targets = FakeTargets(self.world)

    async def ask(
        self, subject: str, *, run_id: str | None = "r-1", step: str | None = "step", **data: Any
    ) -> dict[str, Any]:
        """Send a request; gives the reply's data."""
        message = Message(f"agent.{subject}", data, run_id=run_id, step_id=step)
        return dict((await self.bus.request(message, timeout_s=20)).data)

    async def lookup(self, **data: Any) -> dict[str, Any]:
        """Look the node exporter up."""
        return await self.ask(
            "knowledge.lookup", **{"integration": "prometheus-node-exporter", "target": "host"} | data
        )

    async def built(self, **data: Any) -> dict[str, Any]:
        """Build the script of the node exporter."""
        known = await self.lookup(**data)
        keys = ("integration", "action", "version", "template", "folder", "context", "parameters", "files", "multiline")
        reply = await self.ask("script-builder.build", **{key: known[key] for key in keys})
        script: dict[str, Any] = reply["script"]
        return script

    async def ran(
        self,
        run_id: str,
        *,
        status: str = "succeeded",
        changed: bool = True,
        records: Sequence[tuple[str, Mapping[str, Any]]] = (),
        **meta: Any,
    ) -> None:
        """Put a finished run into the journal; it carries `records`."""
        # Ids that sort later are made later.
        chain = EventChain(run_id, at=_NOW + int(run_id.removeprefix("r-")))
        meta = {"action": "install", "integration": "x", "target": "host"} | meta
        events = [
            chain.created(**meta),
            chain.event(EventType.STEP_SUCCEEDED, step="all", data={"output": {}}, records=records),
            chain.finished(status, changed=changed),
        ]
        await self.store.journal.append(run_id, 0, events)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Agents that answer."""
    store = await SqliteStore.open(tmp_path / "state")
    bus = InProcessBus()
    bench = Bench(bus, store, tmp_path / "integrations")
    registry = Registry([bench.integrations, builtin_folder()])
    served = await serve(
        bus,
        KnowledgeAgent(registry, bench.targets, store.history, store.knowledge),
        ScriptBuilderAgent([_TEMPLATES]),
        ValidatorAgent(),
        ExecutorAgent(bench.targets, bus, store.artifacts_dir, output_limit=1000, vault=bench.vault),
        VerifierAgent(bench.targets, bench.clock, bench.vault),
        RecoveryAgent(bus),
        bench.person,
    )
    yield bench
    await served.close()
    await bus.drain()
    await store.close()
