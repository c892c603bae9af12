"""Manifests and checks that are read without their models: the same as with them, or left to them."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError as PydanticError

from workflow_agent.authoring.yaml_source import load_yaml
from workflow_agent.integrations import builtin_folder, load_manifest, shipped_manifests
from workflow_agent.integrations.checks import check_adapter
from workflow_agent.integrations.fields import BOUND, Part
from workflow_agent.integrations.fitting import TABLE, Fitting, bound_check, fitting_manifest, manifest_of
from workflow_agent.integrations.fitting_table import table_text
from workflow_agent.integrations.loading import MANIFEST_FILE, read_document
from workflow_agent.integrations.manifest import Manifest
from workflow_agent.integrations.shipped_manifests import SHIPPED, shipped_data, shipped_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDERS = sorted(file.parent for file in builtin_folder().glob("*/integration.yaml"))
_DATA = [read_document(folder).data for folder in _FOLDERS]
#: What may stand anywhere in a manifest, and mostly should not.
_ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        0.5,
        70000,
        1 << 60,
        1 << 80,
        math.inf,
        math.nan,
        [],
        ["x"],
        {},
        {"x": 1},
        {"x": None},
    ),
    *("", "x", "X\n", "a-b\n", "\u00e4", "\ud800", "/etc/x", "/a/../b", "/a\tb", "${{ parameters.port }}", "1" * 70000),
    *("a ${{ parameters.port }}", "0644\n", "\u0663.1.0", "tcp/1", "http", [[{}]], {1: 2}),
    {"id": "x", "kind": "file", "path": "/x"},
]


def _same(fitting: Any, model: Any) -> bool:
    """Compare fields, what was given, types, and the JSON forms."""
    if isinstance(model, Part):
        names = type(model).model_fields
        return (
            isinstance(fitting, Fitting)
            and fitting.model_fields_set == model.model_fields_set
            and all(_same(getattr(fitting, name), getattr(model, name)) for name in names)
        )
    if type(fitting) is not type(model):
        return False
    if isinstance(model, list | tuple):
        return len(fitting) == len(model) and all(map(_same, fitting, model))
    if isinstance(model, dict):
        return list(fitting) == list(model) and all(_same(fitting[key], model[key]) for key in model)
    return bool(fitting == model)


def _dumped(model: Any) -> Iterator[dict[str, Any]]:
    for by_alias in (False, True):
        for without_none in (False, True):
            yield model.model_dump(mode="json", by_alias=by_alias, exclude_none=without_none)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))


def _changed(data: Any, path: tuple[Any, ...], value: Any, how: str) -> Any:
    if not path:
        return value
    made = copy.deepcopy(data)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    if how == "drop":
        del inner[path[-1]]
    elif how == "add" and isinstance(inner, dict):
        inner[f"{path[-1]}x"] = value
    else:
        inner[path[-1]] = value
    return made


def test_the_table_says_what_the_models_say() -> None:
    """If not: ``python -m workflow_agent.integrations.fitting_table``."""
    assert TABLE.read_text(encoding="utf-8") == table_text()


def test_what_is_shipped_as_data_is_what_the_manifests_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If not: ``python -m workflow_agent.integrations.shipped_manifests``."""
    texts = [(folder / MANIFEST_FILE).read_text(encoding="utf-8") for folder in _FOLDERS]
    assert SHIPPED.read_text(encoding="utf-8") == shipped_text(texts)
    for text in texts:
        assert json.dumps(shipped_data(text)) == json.dumps(load_yaml(text, source="here").data)
        assert shipped_data(f"{text}\n") is None
    for broken in ("", "[]"):
        (tmp_path / "shipped.json").write_text(broken, encoding="utf-8")
        monkeypatch.setattr(shipped_manifests, "SHIPPED", tmp_path / "shipped.json")
        shipped_manifests._known.cache_clear()
        assert shipped_data(texts[0]) is None
    shipped_manifests._known.cache_clear()


@pytest.mark.parametrize("folder", _FOLDERS, ids=lambda folder: folder.name)
def test_what_is_shipped_is_read_alike(folder: Path) -> None:
    fitting, model = fitting_manifest(folder), load_manifest(folder)
    assert _same(fitting, model)
    assert fitting is not None
    assert (fitting.hash, fitting.folder) == (model.hash, model.folder)
    assert list(map(json.dumps, _dumped(fitting))) == list(map(json.dumps, _dumped(model)))


@settings(max_examples=400, deadline=None)
@given(
    data=st.sampled_from(_DATA),
    value=st.sampled_from(_ODD),
    how=st.sampled_from(["put", "drop", "add"]),
    draw=st.data(),
)
def test_what_is_taken_the_models_take_and_read_alike(data: Any, value: Any, how: str, draw: st.DataObject) -> None:
    changed = _changed(data, draw.draw(st.sampled_from(list(_places(data)))), value, how)
    fitting = manifest_of(changed)
    if fitting is None:
        return
    model = Manifest.model_validate(changed)
    assert _same(fitting, model)
    assert list(_dumped(fitting)) == list(_dumped(model))


_CHECKS = [check for data in _DATA for check in [*data["checks"], *data.get("negative_checks", [])]]


@settings(max_examples=400, deadline=None)
@given(
    check=st.sampled_from(_CHECKS), value=st.sampled_from(_ODD), how=st.sampled_from(["put", "drop"]), draw=st.data()
)
def test_bound_checks_are_read_alike(check: Any, value: Any, how: str, draw: st.DataObject) -> None:
    changed = _changed(check, draw.draw(st.sampled_from(list(_places(check)))), value, how)
    fitting = bound_check(changed)
    if fitting is not None:
        assert _same(fitting, check_adapter().validate_python(changed, context=dict(BOUND)))


def test_an_expression_that_was_not_replaced_is_left_to_the_models() -> None:
    """It would be a text where a number is needed."""
    check = {"id": "x", "kind": "port", "port": "${{ parameters.port }}"}
    assert bound_check(check) is None
    with pytest.raises(PydanticError):
        check_adapter().validate_python(check, context=dict(BOUND))
    assert bound_check(check | {"port": 9100}) is not None


@pytest.mark.parametrize("change", [{"name": "other"}, {"requires": ["nginx"]}, {"checks": []}, {"conflicts": 1}])
def test_what_the_loader_refuses_is_left_to_it(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tmp_path / "nginx"
    folder.mkdir()
    data = read_document(builtin_folder() / "nginx").data
    (folder / "integration.yaml").write_text(json.dumps(data | change), encoding="utf-8")
    assert fitting_manifest(folder) is None
    (folder / "integration.yaml").write_text(json.dumps(data), encoding="utf-8")
    assert fitting_manifest(folder) is not None
    (folder / "integration.yaml").write_text("a: [", encoding="utf-8")
    assert fitting_manifest(folder) is None
    assert fitting_manifest(tmp_path / "none") is None


def test_it_cannot_be_changed() -> None:
    manifest: Any = manifest_of(_DATA[0])
    with pytest.raises(AttributeError, match="cannot be set"):
        manifest.name = "other"


_RESOLVED = """
import sys
from pathlib import Path
from workflow_agent.agents.manifest_answers import bound_parameters, resolved_parts
from workflow_agent.integrations import Registry, builtin_folder
from workflow_agent.model.system import InitKind, TargetFacts, Tier
from workflow_agent.store.remembered import RememberedResults
facts = TargetFacts(
    target="host", hostname="h", os_id="debian", os_version="12", os_codename="bookworm", os_like=(), kernel="6.1",
    architecture="x86_64", init=InitKind.NONE, package_manager="apt", is_root=True, tier=Tier.EXACT,
)
registry = Registry([builtin_folder()], None, RememberedResults(Path(sys.argv[1])))
for name in ("nginx", "prometheus-node-exporter"):
    bound = bound_parameters(registry, registry.brief(name).name, {})
    assert resolved_parts(registry, name, "install", bound["parameters"], facts, purge=None)["checks"]
print("pydantic" in sys.modules)
"""


def test_the_models_are_not_loaded_for_what_fits(tmp_path: Path) -> None:
    """That is what it is for: what an action means on a target is known without pydantic."""
    done = subprocess.run(
        [sys.executable, "-c", _RESOLVED, str(tmp_path / "remembered")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
