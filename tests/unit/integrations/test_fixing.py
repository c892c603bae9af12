"""The one form of manifests, and what lint puts right by itself."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from workflow_agent.integrations import Registry, builtin_folder, lint, load_manifest
from workflow_agent.integrations.fixing import build_readme, fix_folder, fix_of, format_folder
from workflow_agent.integrations.formatting import formatted
from workflow_agent.integrations.scaffold import DraftAnswers, DraftTemplate, files_of
from workflow_agent.model.errors import ManifestError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "greeting"
    for name, content in files_of(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT)).items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    return made


@pytest.mark.parametrize("name", Registry([builtin_folder()]).names())
def test_what_is_shipped_is_in_the_one_form(name: str) -> None:
    assert format_folder(builtin_folder() / name, write=False) is False


@pytest.mark.parametrize("template", list(DraftTemplate))
def test_a_draft_is_in_the_one_form(template: DraftTemplate) -> None:
    text = files_of(DraftAnswers(name="x", template=template))["integration.yaml"].decode()

    assert formatted(text) == text


def test_keys_come_in_order_and_comments_go_with_their_key() -> None:
    text = "\n\nversion: 1.0.0  \n# who\nname: a\r\n\n\n\n# tail of files\nfiles: []\n\nchecks:\n- {a: b}   \n\n"
    text += "actions: {}\n"

    result = formatted(text)

    assert result == (
        "# who\nname: a\nversion: 1.0.0\n\nactions: {}\n\n# tail of files\nfiles: []\n\nchecks:\n- {a: b}\n"
    )
    assert formatted(result) == result


@pytest.mark.parametrize(
    "text",
    [
        "name: a\ndescription: |\n  two blanks  \n  end\n",  # they are part of the text
        'name: a\ndescription: "x\n\n\n  y"\n',
        "# only a comment\n",
        "[]\n",
        "\n",
        "? a\n: b\n",
    ],
)
def test_a_text_means_the_same_afterwards(text: str) -> None:
    assert yaml.safe_load(formatted(text)) == yaml.safe_load(text)


def test_any_order_of_keys_becomes_the_same_text() -> None:
    text = (builtin_folder() / "nginx/integration.yaml").read_text(encoding="utf-8")
    chance = random.Random(6)  # said again by the next run
    parts = text.split("\n\n")
    for _ in range(10):
        chance.shuffle(parts)
        mixed = "\n\n".join(part.strip("\n") for part in parts) + "\n"
        assert yaml.safe_load(formatted(mixed)) == yaml.safe_load(text)
        assert [line for line in formatted(mixed).split("\n") if line] == [line for line in text.split("\n") if line]


def test_words_that_are_clearly_meant_otherwise_are_replaced_in_place(folder: Path) -> None:
    file = folder / "integration.yaml"
    text = file.read_text(encoding="utf-8")
    wrong = text.replace("checks:\n", "check:\n").replace(
        "kind: file, path: /opt/greeting/g", "kind: fiel, path: /opt/greeting/g"
    )
    file.write_text(wrong.replace("type: string", "type: 'strin'"), encoding="utf-8")

    done = fix_folder(folder)

    assert any("`check` became `checks`" in sentence for sentence in done), done
    assert any("`fiel` became `file`" in sentence for sentence in done), done
    assert any("`strin` became `string`" in sentence for sentence in done), done
    assert lint(folder) == []
    assert load_manifest(folder).checks[0].kind == "file"
    assert fix_folder(folder) == []


def test_what_is_for_the_author_to_decide_stays(folder: Path) -> None:
    file = folder / "integration.yaml"
    text = file.read_text(encoding="utf-8").replace("category: other", "category: Other Things") + "zzzz: 1\n"
    file.write_text(text, encoding="utf-8")

    assert fix_folder(folder) == []
    assert file.read_text(encoding="utf-8") == text
    assert fix_of("pattern", "use words") is None
    assert fix_of("unknown-key", None) is None


def test_a_text_that_is_no_yaml_is_left_alone(folder: Path) -> None:
    (folder / "integration.yaml").write_text("a: [", encoding="utf-8")

    assert fix_folder(folder) == []
    with pytest.raises(ManifestError):
        format_folder(folder)


def test_a_folder_without_a_manifest_is_told(tmp_path: Path) -> None:
    for act in (fix_folder, format_folder, build_readme):
        with pytest.raises(NotFoundError):
            act(tmp_path)


def test_the_readme_is_written_only_when_it_says_something_else(folder: Path) -> None:
    assert build_readme(folder, write=False) is True
    assert not (folder / "README.md").exists()
    assert build_readme(folder) is True
    assert build_readme(folder) is False


def test_line_ends_of_other_systems_are_changed(folder: Path) -> None:
    file = folder / "integration.yaml"
    shutil.copy(file, folder / "before")
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))

    assert format_folder(folder) is True
    assert file.read_bytes() == (folder / "before").read_bytes()
