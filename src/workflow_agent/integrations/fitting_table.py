"""Writes ``fitting.json``: what the models of a manifest say, for those who do without them.

``python -m workflow_agent.integrations.fitting_table`` writes it anew; a test compares them. A kind of schema that is
not known here is refused, so that nothing of a model is left out unnoticed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_agent.integrations.checks import check_adapter
from workflow_agent.integrations.fitting import ENUMS, TABLE
from workflow_agent.integrations.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["fitting_table", "table_text"]

#: What pydantic's core calls a bound, and what it is called here.
_BOUNDS = {"ge": "ge", "le": "le", "gt": "gt", "min_length": "min", "max_length": "max", "pattern": "pattern"}
#: Keys that say nothing about which values are valid.
_SILENT = frozenset({"metadata", "ref", "serialization", "type", "strict"})
#: What ``fitting`` reads with.
_Node: TypeAlias = dict[str, Any]


class _Table:
    """Collects parts by the names of their classes."""

    def __init__(self) -> None:
        self.parts: dict[str, _Node] = {}
        self.definitions: dict[str, Mapping[str, Any]] = {}

    def node(self, schema: Mapping[str, Any]) -> _Node:
        """Give the node of a schema of pydantic's core."""
        return _MAKERS[schema["type"]](self, schema)

    def part(self, schema: Mapping[str, Any]) -> _Node:
        name = schema["cls"].__name__
        if name not in self.parts:
            self.parts[name] = {}  # it may name itself
            fields = schema["schema"]["fields"]
            assert schema["config"]["extra_fields_behavior"] == "forbid"
            self.parts[name] = {"is": "part", "fields": {key: self._field(item) for key, item in fields.items()}}
        return {"is": "ref", "name": name}

    def _field(self, field: Mapping[str, Any]) -> _Node:
        schema, made = field["schema"], {}
        if schema["type"] == "default":
            made["default"] = _default(schema)
            schema = schema["schema"]
        if "validation_alias" in field:
            assert field["validation_alias"] == field["serialization_alias"]
            made["alias"] = field["validation_alias"]
        return {"of": self.node(schema), **made}


def _default(schema: Mapping[str, Any]) -> Any:  # Any: a JSON value
    made = schema["default"] if "default" in schema else schema["default_factory"]()
    made = {} if hasattr(made, "model_dump") and not made.model_fields_set else made
    return json.loads(json.dumps(made))


def _scalar(table: _Table, schema: Mapping[str, Any]) -> _Node:
    del table
    assert schema.get("strict") is True or schema["type"] == "str"  # of texts, only texts become texts
    return {"is": schema["type"]} | _bounds(schema)


def _bounds(schema: Mapping[str, Any], *others: str) -> _Node:
    found = {_BOUNDS[key]: schema[key] for key in _BOUNDS if key in schema}
    assert schema.keys() <= _BOUNDS.keys() | _SILENT | set(others), sorted(schema)
    return found


def _enum(table: _Table, schema: Mapping[str, Any]) -> _Node:
    del table
    assert ENUMS[schema["cls"].__name__] is schema["cls"]
    return {"is": "enum", "name": schema["cls"].__name__}


def _checked(table: _Table, schema: Mapping[str, Any]) -> _Node:
    return {"is": "checked", "call": schema["function"]["function"].__name__, "of": table.node(schema["schema"])}


def _chosen(table: _Table, schema: Mapping[str, Any]) -> _Node:
    by = schema["discriminator"]
    how = {"key": by} if isinstance(by, str) else {"call": by.__name__}
    return {"is": "by", "of": {name: table.node(item) for name, item in schema["choices"].items()}} | how


def _union(table: _Table, schema: Mapping[str, Any]) -> _Node:
    kinds = [item["type"] for item in schema["choices"]]
    # a whole number is one: where both may stand, the narrower has to be asked first
    assert "float" not in kinds or "int" not in kinds[kinds.index("float") :]
    return {"is": "union", "of": [table.node(item) for item in schema["choices"]]}


def _several(table: _Table, schema: Mapping[str, Any]) -> _Node:
    items = schema["items_schema"]
    if schema["type"] == "tuple":
        assert schema["variadic_item_index"] == 0
        (items,) = items
    bounds = _bounds(schema, "items_schema", "variadic_item_index")
    return {"is": schema["type"], "of": table.node(items)} | bounds


def _mapping(table: _Table, schema: Mapping[str, Any]) -> _Node:
    bounds = _bounds(schema, "keys_schema", "values_schema")
    assert not bounds
    return {"is": "dict", "keys": table.node(schema["keys_schema"]), "values": table.node(schema["values_schema"])}


def _definitions(table: _Table, schema: Mapping[str, Any]) -> _Node:
    table.definitions |= {item["ref"]: item for item in schema["definitions"]}
    return table.node(schema["schema"])


def _reference(table: _Table, schema: Mapping[str, Any]) -> _Node:
    name = schema["schema_ref"]
    return {"is": "json"} if name.startswith("pydantic.types.JsonValue:") else table.node(table.definitions[name])


_MAKERS: dict[str, Callable[[_Table, Mapping[str, Any]], _Node]] = {
    "bool": _scalar,
    "definition-ref": _reference,
    "definitions": _definitions,
    "dict": _mapping,
    "enum": _enum,
    "float": _scalar,
    "function-after": _checked,
    "int": _scalar,
    "list": _several,
    "literal": lambda _, schema: {"is": "literal", "of": list(schema["expected"])},
    "model": lambda table, schema: table.part(schema),
    "none": lambda *_: {"is": "none"},
    "nullable": lambda table, schema: {"is": "nullable", "of": table.node(schema["schema"])},
    "str": _scalar,
    "tagged-union": _chosen,
    "tuple": _several,
    "union": _union,
}


def fitting_table() -> dict[str, Any]:
    """Give the table: parts by name, `Manifest` among them, and `CheckSpec`."""
    table = _Table()
    table.node(Manifest.__pydantic_core_schema__)
    check = table.node(check_adapter().core_schema)
    return {**table.parts, "CheckSpec": check}


def table_text() -> str:
    """Give the table as the text of its file."""
    lines = [f"{json.dumps(name)}: {json.dumps(node)}" for name, node in sorted(fitting_table().items())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(table_text(), encoding="utf-8")
