"""The JSON Schema of manifests, generated from the models, for editors and other tools."""

from __future__ import annotations

import json
from typing import Any

from workflow_agent.integrations.kinds import SCHEMA
from workflow_agent.integrations.manifest import Manifest

__all__ = ["SCHEMA_FILE", "manifest_schema", "schema_text"]

#: Where it is shipped, below the folder of built-in integrations.
SCHEMA_FILE = "schema/integration-1.json"


def manifest_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of `integration.yaml`.

    It accepts every manifest that the models accept; what holds between fields is checked by ``load_manifest``
    only.
    """
    generated = Manifest.model_json_schema(by_alias=True, mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
        **generated,
    }


def schema_text() -> str:
    """Give the schema as the text of its file."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"
