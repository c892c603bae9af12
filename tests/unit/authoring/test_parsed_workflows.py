"""Shipped definitions that need not be parsed again: the same ones, and only as long as their text is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.authoring import FolderCatalogue, dump_workflow, load_workflow
from workflow_agent.authoring.parsed import PARSED_FILE, ParsedWorkflows, parsed_text
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from workflow_agent.model.workflow import Workflow

SHIPPED = Path(__file__).parents[3] / "config" / "workflows"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SHIPPED.glob("*.yaml"))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what is shipped."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "workflows"))


def get(folder: Path, name: str) -> Workflow:
    return FolderCatalogue(folder, shipped=folder).get(name)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_what_is_shipped_as_parsed_is_what_the_definition_says(name: str) -> None:
    """Where this fails: `python -m workflow_agent.authoring.parsed config/workflows`."""
    known = ParsedWorkflows(SHIPPED).get(TEXTS[name])

    assert known == load_workflow(TEXTS[name], source=name)
    assert dump_workflow(known) == dump_workflow(load_workflow(TEXTS[name], source=name))  # in the same order, too


def test_the_shipped_file_is_written_from_the_definitions() -> None:
    assert (SHIPPED / PARSED_FILE).read_text(encoding="utf-8") == parsed_text(TEXTS.values())


def test_a_definition_that_was_changed_is_parsed_again(folder: Path) -> None:
    path = folder / "verify.yaml"
    path.write_text(TEXTS["verify"].replace('version: "1"', 'version: "7"'), encoding="utf-8")
    assert get(folder, "verify").version == "7"

    path.write_text(TEXTS["verify"] + "steps: []\n", encoding="utf-8")
    with pytest.raises(ValidationError):
        get(folder, "verify")


@pytest.mark.parametrize(
    "written",
    [None, b"", b"{", b"\xff", b"[]", b"{}", b"null", b'{"%s": {"name": "verify"}}', b'{"%s": 3}', b'{"%s": {"x": 1}}'],
)
def test_a_file_that_says_nothing_of_use_costs_nothing_but_time(folder: Path, written: bytes | None) -> None:
    known = json.loads((folder / PARSED_FILE).read_bytes())
    (key,) = [key for key, one in known.items() if one["name"] == "verify"]
    (folder / PARSED_FILE).unlink()
    if written is not None:
        (folder / PARSED_FILE).write_bytes(written.replace(b"%s", key.encode()))

    assert get(folder, "verify") == load_workflow(TEXTS["verify"], source="verify")


def test_only_the_shipped_folder_is_believed(folder: Path, tmp_path: Path) -> None:
    """Somebody else's folder may hold such a file too; what it says is not what was checked."""
    known = json.loads((folder / PARSED_FILE).read_bytes())
    (key,) = [key for key, one in known.items() if one["name"] == "verify"]
    (folder / PARSED_FILE).write_text(json.dumps({key: known[key] | {"version": "9"}}), encoding="utf-8")

    assert FolderCatalogue(folder, shipped=tmp_path).get("verify").version == "1"
    assert FolderCatalogue(folder).get("verify").version == "1"


def test_a_shipped_definition_is_had_without_yaml_and_pydantic() -> None:
    code = (
        "import sys; from pathlib import Path; from workflow_agent.authoring import FolderCatalogue;"
        f"folder = Path({str(SHIPPED)!r}); FolderCatalogue(folder, shipped=folder).get('install');"
        "print({'yaml', 'pydantic'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
