"""Front ends that compile to the model: definitions as YAML or JSON text.

yaml_source (text to plain data with places) · problem · workflow_schema (shape) · workflow_soundness (what holds
between parts) · workflow_source (load and dump) · catalogue
"""

from __future__ import annotations

from workflow_agent.authoring.catalogue import FolderCatalogue
from workflow_agent.authoring.workflow_source import dump_workflow, load_workflow
from workflow_agent.authoring.yaml_source import YamlDocument, load_yaml, read_text

__all__ = ["FolderCatalogue", "YamlDocument", "dump_workflow", "load_workflow", "load_yaml", "read_text"]
