"""Machines for tests of the whole product: shared by tests that leave a host as it was, or fresh for one test."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab import LabContainer, LabHost
from workflow_agent.testing.lab.image import DEFAULT_PACKAGES

pytest.register_assert_rewrite("machine")

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import Machine
else:
    from machine import Machine

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test failed: it may have left its host in any state."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def machines(
    lab: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[Machine]]:
    """Give machines: a kind of host (``docker-`` before it: a container), and a folder of its own for the command."""
    del lab

    @contextmanager
    def make(kind: str = "plain", *, packages: tuple[str, ...] = DEFAULT_PACKAGES) -> Iterator[Machine]:
        if kind.startswith("docker-"):
            request.getfixturevalue("engine")
        made = LabContainer if kind.startswith("docker-") else LabHost
        with made(kind.removeprefix("docker-"), packages=packages) as host:
            yield Machine(host=host, folder=tmp_path_factory.mktemp("machine"))

    return make


class _Shared:
    """Hosts that tests hand on; one that a failed test leaves is not handed on."""

    def __init__(self, machines: Callable[..., AbstractContextManager[Machine]]) -> None:
        self._machines = machines
        self._kept: dict[str, tuple[Machine, ExitStack]] = {}

    def take(self, kind: str) -> Machine:
        if kind not in self._kept:
            stack = ExitStack()
            self._kept[kind] = (stack.enter_context(self._machines(kind)), stack)
        return self._kept[kind][0]

    def drop(self, kind: str) -> None:
        self._kept.pop(kind)[1].close()

    def close(self) -> None:
        for kind in list(self._kept):
            self.drop(kind)


@pytest.fixture(scope="session")
def shared(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[_Shared]:
    hosts = _Shared(machines)
    yield hosts
    hosts.close()


@pytest.fixture
def machine(request: pytest.FixtureRequest, shared: _Shared) -> Iterator[Machine]:
    """A host that tests share: plain, or of the kind that the test asks for. Each test leaves it as it was."""
    kind = getattr(request, "param", "plain")
    yield shared.take(kind)
    if request.node.stash.get(_FAILED, False):
        shared.drop(kind)


@pytest.fixture
def fresh(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Machine]:
    """A plain host for one test."""
    with machines() as made:
        yield made
