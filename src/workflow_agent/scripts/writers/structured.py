"""JSON, YAML and TOML: written by libraries, read back by their parsers."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from functools import cache
from typing import Any

from workflow_agent.model.errors import ValidationError

__all__ = ["read_json", "read_toml", "read_yaml", "write_json", "write_toml", "write_yaml"]

#: Texts that every YAML reader, 1.1 or 1.2, takes for a text without quotes.
_YAML_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
#: Words that some YAML reader takes for a truth value or for nothing.
_YAML_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"])


def write_json(values: Any) -> str:
    """Write JSON with two spaces of indent and a final line end."""
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(text: str) -> Any:
    """Read JSON."""
    return json.loads(text)


def write_yaml(values: Any) -> str:
    """Write YAML that 1.1 and 1.2 readers understand alike: texts that could be something else are quoted."""
    import yaml  # noqa: PLC0415 - late: 16 ms

    dumped: str = yaml.dump(
        values,
        Dumper=_yaml_dumper(),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=sys.maxsize,
    )
    return dumped.removesuffix("...\n")


def read_yaml(text: str) -> Any:
    """Read YAML (our own output only: no limits on aliases or depth)."""
    import yaml  # noqa: PLC0415 - late: 16 ms

    return yaml.safe_load(text)


@cache
def _yaml_dumper() -> Any:
    import yaml  # noqa: PLC0415 - late: 16 ms

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            del indentless
            super().increase_indent(flow, False)

    def represent(dumper: Any, text: str) -> Any:
        plain = _YAML_PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')

    Dumper.add_representer(str, represent)
    return Dumper


def write_toml(values: Any) -> str:
    """Write TOML 1.0; null has no form in it."""
    import tomli_w  # noqa: PLC0415 - late: 3 ms

    if not isinstance(values, dict):
        raise ValidationError("a `toml` file needs a mapping")
    _refuse_null(values, "")
    return tomli_w.dumps(values)


def read_toml(text: str) -> Any:
    """Read TOML."""
    return tomllib.loads(text)


def _refuse_null(value: Any, path: str) -> None:
    if value is None:
        raise ValidationError("TOML has no null", where=path, hint="leave the key out")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_null(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_null(item, f"{path}[{index}]")
