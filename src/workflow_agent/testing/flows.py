"""Tests of people's own workflows: the real engine and a real database, containers played by mocks.

::

    class TestData(WorkflowTestCase):
        async def test_it(self):
            with mock_agent("fetcher") as fetcher:
                fetcher.returns({"rows": 3})
            assert await self.run_workflow(DataWorkflow()) == 3
"""

from __future__ import annotations

import tempfile
import unittest
from contextlib import asynccontextmanager, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workflow_agent.authoring.sdk.containers import AgentResult
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.model.errors import StepFailedError
from workflow_agent.security.vault import Vault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping

    from workflow_agent.app.flows import Flows
    from workflow_agent.authoring.sdk.containers import AgentRequest, Measure

__all__ = [
    "AnySecret",
    "MockAgent",
    "MockDeployer",
    "WorkflowTestCase",
    "forget_mocks",
    "mock_agent",
    "open_test_flows",
]

_WILD = frozenset("*?[")


class MockAgent:
    """Plays the containers whose name matches a pattern; without an answer they write nothing.

    Args:
        pattern: A name, or one with ``*``, ``?`` and ``[...]``, as for files.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        #: What was asked for, in order.
        self.calls: list[AgentRequest] = []
        self._answer: Callable[[AgentRequest], Any] = lambda _: None

    def returns(self, output: Any) -> None:
        """Let them end well with this output."""
        self._answer = lambda _: output

    def raises(self, error: BaseException) -> None:
        """Let them fail."""

        def fail(_: AgentRequest) -> Any:
            raise error

        self._answer = fail

    def side_effect(self, function: Callable[[AgentRequest], Any]) -> None:
        """Let a function make the output of each from what was asked for."""
        self._answer = function

    def answer(self, request: AgentRequest) -> AgentResult:
        """Play one; raises what it was told to raise."""
        self.calls.append(request)
        output = self._answer(request)
        return AgentResult(as_json(output, what=f"the output of the mock `{self.pattern}`"))

    @property
    def is_exact(self) -> bool:
        """Whether it plays one name only."""
        return not _WILD & set(self.pattern)


#: What plays now; a mock outlives its ``with`` block and ends with its test case.
_MOCKS: list[MockAgent] = []


@contextmanager
def mock_agent(name: str) -> Iterator[MockAgent]:
    """Play the containers of a name, or of a pattern such as ``processor-*``, until the end of the test.

    An exact name goes before a pattern, a later mock before an earlier one.
    """
    mock = MockAgent(name)
    _MOCKS.insert(0, mock)
    yield mock


class _Played:
    """A container that a mock plays."""

    def __init__(self, mock: MockAgent, request: AgentRequest) -> None:
        self.id = f"mock-{request.name}"
        self._mock = mock
        self._request = request
        self._result: AgentResult | None = None

    async def wait(self) -> AgentResult:
        if self._result is None:
            self._result = self._mock.answer(self._request)
        return self._result

    async def stop(self) -> None:
        """Nothing is there to be stopped."""


def forget_mocks() -> None:
    """End all mocks: a test begins, or is over."""
    _MOCKS.clear()


class MockDeployer:
    """Stands where containers are started. `unexpected` are the names that nobody played."""

    def __init__(self) -> None:
        self.unexpected: list[str] = []

    async def deploy(self, request: AgentRequest, measure: Measure) -> _Played:
        """Let the mock whose name fits best play a container, which uses nothing; raises StepFailedError."""
        del measure
        mocks = sorted(_MOCKS, key=lambda mock: not mock.is_exact)
        for mock in mocks:
            if fnmatchcase(request.name, mock.pattern):
                return _Played(mock, request)
        self.unexpected.append(request.name)
        known = ", ".join(f"`{mock.pattern}`" for mock in mocks)
        raise StepFailedError(
            f"nobody plays the container `{request.name}`",
            where=request.step,
            hint=f'add `mock_agent("{request.name}")`' + (f"; there are {known}" if known else ""),
        )


class _Names(frozenset[str]):
    """Holds every name: a test need not give secrets."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


class AnySecret(Vault):
    """Gives a made-up value for a secret that the test did not give."""

    def names(self, run_id: str | None) -> frozenset[str]:
        """Hold every name."""
        return _Names(super().names(run_id))

    def reveal(self, run_id: str | None, name: str) -> str:
        """Give a value, made up where there is none."""
        if name in set(super().names(run_id)):
            return super().reveal(run_id, name)
        return f"secret-of-the-test-{name}"


@asynccontextmanager
async def open_test_flows(
    folder: Path, deployer: object, model: object | None = None, settings: Mapping[str, object] | None = None
) -> AsyncIterator[Flows]:
    """Open the application on a folder, with something else in the place of the Docker engine and of a model.

    `settings` are settings by ``section.key``.
    """
    from dependency_injector import providers  # noqa: PLC0415  # late: 150 ms, as below

    from workflow_agent.app.application import App  # noqa: PLC0415
    from workflow_agent.app.container import build_container  # noqa: PLC0415
    from workflow_agent.app.settings import load_settings  # noqa: PLC0415
    from workflow_agent.store import SqliteStore  # noqa: PLC0415

    places = {f"paths.{name}": str(folder / name) for name in ("state", "config", "runtime")}
    loaded = load_settings(None, {**places, **(settings or {})}, {})
    store = await SqliteStore.open(loaded.paths.state)
    try:
        container = build_container(loaded, store)
        container.deployer.override(providers.Object(deployer))
        container.vault.override(providers.Singleton(AnySecret))
        if model is not None:
            from workflow_agent.testing.scripted_model import EveryBackend  # noqa: PLC0415  # late: as above

            container.chat_model.override(providers.Object(model))
            container.llm_backends.override(providers.Object(EveryBackend(model)))
        app = App(loaded, store, container)
        try:
            yield await app.flows()
        finally:
            await app.close()
    finally:
        await store.close()


class WorkflowTestCase(unittest.IsolatedAsyncioTestCase):
    """A test case of workflows, for pytest and unittest; each test has a database of its own.

    A container that no mock plays fails its step and, at the end, the test.
    """

    #: Settings by ``section.key``, such as ``credentials.github`` for steps that name it.
    settings: ClassVar[Mapping[str, object]] = {}

    async def asyncSetUp(self) -> None:
        """Open what runs workflows."""
        from workflow_agent.testing.scripted_model import ScriptedModel  # noqa: PLC0415  # late: few ask one

        _MOCKS.clear()
        #: Plays the language model; a question that it has no answer for fails its step.
        self.model = ScriptedModel()
        #: What steps kept in ``ctx.state``, of the last run.
        self.workflow_state: Mapping[str, Any] = {}
        #: Id of the last run.
        self.run_id = ""
        self._deployer = MockDeployer()
        self.enterContext(_mocks_end())
        folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="workflow-agent-test-")))
        self.flows = await self.enterAsyncContext(open_test_flows(folder, self._deployer, self.model, self.settings))

    async def asyncTearDown(self) -> None:
        """Fail the test when a container was asked for that nobody plays."""
        if self._deployer.unexpected:
            self.fail(f"nobody plays the containers {', '.join(self._deployer.unexpected)}")

    async def run_workflow(
        self,
        workflow: Any,
        input: Mapping[str, Any] | None = None,  # noqa: A002  # as it is called everywhere
        *,
        secrets: Mapping[str, str] | None = None,
    ) -> Any:
        """Run a workflow to its end and give its result.

        Raises:
            WorkflowAgentError: it did not succeed.
        """
        run = self.flows.prepare(workflow, input or {}, secrets=secrets)
        self.run_id = run.run_id
        state = await self.flows.run(run)
        self.workflow_state = dict(state.state)
        return self.flows.outcome(run.definition, state)

    def calls_of(self, name: str) -> Collection[AgentRequest]:
        """List what was asked of the mock with this name or pattern."""
        return [call for mock in _MOCKS if mock.pattern == name for call in mock.calls]


@contextmanager
def _mocks_end() -> Iterator[None]:
    try:
        yield
    finally:
        _MOCKS.clear()
