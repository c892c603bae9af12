"""Typed writers: configuration files from values, each parsed back after writing.

structured (JSON, YAML, TOML) · assignments (INI, env) · directives (Redis, PostgreSQL) · units (systemd) · crontab
registry (the table of all)
"""

from __future__ import annotations

from workflow_agent.scripts.writers.registry import CONFIG_FORMATS, write_config

__all__ = ["CONFIG_FORMATS", "write_config"]
