"""What follows from a manifest is remembered as long as nothing of its folder changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.integrations import Plugins, Registry, builtin_folder
from workflow_agent.integrations.brief import brief_of
from workflow_agent.model.errors import ManifestError, NotFoundError
from workflow_agent.store.remembered import RememberedResults

if TYPE_CHECKING:
    from workflow_agent.integrations import Manifest

NAME = "prometheus-redis-exporter"


class Counted(Registry):
    """Counts the manifests that are read."""

    def __init__(self, tmp_path: Path, release: str = "1") -> None:
        memory = RememberedResults(tmp_path / "remembered", release)
        super().__init__([tmp_path / "integrations"], memory=memory)
        self.read = 0

    def load(self, name: str, place: Path | None) -> Manifest:
        self.read += 1
        return super().load(name, place)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(builtin_folder() / NAME, tmp_path / "integrations" / NAME))


def version_of(manifest: Manifest) -> Any:
    return {"version": manifest.version}


def test_a_manifest_is_read_once_for_all_processes(tmp_path: Path, folder: Path) -> None:
    first, later = Counted(tmp_path), Counted(tmp_path)
    expected = brief_of(Registry([folder.parent]).get(NAME))

    assert [first.brief(NAME), later.brief(NAME), later.brief(str(folder))] == [expected] * 3
    assert (first.read, later.read) == (1, 0)
    assert expected.requires == ("redis-server",)


def test_a_command_reads_it_once_for_all_questions(tmp_path: Path, folder: Path) -> None:
    registry = Counted(tmp_path)

    assert registry.brief(folder.name).version == registry.derived(NAME, {"what": "version"}, version_of)["version"]
    assert registry.read == 1


@pytest.mark.parametrize("file", ["integration.yaml", "templates/new.sh.j2"])
def test_a_change_of_the_folder_is_seen(tmp_path: Path, folder: Path, file: str) -> None:
    before = Counted(tmp_path).brief(NAME)
    (folder / file).parent.mkdir(exist_ok=True)
    with (folder / file).open("a") as stream:
        stream.write("\n# changed\n")
    if file == "integration.yaml":
        text = (folder / file).read_text().replace(f"version: {before.version}", "version: 9.9.9")
        (folder / file).write_text(text)

    registry = Counted(tmp_path)
    after = registry.brief(NAME)

    assert registry.read == 1
    assert after.hash != before.hash
    assert after.version == ("9.9.9" if file == "integration.yaml" else before.version)


def test_a_manifest_that_became_invalid_is_refused(tmp_path: Path, folder: Path) -> None:
    Counted(tmp_path).brief(NAME)
    (folder / "integration.yaml").write_text("name: 3\n")

    with pytest.raises(ManifestError):
        Counted(tmp_path).brief(NAME)


def test_what_does_not_take_part_changes_nothing(tmp_path: Path, folder: Path) -> None:
    Counted(tmp_path).brief(NAME)
    (folder / "README.md").write_text("other words")

    registry = Counted(tmp_path)
    registry.brief(NAME)
    assert registry.read == 0


def test_another_release_reads_it_again(tmp_path: Path, folder: Path) -> None:
    Counted(tmp_path).brief(folder.name)

    registry = Counted(tmp_path, release="2")
    registry.brief(NAME)
    assert registry.read == 1


def test_other_questions_have_other_answers(tmp_path: Path, folder: Path) -> None:
    registry = Counted(tmp_path)

    assert registry.derived(folder.name, {"given": 1}, lambda _: "one") == "one"
    assert registry.derived(NAME, {"given": 2}, lambda _: "two") == "two"
    assert registry.derived(NAME, {"given": 1}, lambda _: "never asked") == "one"


def test_an_answer_that_is_refused_is_not_remembered(tmp_path: Path, folder: Path) -> None:
    registry = Counted(tmp_path)

    def refuse(_: Manifest) -> Any:
        raise NotFoundError("no")

    for _ in range(2):
        with pytest.raises(NotFoundError):
            registry.derived(folder.name, {}, refuse)


def test_a_folder_that_changes_meanwhile_is_not_remembered(tmp_path: Path, folder: Path) -> None:
    def change(manifest: Manifest) -> Any:
        (folder / "new.txt").write_text("x")
        return version_of(manifest)

    Counted(tmp_path).derived(NAME, {}, change)
    (folder / "new.txt").unlink()

    assert Counted(tmp_path).derived(NAME, {}, lambda _: "asked again") == "asked again"


@pytest.mark.parametrize("name", ["no-such-thing", "./no/such/folder", "a/b\x00c", "~nobody-of-that-name/x"])
def test_what_is_not_there_is_not_found(tmp_path: Path, folder: Path, name: str) -> None:
    del folder
    with pytest.raises(NotFoundError):
        Counted(tmp_path).brief(name)


def test_without_a_memory_everything_is_read(tmp_path: Path) -> None:
    registry = Registry([builtin_folder()], Plugins(tmp_path))
    assert registry.brief(NAME) == brief_of(registry.get(NAME))
