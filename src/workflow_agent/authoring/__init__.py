"""Front ends that compile to the model: definitions as YAML or JSON text.

yaml_source (text to plain data with places) · problem · workflow_schema (shape) · workflow_soundness (what holds
between parts) · workflow_source (load and dump) · workflow_blocks (steps more than once) · catalogue
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.authoring.catalogue import FolderCatalogue
    from workflow_agent.authoring.text_file import read_text
    from workflow_agent.authoring.workflow_blocks import Block, block_prefix, with_blocks
    from workflow_agent.authoring.workflow_source import dump_workflow, load_workflow, read_definition
    from workflow_agent.authoring.yaml_source import YamlDocument, load_yaml

__all__ = [
    "Block",
    "FolderCatalogue",
    "YamlDocument",
    "block_prefix",
    "dump_workflow",
    "load_workflow",
    "load_yaml",
    "read_definition",
    "read_text",
    "with_blocks",
]

_HOMES = {
    "Block": "workflow_blocks",
    "block_prefix": "workflow_blocks",
    "with_blocks": "workflow_blocks",
    "FolderCatalogue": "catalogue",
    "YamlDocument": "yaml_source",
    "dump_workflow": "workflow_source",
    "load_workflow": "workflow_source",
    "read_definition": "workflow_source",
    "load_yaml": "yaml_source",
    "read_text": "text_file",
}


def __getattr__(name: str) -> Any:  # Any: one of `__all__`
    # late: who only lists names needs neither the expression language nor the schema
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
