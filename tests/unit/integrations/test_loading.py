"""Manifests are read with every problem located; the hash covers all that takes part."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from workflow_agent.authoring.yaml_source import load_yaml
from workflow_agent.integrations import Registry, builtin_folder, load_folder, load_manifest, manifest_schema, readme
from workflow_agent.integrations.schema import SCHEMA_FILE, schema_text
from workflow_agent.integrations.schema_problems import model_at
from workflow_agent.integrations.soundness import facts_known
from workflow_agent.model.errors import ManifestError, NotFoundError
from workflow_agent.model.system import TargetFacts

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"
GOOD = (EXAMPLES / "schema" / "good" / "integration.yaml").read_text(encoding="utf-8")
SHIPPED = Registry([builtin_folder()]).names()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "example"
    path.mkdir()
    (path / "integration.yaml").write_text(GOOD, encoding="utf-8")
    return path


def test_a_folder_without_a_manifest_is_no_integration(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not an integration"):
        load_manifest(tmp_path)


def test_a_manifest_that_is_a_folder_is_no_integration(tmp_path: Path) -> None:
    (tmp_path / "integration.yaml").mkdir()

    with pytest.raises(NotFoundError):
        load_manifest(tmp_path)


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"x" * (1 << 20) + b"xx", b"a: [", b"a: 1\na: 2\n"])
def test_unreadable_text_is_a_located_manifest_error(folder: Path, raw: bytes) -> None:
    (folder / "integration.yaml").write_bytes(raw)

    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)

    assert "integration.yaml" in str(caught.value.where)
    assert caught.value.details["errors"][0]["code"] == "yaml"


@pytest.mark.parametrize("text", ["", "just text", "[]", "null"])
def test_text_that_is_no_mapping_is_refused(folder: Path, text: str) -> None:
    (folder / "integration.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError):
        load_manifest(folder)


def test_problems_are_sorted_by_place_and_counted(folder: Path) -> None:
    text = GOOD.replace("version: 1.0.0", "version: one").replace("kind: port", "kind: prot")
    (folder / "integration.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)

    keys = [error["key"] for error in caught.value.details["errors"]]
    assert keys == ["version", "checks[1].kind"]
    assert "(and 1 more)" in caught.value.message
    assert f"{folder}/integration.yaml:3:1" == caught.value.where


def test_a_problem_of_a_union_is_told_once(folder: Path) -> None:
    text = GOOD.replace("    default: 8080", "    default: 8080\n    min: low\n    choices: [[1]]")
    text = text.replace("    listens: [", "    argv: [[1], {value: x, wen: y}]\n    listens: [", 1)
    text = text.replace('    argv: [/usr/sbin/exampled, "--port=${{ parameters.port }}"]\n', "")
    (folder / "integration.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)

    told = {error["key"]: error["message"] for error in caught.value.details["errors"]}
    assert told["parameters.port.min"] == "should be an integer or a number"
    assert told["parameters.port.choices[0]"] == "should be a text or an integer or a number"
    assert told["services[0].argv[0]"] == "should be a mapping"
    assert told["services[0].argv[1].wen"] == "is not a key that is known here"
    assert len(told) == 4


def test_the_hash_covers_data_and_templates_but_not_the_readme(folder: Path) -> None:
    before = load_manifest(folder).hash
    (folder / "README.md").write_text("x", encoding="utf-8")
    (folder / "tests").mkdir()
    (folder / "tests" / "x.txt").write_text("x", encoding="utf-8")
    assert before == load_manifest(folder).hash

    (folder / "templates" / "apt").mkdir(parents=True)
    (folder / "templates" / "apt" / "x.sh.j2").write_text("true\n", encoding="utf-8")
    with_template = load_manifest(folder).hash
    assert before != with_template

    (folder / "templates" / "apt" / "x.sh.j2").write_text("false\n", encoding="utf-8")
    assert with_template != load_manifest(folder).hash


def test_comments_do_not_change_the_hash(folder: Path) -> None:
    before = load_manifest(folder).hash
    (folder / "integration.yaml").write_text("# note\n" + GOOD, encoding="utf-8")

    assert before == load_manifest(folder).hash


def test_a_folder_may_be_named_relatively(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    assert folder == load_folder(Path()).folder


def test_the_shipped_schema_is_the_models() -> None:
    assert schema_text() == (builtin_folder() / SCHEMA_FILE).read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(manifest_schema())


def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema_text()))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_manifests_fit_the_schema(name: str) -> None:
    text = (builtin_folder() / name / "integration.yaml").read_text(encoding="utf-8")

    _validator().validate(load_yaml(text, source=name).data)


@pytest.mark.parametrize("rule", ["unknown-key", "choice", "pattern", "too-short", "schema"])
def test_the_schema_refuses_what_the_models_refuse(rule: str) -> None:
    text = (EXAMPLES / rule / "bad" / "integration.yaml").read_text(encoding="utf-8")

    assert not _validator().is_valid(load_yaml(text, source=rule).data)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_readmes_are_generated(name: str) -> None:
    manifest = Registry([builtin_folder()]).get(name)

    assert readme(manifest) == (manifest.folder / "README.md").read_text(encoding="utf-8")


def test_expressions_may_name_every_fact() -> None:
    assert facts_known == tuple(TargetFacts.__dataclass_fields__)


def test_every_mapping_of_a_manifest_has_a_model() -> None:
    """So that a misspelled key always gets a suggestion."""
    data = {"checks": [{"kind": "http"}, {"kind": "x"}, 7]}

    assert model_at((), data) is not None
    assert model_at(("upgrade",), data) is not None
    assert model_at(("checks", 0), data) is not None
    assert model_at(("checks", 1), data) is None
    assert model_at(("checks", 2), data) is None
    assert model_at(("files", 0, "values"), data) is None
