"""Manifests that must be refused, each with its rule and line; and those of earlier releases, which must not.

A file of `tests/examples/bad-manifests` begins with a line ``# RULE LINE``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from workflow_agent.integrations import builtin_folder, lint, load_manifest
from workflow_agent.integrations.schema import manifest_schema
from workflow_agent.model.system import Severity

EXAMPLES = Path(__file__).parents[2] / "examples"
BAD = sorted((EXAMPLES / "bad-manifests").iterdir())
EARLIER = sorted((EXAMPLES / "manifests-of-1").iterdir())
_REFUSED_S = 5.0


def _folder(text: bytes, parent: Path, name: str = "example") -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / "integration.yaml").write_bytes(text)
    return folder


def test_there_are_enough() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_manifest_is_refused_with_the_right_rule_at_the_right_line(file: Path, tmp_path: Path) -> None:
    text = file.read_bytes()
    _, rule, line = text.split(b"\n", 1)[0].decode().split(" ")
    started = time.monotonic()

    errors = [found for found in lint(_folder(text, tmp_path)) if found.severity is Severity.ERROR]

    assert time.monotonic() - started < _REFUSED_S
    assert (errors[0].code, errors[0].where.split(":")[1]) == (rule, line), errors


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"name: \xff\xfe\n", "UTF-8"),
        (b"a: [" + b"1, " * 60000 + b"1]\n", "more than 50000 values"),
        (b"# " + b"x" * 1_100_000, "larger than"),
        (b"a: " + b"{a: " * 200_000, "nested deeper than 64"),
    ],
    ids=["not-utf-8", "many-values", "large", "very-deep"],
)
def test_what_would_cost_much_is_refused_soon(text: bytes, sentence: str, tmp_path: Path) -> None:
    started = time.monotonic()

    (error,) = lint(_folder(text, tmp_path))

    assert time.monotonic() - started < _REFUSED_S
    assert error.code == "yaml"
    assert sentence in error.message + (error.hint or "")


@pytest.mark.parametrize("file", EARLIER, ids=lambda file: file.stem)
def test_a_manifest_of_the_first_version_is_read_for_ever(file: Path, tmp_path: Path) -> None:
    folder = _folder(file.read_bytes(), tmp_path, file.stem)
    templates = builtin_folder() / file.stem / "templates"
    if templates.is_dir():
        (folder / "templates").symlink_to(templates)

    manifest = load_manifest(folder)

    jsonschema.validate(json.loads(manifest.model_dump_json(by_alias=True, exclude_unset=True)), manifest_schema())
    assert manifest.schema_ == "workflow-agent/integration/1"
    assert [found for found in lint(folder) if found.severity is Severity.ERROR] == []
