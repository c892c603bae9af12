"""The first draft of an integration: a folder that lints without a finding and whose tests pass at once.

Pure: gives the files. What belongs here: what is the same for every template, and the manifest. What does not: what a
template writes beside it (``scaffold_kinds``), asking, and writing files (the command).
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.integrations.manifest import SCHEMA, Manifest
from workflow_agent.model.errors import ParameterError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workflow_agent.integrations.package_look import UnitLook

__all__ = ["DraftAnswers", "DraftTemplate", "check_name", "check_package", "files_of", "flow"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,99}")
#: Words that no reader of YAML takes for anything but text, inside braces too.
_PLAIN = re.compile(r"[A-Za-z0-9/._+=;()-]+(:[A-Za-z0-9/._+=-]+)*")
_NOT_TEXT = re.compile(
    r"(?i)[+-]?[0-9_]*[.]?[0-9_]+([.]?e[+-]?[0-9]+)?|true|false|yes|no|on|off|null|0[xo][0-9a-f]+|[0-9]+(:[0-9]+)+|[0-9-]+|y|n"
)
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SCHEMA_FILE: Final = "tests/schema/integration-1.json"


class DraftTemplate(StrEnum):
    """What an integration is installed from."""

    APT = "apt"
    TARBALL = "tarball"
    PIP = "pip"
    CONTAINER = "container"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftAnswers:
    """What the author was asked.

    `package` is what is installed: a Debian or Python package, or an image. `unit` is the service, `port` a TCP port
    that it opens. `is_known` says whether apt here knows the package.
    """

    name: str
    template: DraftTemplate = DraftTemplate.APT
    package: str = ""
    description: str = ""
    homepage: str = ""
    category: str = "other"
    unit: UnitLook | None = None
    port: int | None = None
    is_known: bool = True

    @property
    def what(self) -> str:
        """What is installed: the package, or else something of the integration's own name."""
        return self.package or self.name


def check_name(name: str) -> None:
    """Raise ParameterError for what cannot be an integration's name."""
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"`{name[:60]}` is no name for an integration",
            hint="1 to 63 lower-case letters, digits and `-`, not beginning with `-`",
        )


def check_package(template: DraftTemplate, package: str) -> None:
    """Raise ParameterError for what cannot be a package (of an image: its name with a tag)."""
    pattern = re.compile(r"[a-z0-9][a-z0-9._/:@-]{0,200}") if template is DraftTemplate.CONTAINER else _PACKAGE
    if template is DraftTemplate.PIP:
        pattern = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
    if not pattern.fullmatch(package):
        raise ParameterError(f"`{package[:60]}` is no package", where="--package")


def flow(value: Any) -> str:  # Any: a JSON value
    """Write a JSON value as YAML in one line, with as few quotes as can be."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        words = value.split(" ")
        is_plain = all(_PLAIN.fullmatch(word) for word in words) and not _NOT_TEXT.fullmatch(value)
        return value if is_plain and value[0] not in "-=." else _quoted(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Quote a text as JSON and YAML both read it; what YAML does not take as it stands is escaped."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def manifest_lines(draft: DraftAnswers, body: Mapping[str, Any]) -> Iterator[str]:
    """Write the manifest: a line for a value, or one for each item."""
    yield f"# yaml-language-server: $schema={_SCHEMA_FILE}"
    head = {
        "schema": SCHEMA,
        "name": draft.name,
        "version": "0.1.0",
        "description": draft.description or f"Installs {draft.what}.",
        "category": draft.category,
        **({"homepage": draft.homepage} if draft.homepage else {}),
        "platforms": [{"family": "debian", "os": ["debian"], "releases": ["12"]}],
    }
    for key, value in head.items():
        yield f"{key}: {flow(value)}"
    order = list(Manifest.model_fields)
    for key, value in sorted(body.items(), key=lambda item: order.index(item[0])):
        yield f"{key}:"
        if isinstance(value, dict):
            yield from (f"  {name}: {flow(item)}" for name, item in value.items())
        else:
            yield from (f"  - {flow(item)}" for item in value)


def files_of(draft: DraftAnswers) -> dict[str, bytes]:
    """Give the files of a draft, by path below its folder; the README is generated from the manifest by the caller.

    Raises:
        ParameterError: the name or the package is none.
    """
    from workflow_agent.integrations.scaffold_kinds import parts_of  # noqa: PLC0415  # late: it reads this module
    from workflow_agent.integrations.schema import schema_text  # noqa: PLC0415  # late: builds every model's schema

    check_name(draft.name)
    if draft.package:
        check_package(draft.template, draft.package)
    parts = parts_of(draft)
    files = {"integration.yaml": _text(manifest_lines(draft, parts.manifest)), **parts.files}
    files[_SCHEMA_FILE] = schema_text().encode()
    if parts.bench:
        files["tests/bench.yaml"] = _text(f"{key}: {flow(value)}" for key, value in parts.bench.items())
    for number, case in enumerate(parts.cases):
        name = "default" if number == 0 else f"case-{number}"
        files[f"tests/render/{name}.json"] = (json.dumps(case, indent=2) + "\n").encode()
    return files


def _text(lines: Iterable[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
