"""The same effects in a container, whose root is made of layers: as if run directly there, and off exactly.

Each case is tried on files of the image, which lie in a lower layer, and (with the long trials) on files of the
container's own layer. A second container of the same image, in which the script runs directly, says what the effects
have to be.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import CaptureError, PathConflictError
from workflow_agent.testing.lab import LabContainer, LabHost, diff, digest
from workflow_agent.testing.lab.engine import docker
from workflow_agent.testing.transactions import Trial, without_new_times

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.transactions.test_transaction_effects import CASES, TOOLS, set_up
else:
    sys.path.insert(0, str(Path(__file__).parent))
    from test_transaction_effects import CASES, TOOLS, set_up

_IMAGE = "workflow-agent-lab:effects"
#: Where layers differ from a disk: folders and names. The others are tried with the long trials.
_LAYERED = {
    *("create", "edit", "delete-tree", "acl", "capability", "file-to-folder", "folder-to-file", "folder-to-link"),
    *("opaque", "opaque-same", "move-folder", "linked-edit", "linked-split", "linked-over-linked", "link-to-changed"),
    *("sparse", "many"),
}
_ALL = [case if case in _LAYERED else pytest.param(case, marks=pytest.mark.long) for case in CASES]


@pytest.fixture(scope="module")
def image(engine: None) -> Iterator[str]:
    """An image that holds what is there before each case."""
    with LabContainer() as container:
        for case in CASES:
            set_up(container, case)
        container.run(["bash", "-euc", "mkdir /srv/links; cd /srv/links; echo a > one; ln one two; echo b > alone"])
        container.run(["touch", "-d", "2001-01-01 01:01:01.5", "/srv", "/srv/links/one", "/srv/links"])
        docker("commit", container.name, _IMAGE)
    yield _IMAGE
    docker("image", "rm", "--force", _IMAGE)


@pytest.fixture(scope="module")
def containers(image: str) -> Iterator[tuple[LabContainer, LabContainer]]:
    """The container that is a target, and the one on which every script runs directly."""
    with LabContainer(image=image) as one, LabContainer(image=image) as other:
        yield one, other


@pytest.fixture
def twin(containers: tuple[LabContainer, LabContainer]) -> LabHost:
    return containers[1]


@pytest.fixture
async def trial(containers: tuple[LabContainer, LabContainer]) -> AsyncIterator[Trial]:
    """A run that holds the container."""
    one = Trial(containers[0])
    await one.begin()
    yield one
    await one.end()


async def _tried(trial: Trial, twin: LabHost, case: str) -> None:
    script = f"{TOOLS}\ncd '/srv/{case}'\n{CASES[case][1]}"
    before, top = trial.look(f"/srv/{case}"), trial.look("/srv")["/"]
    twin.run(["bash", "-euc", script])
    wanted = without_new_times(digest(twin.root / f"srv/{case}", excluded=()))

    transaction = await trial.apply(script)
    for _ in range(2):
        got = without_new_times(trial.look(f"/srv/{case}"))
        result = await trial.target.rollback(transaction)
        back = trial.look(f"/srv/{case}")
        assert diff(wanted, got) == []
        assert diff(before, back) == []
        assert trial.look("/srv")["/"] == top
        assert result["exact"]
        await trial.target.commit(transaction)
    await trial.target.rollback(transaction)


@pytest.mark.parametrize("case", _ALL)
async def test_effects_on_files_of_the_image_are_as_if_run_directly(trial: Trial, twin: LabHost, case: str) -> None:
    await _tried(trial, twin, case)


@pytest.mark.long
@pytest.mark.parametrize("case", list(CASES))
async def test_effects_on_files_of_the_container_are_as_if_run_directly(trial: Trial, twin: LabHost, case: str) -> None:
    for host in (trial.lab, twin):
        host.run(["bash", "-euc", f"rm -rf '/srv/{case}'; touch -d '2001-01-01 01:01:01.5' /srv"])
        set_up(host, case)
        host.run(["touch", "-d", "2001-01-01 01:01:01.5", "/srv"])

    await _tried(trial, twin, case)


async def test_names_of_one_file_of_the_image_stay_together_through_a_rollback(trial: Trial) -> None:
    before = trial.look("/srv/links")
    assert before["/one"].names == ("/one", "/two")

    transaction = await trial.apply("rm /srv/links/two")
    await trial.target.rollback(transaction)

    assert diff(before, trial.look("/srv/links")) == []


async def test_a_file_of_the_container_with_several_names_is_not_changed_through_one(trial: Trial) -> None:
    trial.shell("mkdir /srv/own; cd /srv/own; echo a > one; ln one two")
    before = trial.look("/srv/own")

    with pytest.raises(CaptureError, match="several names") as refused:
        await trial.capture("echo more >> /srv/own/one")
    transaction = await trial.apply("chmod 600 /srv/own/one")
    names = trial.look("/srv/own")["/two"].names
    mode = trial.look("/srv/own")["/two"].mode
    await trial.target.rollback(transaction)

    assert refused.value.cause == "its other names: /srv/own/two"
    assert (names, mode) == (("/one", "/two"), 0o600)
    assert diff(before, trial.look("/srv/own")) == []


async def test_a_folder_of_the_image_that_got_an_entry_meanwhile_is_not_removed(trial: Trial) -> None:
    transaction, _ = await trial.capture("rm -r /srv/links")
    trial.shell("echo mine > /srv/links/mine")
    before = trial.look("/srv/links")

    with pytest.raises(PathConflictError, match="/srv/links"):
        await trial.target.commit(transaction)

    assert diff(before, trial.look("/srv/links")) == []
    trial.shell("rm /srv/links/mine; touch -d '2001-01-01 01:01:01.5' /srv/links")


async def test_what_came_back_outlives_the_container_s_restart_and_goes_again(image: str) -> None:
    with LabContainer(image=image) as container:
        trial = Trial(container)
        await trial.begin()
        before = trial.look("/srv")
        transaction = await trial.apply("cd /srv/links; rm two; echo b >> one; rm -r /srv/edit; mkdir /srv/new")
        await trial.end()
        container.restart()

        again = Trial(container)
        await again.begin()
        await again.target.rollback(transaction)
        assert diff(before, again.look("/srv")) == []
        await again.target.commit(transaction)
        await again.target.rollback(transaction)
        await again.end()

        assert diff(before, again.look("/srv")) == []
