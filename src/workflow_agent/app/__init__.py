"""The composition root: settings, the container, start and stop. Names are resolved late."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.app.application import App, open_app
    from workflow_agent.app.settings import Settings, load_settings

__all__ = ["App", "Settings", "load_settings", "open_app"]

_HOMES = {"App": "application", "Settings": "settings", "load_settings": "settings", "open_app": "application"}


def __getattr__(name: str) -> Any:  # Any: one of `__all__`
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
