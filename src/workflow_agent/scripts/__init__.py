"""Render and validate shell text; typed writers of configuration files.

rendering · template_lint · writers (a module per family of formats) · validator · policy (rules on the tree)

Names are resolved late: rendering needs jinja2 (40 ms), the policy tree-sitter (30 ms).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.scripts._lookup import find_template, template_folders
    from workflow_agent.scripts.locating import locate_findings
    from workflow_agent.scripts.plain import explain_failure, plain_script, script_text, validate_plain
    from workflow_agent.scripts.rendering import render_file, render_script, script_hash
    from workflow_agent.scripts.template_lint import lint_template
    from workflow_agent.scripts.validator import refuse_on_errors, validate_script
    from workflow_agent.scripts.writers import CONFIG_FORMATS, write_config

__all__ = [
    "CONFIG_FORMATS",
    "explain_failure",
    "find_template",
    "lint_template",
    "locate_findings",
    "plain_script",
    "refuse_on_errors",
    "render_file",
    "render_script",
    "script_hash",
    "script_text",
    "template_folders",
    "validate_plain",
    "validate_script",
    "write_config",
]

_HOMES = {
    "CONFIG_FORMATS": "writers",
    "explain_failure": "plain",
    "find_template": "_lookup",
    "lint_template": "template_lint",
    "locate_findings": "locating",
    "plain_script": "plain",
    "refuse_on_errors": "validator",
    "render_file": "rendering",
    "render_script": "rendering",
    "script_hash": "rendering",
    "script_text": "plain",
    "template_folders": "_lookup",
    "validate_plain": "plain",
    "validate_script": "validator",
    "write_config": "writers",
}


def __getattr__(name: str) -> Any:  # Any: whatever the name stands for
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
