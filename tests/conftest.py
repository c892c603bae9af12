"""What all tests share: a clean environment, and real hosts to change."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from workflow_agent.testing.lab import LabContainer, LabHost
from workflow_agent.testing.lab.engine import engine_obstacle, install_engine
from workflow_agent.testing.lab.image import cache_folder
from workflow_agent.testing.lab.setup import install_programs, obstacle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A slow machine makes an example slow, not wrong: what takes long is measured in `benchmarks/`.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

_LAB_FIXTURES = {"lab_plain": "root", "lab_systemd": "systemd", "engine": "root"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a lab host, so that ``-m "not root"`` needs no second list."""
    for item in items:
        for fixture, marker in _LAB_FIXTURES.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker("root")
                item.add_marker(marker)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's own settings never reach a test."""
    for name in list(os.environ):
        if name.startswith("WORKFLOW_AGENT_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def lab() -> None:
    """Skip when this machine cannot carry lab hosts; on CI first install what can be installed."""
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        install_programs()
    if reason := obstacle():
        pytest.skip(reason)


@pytest.fixture
def rehearsals_alone() -> Iterator[None]:
    """Nobody else rehearses meanwhile: the clones that a test left can be counted."""
    with (cache_folder() / "rehearsals.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@pytest.fixture
def lab_plain(lab: None) -> Iterator[LabHost]:
    """A fresh Debian host without an init system; init scripts work."""
    with LabHost("plain") as host:
        yield host


@pytest.fixture
def lab_systemd(lab: None) -> Iterator[LabHost]:
    """A fresh Debian host that runs systemd."""
    with LabHost("systemd") as host:
        yield host


@pytest.fixture(scope="session")
def engine(lab: None) -> None:
    """Skip when no container can run here; on CI first install what can be installed."""
    del lab
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        install_engine()
    if reason := engine_obstacle():
        pytest.skip(reason)


@pytest.fixture
def docker_container(engine: None) -> Iterator[Callable[..., LabContainer]]:
    """Give running containers: ``docker_container("plain")`` or ``("systemd")``; options as of LabContainer."""
    del engine
    with ExitStack() as stack:
        yield lambda kind="plain", **options: stack.enter_context(LabContainer(kind, **options))
