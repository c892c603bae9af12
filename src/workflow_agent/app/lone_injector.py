"""dependency-injector without what it would load for features of it that nobody here uses.

It imports yaml, pydantic and web frameworks wherever they are installed, to be able to read configuration with them:
a third of the time of a short command. In a process that is ours alone it finds none of them while it is imported;
whoever needs them imports them afterwards, as ever. In somebody else's process it is left as it is.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_injector_alone"]

#: What dependency-injector 4.49 tries to import. Source: its `providers.pyx`, `containers.pyx` and `wiring.py`.
_EXTRAS = frozenset({"fast_depends", "fastapi", "pydantic", "pydantic_settings", "starlette", "werkzeug", "yaml"})


class _Absent:
    """Finds nothing, and says so for the packages that are hidden."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Refuse a hidden package; leave the others to those who come after."""
        del path, target
        if name in _EXTRAS:
            raise ModuleNotFoundError(f"{name} is not looked for here", name=name)


def load_injector_alone() -> None:
    """Import dependency-injector without its extras, unless it is there already.

    Only for a process that is ours, before anything else runs in it: what others import meanwhile is hidden too.
    """
    if "dependency_injector" not in sys.modules:
        with _hidden():
            from dependency_injector import containers, providers  # noqa: F401, PLC0415  # late: it is for few commands


@contextmanager
def _hidden() -> Iterator[None]:
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
