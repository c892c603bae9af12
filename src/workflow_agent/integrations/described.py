"""From a class on ``IntegrationBase`` to what a folder would hold: the manifest's data and the templates."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.integrations.base import Installation, IntegrationBase, IntegrationContext, Removal
from workflow_agent.integrations.kinds import SCHEMA
from workflow_agent.integrations.loading import MANIFEST_FILE
from workflow_agent.model.errors import ManifestError
from workflow_agent.model.identity import content_hash
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Description", "describe"]

#: What the other methods say.
_OTHERS_KEYS = frozenset({"schema", "actions", "files", "services", "checks", "negative_checks"})
_TEMPLATE_FILE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,100}\.j2")
_LONGEST_TEMPLATE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a class says: `data` as in `integration.yaml`, `templates` by file name."""

    data: Mapping[str, Any]  # Any: JSON values
    templates: Mapping[str, str]

    def write(self, place: Path, name: str) -> Path:
        """Write it as the folder of an integration, under a name that its content determines; gives the folder.

        Raises:
            OSError: The folder cannot be written.
        """
        digest = content_hash({"data": dict(self.data), "templates": dict(self.templates)})
        folder = place / digest[:16] / name
        (folder / "templates").mkdir(parents=True, exist_ok=True, mode=0o700)
        manifest = json.dumps(self.data, indent=2, ensure_ascii=True) + "\n"  # JSON is YAML
        _write(folder / MANIFEST_FILE, manifest)
        for file, text in self.templates.items():
            _write(folder / "templates" / file, text)
        return folder


def describe(integration: IntegrationBase) -> Description:
    """Ask a class for all that it says.

    Raises:
        ManifestError: It says something of the wrong type, or says it in the wrong place.
    """
    metadata = dict(_of_type(integration.metadata(), dict, "metadata"))
    if taken := sorted(_OTHERS_KEYS & metadata.keys()):
        raise ManifestError(
            f"`metadata` gives `{taken[0]}`",
            hint="`install`, `verify` and `uninstall` say that; `metadata` gives the other keys",
        )
    context = IntegrationContext(metadata.get("parameters") or {})
    installation = _of_type(integration.install(context), Installation, "install")
    checks = _of_type(integration.verify(context), (list, tuple), "verify")
    removal = _of_type(integration.uninstall(context), (Removal, type(None)), "uninstall")
    templates = {"install.sh.j2": installation.script, **installation.templates}
    data = {
        "schema": SCHEMA,
        **metadata,
        "actions": {"install": _action("install", installation)},
        "files": list(installation.files),
        "services": list(installation.services),
        "checks": list(checks),
    }
    if removal is not None:
        templates["uninstall.sh.j2"] = removal.script
        data["actions"] |= {"uninstall": _action("uninstall", removal)}
        data["negative_checks"] = list(removal.checks)
    return Description(data=_plain(data), templates=_checked(templates))


def _of_type(value: Any, kind: Any, method: str) -> Any:  # Any: what somebody's method gave
    if not isinstance(value, kind):
        raise ManifestError(f"`{method}` gives a value of type {type(value).__name__}", hint="see `IntegrationBase`")
    return value


def _action(name: str, said: Installation | Removal) -> dict[str, Any]:
    return {"template": name, "with": dict(said.with_), **({"timeout": said.timeout_s} if said.timeout_s else {})}


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(data, allow_nan=False, default=_mapping))
    except (TypeError, ValueError, RecursionError) as error:
        raise ManifestError("what it says is no plain data", cause=str(error)[:300]) from error
    return plain


def _mapping(value: Any) -> Any:
    if hasattr(value, "keys"):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__}")


def _checked(templates: Mapping[str, str]) -> dict[str, str]:
    for name, text in templates.items():
        if not isinstance(name, str) or not _TEMPLATE_FILE.fullmatch(name):
            raise ManifestError(f"`{name!s:.60}` is no file name of a template", hint="such as `site.nginx.j2`")
        if not isinstance(text, str) or len(text) > _LONGEST_TEMPLATE:
            raise ManifestError(f"the template `{name}` is no text of at most {_LONGEST_TEMPLATE} characters")
    return dict(templates)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; one that has the text already is left alone."""
    import tempfile  # noqa: PLC0415  # late: 5 ms

    content = text.encode("utf-8", "surrogatepass")
    with suppress(OSError):
        if path.read_bytes() == content:
            return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as stream:
        stream.write(content)
    os.replace(stream.name, path)  # noqa: PTH105  # its name is a text
