"""Manifests and bound checks that fit their models exactly, read without the models.

Building the models takes 200 ms, which is more than all the rest of a short command. ``fitting.json`` says what they
say, in a form that takes a millisecond to read: ``fitting_table`` writes it from them, and tests hold both to the same
answer. What does not fit at first sight is for the models, who convert it or say what is wrong with it.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, cast

from workflow_agent.authoring.yaml_source import read_text
from workflow_agent.integrations import kinds
from workflow_agent.integrations.loading import MANIFEST_FILE, manifest_hash, name_problems, read_document
from workflow_agent.integrations.secret_places import secret_places
from workflow_agent.integrations.shipped_manifests import shipped_data
from workflow_agent.integrations.soundness import soundness
from workflow_agent.model.capability import Capability
from workflow_agent.model.errors import ManifestError, NotFoundError, ValidationError
from workflow_agent.model.system import InitKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from workflow_agent.integrations.checks import CheckSpec
    from workflow_agent.integrations.manifest import Manifest

    #: Reads a value, bound or as written; raises _MisfitError.
    _Reader: TypeAlias = Callable[[Any, bool], Any]

__all__ = ["ENUMS", "TABLE", "Fitting", "bound_check", "fitting_manifest", "manifest_of"]

TABLE: Final = Path(__file__).with_name("fitting.json")
#: Enumerations that the table names.
ENUMS: Final = {
    kind.__name__: kind
    for kind in (
        Capability,
        InitKind,
        kinds.ActionName,
        kinds.EffectKind,
        kinds.FileFormat,
        kinds.ParameterType,
        kinds.StatePolicy,
        kinds.UpgradePolicy,
    )
}


#: Whole numbers below are the same in any engine, and below that one as a float too.
_LONG: Final = 1 << 63
_EXACT: Final = 1 << 53


class _MisfitError(Exception):
    """A value is not exactly what is declared: the models have to judge it."""


class Fitting:
    """Reads like the model of the same name: fields as attributes, and ``model_dump`` with the same result."""

    model_fields_set: frozenset[str]
    _fields: tuple[str, ...]
    _aliases: Mapping[str, str]

    def __init__(self, values: Mapping[str, Any], given: frozenset[str], aliases: Mapping[str, str]) -> None:
        self.__dict__.update(values, model_fields_set=given, _fields=tuple(values), _aliases=aliases)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name} cannot be set")

    def model_dump(
        self, *, mode: str, by_alias: bool = False, exclude_none: bool = False, exclude: Collection[str] = ()
    ) -> dict[str, Any]:
        """Give the fields as JSON; see ``pydantic.BaseModel.model_dump``."""
        assert mode == "json"
        values = {name: self.__dict__[name] for name in self._fields if name not in exclude}
        return {
            (self._aliases.get(name, name) if by_alias else name): _json(value, by_alias, exclude_none)
            for name, value in values.items()
            if not (exclude_none and value is None)
        }


def _json(value: Any, by_alias: bool, exclude_none: bool) -> Any:  # Any: a field's value, a JSON value
    if isinstance(value, Fitting):
        return value.model_dump(mode="json", by_alias=by_alias, exclude_none=exclude_none)
    if isinstance(value, list | tuple):
        return [_json(item, by_alias, exclude_none) for item in value]
    if isinstance(value, dict):
        return {_json(key, by_alias, exclude_none): _json(item, by_alias, exclude_none) for key, item in value.items()}
    return str(value) if isinstance(value, str) else value


def fitting_manifest(folder: Path) -> Manifest | None:
    """Load the integration of a folder, as ``load_manifest`` does; None where that has something to say about it."""
    folder = folder.absolute()
    try:
        data = shipped_data(read_text(folder / MANIFEST_FILE)) or read_document(folder).data
    except (ManifestError, NotFoundError, OSError, ValidationError):
        return None
    manifest = manifest_of(data)
    if manifest is None or name_problems(manifest, folder) or soundness(manifest) or secret_places(manifest):
        return None
    manifest.__dict__.update(folder=folder, hash=manifest_hash(folder, data))
    return manifest


def manifest_of(data: Any) -> Manifest | None:  # Any: what YAML gives
    """Read a manifest's data; None where it does not fit."""
    return cast("Manifest | None", _read("Manifest", data, bound=False))


def bound_check(data: Any) -> CheckSpec | None:  # Any: a check whose expressions were replaced
    """Read a bound check; None where it does not fit."""
    return cast("CheckSpec | None", _read("CheckSpec", data, bound=True))


def _read(name: str, data: Any, *, bound: bool) -> Any:
    try:
        return _named(name)(data, bound)
    except _MisfitError:
        return None


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_bytes())
    return table


@cache
def _named(name: str) -> _Reader:
    return _reader(_table()[name])


def _reader(node: dict[str, Any]) -> _Reader:
    return _READERS[node["is"]](node)


def _expect(fits: object) -> None:
    if not fits:
        raise _MisfitError


def _text(node: dict[str, Any]) -> _Reader:
    pattern = re.compile(node["pattern"]) if "pattern" in node else None
    least, most = node.get("min", 0), node.get("max", math.inf)

    def read(value: Any, bound: bool) -> str:  # noqa: ARG001
        _expect(type(value) is str and least <= len(value) <= most)
        if not value.isascii():
            # two engines may differ on what else a letter or a blank is; half of a pair is no text at all
            _expect(pattern is None and not any("\ud800" <= char <= "\udfff" for char in value))
        # Python's `$` holds before a line end too
        _expect(pattern is None or (not value.endswith("\n") and pattern.search(value)))
        return str(value)

    return read


def _number(node: dict[str, Any]) -> _Reader:
    is_whole = node["is"] == "int"

    def read(value: Any, bound: bool) -> float:  # noqa: ARG001
        _expect(type(value) is int or (type(value) is float and not is_whole and math.isfinite(value)))
        _expect(abs(value) < (_LONG if is_whole else _EXACT))
        _expect(value >= node.get("ge", value) and value <= node.get("le", value))
        _expect("gt" not in node or value > node["gt"])
        return int(value) if is_whole else float(value)

    return read


def _exactly(kind: type) -> Callable[[dict[str, Any]], _Reader]:
    def make(node: dict[str, Any]) -> _Reader:  # noqa: ARG001
        def read(value: Any, bound: bool) -> Any:  # noqa: ARG001
            _expect(type(value) is kind)
            return value

        return read

    return make


def _literal(node: dict[str, Any]) -> _Reader:
    def read(value: Any, bound: bool) -> str:  # noqa: ARG001
        _expect(type(value) is str and value in node["of"])
        return str(value)

    return read


def _enum(node: dict[str, Any]) -> _Reader:
    members = {str(member): member for member in ENUMS[node["name"]]}

    def read(value: Any, bound: bool) -> Any:  # noqa: ARG001
        _expect(type(value) is str and value in members)
        return members[value]

    return read


def _json_value(node: dict[str, Any]) -> _Reader:  # noqa: ARG001
    def read(value: Any, bound: bool) -> Any:
        if type(value) is list:
            return [read(item, bound) for item in value]
        if type(value) is dict:
            return {any_text(key, bound): read(item, bound) for key, item in value.items()}
        if type(value) is str:
            return any_text(value, bound)
        _expect(value is None or type(value) in {bool, int, float})
        _expect(type(value) is bool or value is None or abs(value) < _LONG)  # nor anything that is no number
        return value

    any_text = _text({})
    return read


def _nullable(node: dict[str, Any]) -> _Reader:
    inner = _reader(node["of"])
    return lambda value, bound: None if value is None else inner(value, bound)


def _union(node: dict[str, Any]) -> _Reader:
    readers = [_reader(item) for item in node["of"]]

    def read(value: Any, bound: bool) -> Any:
        for reader in readers:
            try:
                return reader(value, bound)
            except _MisfitError:
                continue
        raise _MisfitError

    return read


def _chosen(node: dict[str, Any]) -> _Reader:
    """Read one of several forms; a key of the value, or a function, says which."""
    forms = {name: _reader(item) for name, item in node["of"].items()}
    if "key" in node:
        key = node["key"]
        return lambda value, bound: _form(forms, value.get(key) if type(value) is dict else None)(value, bound)
    choose = _FORMS[node["call"]]
    return lambda value, bound: _form(forms, choose(value))(value, bound)


def _form(forms: dict[str, _Reader], name: Any) -> _Reader:
    _expect(type(name) is str and name in forms)
    return forms[name]


def _checked(node: dict[str, Any]) -> _Reader:
    inner, problem = _reader(node["of"]), _PROBLEMS[node["call"]]

    def read(value: Any, bound: bool) -> Any:
        made = inner(value, bound)
        _expect(problem(made, bound=bound) is None)
        return made

    return read


def _several(node: dict[str, Any]) -> _Reader:
    inner, kind, least = _reader(node["of"]), tuple if node["is"] == "tuple" else list, node.get("min", 0)

    def read(value: Any, bound: bool) -> Any:
        _expect(type(value) is list and len(value) >= least)
        return kind(inner(item, bound) for item in value)

    return read


def _mapping(node: dict[str, Any]) -> _Reader:
    key_of, value_of = _reader(node["keys"]), _reader(node["values"])

    def read(value: Any, bound: bool) -> Any:
        _expect(type(value) is dict)
        return {key_of(key, bound): value_of(item, bound) for key, item in value.items()}

    return read


def _part(node: dict[str, Any]) -> _Reader:
    fields = {name: _reader(item["of"]) for name, item in node["fields"].items()}
    aliases = {name: item["alias"] for name, item in node["fields"].items() if "alias" in item}
    keys = {name: aliases.get(name, name) for name in fields}
    known = frozenset(keys.values())
    needed = frozenset(keys[name] for name, item in node["fields"].items() if "default" not in item)
    defaults = {name: item["default"] for name, item in node["fields"].items() if "default" in item}

    def read(value: Any, bound: bool) -> Fitting:
        _expect(type(value) is dict and needed <= value.keys() <= known)
        given = frozenset(name for name, key in keys.items() if key in value)
        values = {
            name: reader(value[keys[name]] if name in given else defaults[name], bound)
            for name, reader in fields.items()
        }
        return Fitting(values, given, aliases)

    return read


def _reference(node: dict[str, Any]) -> _Reader:
    return lambda value, bound: _named(node["name"])(value, bound)  # noqa: PLW0108  # late: a part may name itself


_FORMS: Final = {"argument_kind": kinds.argument_kind, "value_kind": kinds.value_kind}
_PROBLEMS: Final = {
    "_absolute": kinds.path_problem,
    "_expression": kinds.expression_problem,
    "_printable": kinds.printable_problem,
}
_READERS: Final[dict[str, Callable[[dict[str, Any]], _Reader]]] = {
    "bool": _exactly(bool),
    "by": _chosen,
    "checked": _checked,
    "dict": _mapping,
    "enum": _enum,
    "float": _number,
    "int": _number,
    "json": _json_value,
    "list": _several,
    "literal": _literal,
    "none": _exactly(type(None)),
    "nullable": _nullable,
    "part": _part,
    "ref": _reference,
    "str": _text,
    "tuple": _several,
    "union": _union,
}
