"""Workflows by name, and those that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_agent.authoring import FolderCatalogue, dump_workflow, load_workflow
from workflow_agent.engine import plan_of
from workflow_agent.model.errors import NotFoundError, ValidationError
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import EffectPolicy

SHIPPED = Path(__file__).parents[3] / "config" / "workflows"
SMALL = "name: {name}\nversion: '{version}'\nsteps: [{{id: a, uses: x.y}}]\n"


def write(folder: Path, name: str, version: str = "1", *, file: str | None = None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{file or name}.yaml").write_text(SMALL.format(name=name, version=version))


def test_names_are_sorted_over_all_folders_and_a_missing_folder_is_empty(tmp_path: Path) -> None:
    write(tmp_path / "a", "two")
    write(tmp_path / "b", "one")
    (tmp_path / "b" / "notes.txt").write_text("no workflow")

    assert FolderCatalogue(tmp_path / "a", tmp_path / "b", tmp_path / "gone").names() == ["one", "two"]


def test_an_earlier_folder_hides_the_same_name_in_a_later_one(tmp_path: Path) -> None:
    write(tmp_path / "own", "install", "2")
    write(tmp_path / "shipped", "install", "1")

    assert FolderCatalogue(tmp_path / "own", tmp_path / "shipped").get("install").version == "2"


def test_a_file_is_read_when_it_is_first_asked_for_and_once(tmp_path: Path) -> None:
    write(tmp_path, "one")
    (tmp_path / "broken.yaml").write_text("a: [")
    catalogue = FolderCatalogue(tmp_path)

    first = catalogue.get("one")

    assert catalogue.get("one") is first
    with pytest.raises(ValidationError):
        catalogue.get("broken")


def test_an_unknown_name_has_the_nearest_ones(tmp_path: Path) -> None:
    write(tmp_path, "install")

    with pytest.raises(NotFoundError, match="no workflow `instal`") as caught:
        FolderCatalogue(tmp_path).get("instal")

    assert caught.value.hint == "did you mean `install`?"


def test_a_name_never_leads_out_of_the_folders(tmp_path: Path) -> None:
    write(tmp_path, "outside")
    (tmp_path / "inside").mkdir()

    with pytest.raises(NotFoundError):
        FolderCatalogue(tmp_path / "inside").get("../outside")


def test_a_file_is_called_like_its_workflow(tmp_path: Path) -> None:
    write(tmp_path, "one", file="other")

    with pytest.raises(ValidationError, match="the file is called `other`, its workflow `one`"):
        FolderCatalogue(tmp_path).get("other")


def test_what_cannot_be_read_is_said_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()

    with pytest.raises(ValidationError, match="cannot be read") as caught:
        FolderCatalogue(tmp_path).get("folder")

    assert caught.value.where == str(tmp_path / "folder.yaml")


def test_it_shows_where_it_looks(tmp_path: Path) -> None:
    assert repr(FolderCatalogue(tmp_path)) == f"FolderCatalogue({tmp_path})"


# -- the shipped pipelines ---------------------------------------------------------------------------------------

PICTURES = {
    "install": (
        "lookup current build validate prepare agree decide approve commit activate configure verify",
        "recover",
        "",
    ),
    "plan": ("lookup current absent build validate prepare", "", "discard"),
    "rollback": ("locate preview approve rollback redo activate configure gone works", "recover", ""),
    "uninstall": (
        "lookup absent build validate prepare approve commit activate configure verify",
        "recover",
        "",
    ),
    "verify": ("lookup verify", "", ""),
}


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_shipped_pipeline_has_the_picture_that_people_know(name: str) -> None:
    plan = plan_of(FolderCatalogue(SHIPPED).get(name))

    groups = (plan.main, plan.on_failure, plan.always)
    assert tuple(" ".join(group) for group in groups) == PICTURES[name]


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_shipped_pipeline_can_be_shown_and_read_back(name: str) -> None:
    workflow = FolderCatalogue(SHIPPED).get(name)

    assert load_workflow(dump_workflow(workflow), source=name) == workflow
    assert all(step.description for step in (*workflow.steps, *workflow.on_failure))
    assert all(spec.description for spec in workflow.inputs.values())


def test_every_change_of_a_target_is_transactional_and_comes_after_consent() -> None:
    for name in ("install", "rollback", "uninstall"):
        workflow = FolderCatalogue(SHIPPED).get(name)
        order = plan_of(workflow).main
        changing = [step for step in workflow.steps if step.effect is EffectPolicy.TRANSACTIONAL]

        assert changing
        assert all(order.index("approve") < order.index(step.id) for step in changing)


def test_recovery_of_an_installation_shows_as_rolling_back() -> None:
    assert FolderCatalogue(SHIPPED).get("install").on_failure[0].phase is RunStatus.ROLLING_BACK
