"""What each template of a first draft consists of: the rest of its manifest, its shell, its samples for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.integrations.scaffold import DraftTemplate
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.integrations.scaffold import DraftAnswers

__all__ = ["Parts", "parts_of"]

_SAMPLE_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The manifest's body, files by path, what tests need (`bench`), and render cases."""

    manifest: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    bench: Mapping[str, Any] = field(default_factory=dict)
    cases: tuple[Mapping[str, Any], ...] = ({"action": "install", "parameters": {}},)


def parts_of(draft: DraftAnswers) -> Parts:
    """Give the parts of a draft."""
    return _KINDS[draft.template](draft)


def _actions(install: Mapping[str, Any], uninstall: Mapping[str, Any]) -> dict[str, Any]:
    return {"install": dict(install), "uninstall": dict(uninstall)}


def _gone(path: str) -> dict[str, Any]:
    return {"id": "gone", "kind": "file", "path": path, "exists": False, "description": "Its files are gone."}


# -- a Debian package ------------------------------------------------------------------------------------------------


def _apt(draft: DraftAnswers) -> Parts:
    package, unit, port = draft.what, draft.unit, draft.port
    words = {"packages": [package]}
    manifest: dict[str, Any] = {
        "actions": _actions(
            {"template": "apt/install", "network": True, "with": words}, {"template": "apt/uninstall", "with": words}
        )
    }
    checks: list[dict[str, Any]] = [
        {"id": "package", "kind": "package", "name": package, "description": "The package is installed."}
    ]
    gone: list[dict[str, Any]] = [{"id": "package-gone", "kind": "package", "name": package, "installed": False}]
    if unit is not None:
        service: dict[str, Any] = {"name": unit.name, "exe": unit.exe, "argv": list(unit.argv)}
        service |= {"user": unit.user} if unit.user != "root" else {}
        service |= {"listens": [f"tcp/{port}"]} if port else {}
        manifest["services"] = [service]
        running = {"id": "process", "kind": "process", "exe": unit.exe, "current": True}
        checks.append(running | {"description": "The running program is the installed file."})
        gone.append({"id": "process-gone", "kind": "process", "exe": unit.exe, "running": False})
    if port:
        holder: dict[str, Any] = {"process": unit.exe} if unit is not None else {}
        checks.append({"id": "port", "kind": "port", "port": port, **holder, "description": "The port is open."})
        gone.append({"id": "port-closed", "kind": "port", "port": port, "open": False, **holder})
    manifest |= {
        "checks": checks,
        "negative_checks": gone,
        "documentation": [{"title": "Debian package", "url": f"https://packages.debian.org/bookworm/{package}"}],
    }
    return Parts(manifest=manifest)


# -- a script of one's own -------------------------------------------------------------------------------------------

_SCRIPT_INSTALL = """\
{{# What is done on the target. Values are quoted where they are interpolated. -#}}
set -euo pipefail
umask 022
install -d -m 0755 /opt/{name}
printf '%s\\n' {{{{ parameters.greeting }}}} >/opt/{name}/greeting
"""
_SCRIPT_UNINSTALL = """\
{{# Takes away what the installation made. -#}}
set -euo pipefail
rm -rf -- /opt/{name}
"""


def _templates(draft: DraftAnswers, install: str, uninstall: str = _SCRIPT_UNINSTALL) -> dict[str, bytes]:
    return {
        "templates/install.sh.j2": install.format(name=draft.name, what=draft.what).encode(),
        "templates/uninstall.sh.j2": uninstall.format(name=draft.name).encode(),
    }


def _script(draft: DraftAnswers) -> Parts:
    greeting = {"type": "string", "default": "hello", "max": 200, "description": "What the file says."}
    said = {
        "id": "greeting",
        "kind": "file",
        "path": f"/opt/{draft.name}/greeting",
        "contains": "${{ parameters.greeting }}",
        "description": "The file says what was asked for.",
    }
    manifest = {
        "parameters": {"greeting": greeting},
        "actions": _actions({"template": "install"}, {"template": "uninstall"}),
        "checks": [said],
        "negative_checks": [_gone(f"/opt/{draft.name}")],
        "documentation": [_documentation(draft)],
    }
    cases = ({"action": "install", "parameters": {}}, {"action": "install", "parameters": {"greeting": "it's $HOME"}})
    return Parts(manifest=manifest, files=_templates(draft, _SCRIPT_INSTALL), cases=cases)


def _documentation(draft: DraftAnswers) -> dict[str, str]:
    return {"title": "Home page", "url": draft.homepage or f"https://example.org/{draft.name}"}


# -- an archive ------------------------------------------------------------------------------------------------------

_TARBALL_INSTALL = """\
{{# Unpacks an archive whose checksum is known: from a path on the target, or from an https address with curl. -#}}
set -euo pipefail
umask 022
archive={{{{ parameters.archive }}}}
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

if [[ $archive == /* ]]; then
  cp -- "$archive" "$work/archive"
else
  curl --fail --silent --show-error --location --proto '=https' --output "$work/archive" -- "$archive"
fi
printf '%s  %s\\n' {{{{ parameters.sha256 }}}} "$work/archive" | sha256sum --check --quiet -

install -d -m 0755 /opt/{name}
tar --extract --file "$work/archive" --directory /opt/{name} --strip-components 1 --no-same-owner
"""


def _tarball(draft: DraftAnswers) -> Parts:
    sample = _sample_archive(draft.name)
    place = f"/srv/{draft.name}-{_SAMPLE_VERSION}.tar.gz"
    archive = {
        "type": "string",
        "required": True,
        "pattern": "/[A-Za-z0-9._/-]+|https://[^\\s]+",
        "max": 2000,
        "description": "The archive: a path on the target or an https address.",
        "example": place,
    }
    digest = {
        "type": "string",
        "required": True,
        "pattern": "[0-9a-f]{64}",
        "description": "SHA-256 of the archive.",
    }
    runs = {
        "id": "runs",
        "kind": "command",
        "argv": [f"/opt/{draft.name}/bin/{draft.name}", "--version"],
        "stdout_contains": _SAMPLE_VERSION,
        "description": "The program says its version.",
    }
    manifest = {
        "parameters": {"archive": archive, "sha256": digest},
        "actions": _actions({"template": "install", "network": True}, {"template": "uninstall"}),
        "checks": [runs],
        "negative_checks": [_gone(f"/opt/{draft.name}")],
        "documentation": [_documentation(draft)],
    }
    given = {"archive": place, "sha256": hashlib.sha256(sample).hexdigest()}
    return Parts(
        manifest=manifest,
        files={**_templates(draft, _TARBALL_INSTALL), f"tests/target{place}": sample},
        bench={"parameters": given},
        cases=({"action": "install", "parameters": given},),
    )


def _sample_archive(name: str) -> bytes:
    """Make a small archive, the same bytes each time."""
    program = f"#!/bin/sh\necho {name} {_SAMPLE_VERSION}\n".encode()
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(f"{name}-{_SAMPLE_VERSION}/bin/{name}")
        member.size, member.mode = len(program), 0o755
        archive.addfile(member, io.BytesIO(program))
    return gzip.compress(plain.getvalue(), mtime=0)


# -- a Python package ------------------------------------------------------------------------------------------------

_PIP_INSTALL = """\
{{# Installs a Python package into an environment of its own; from a folder of wheels where one is given. -#}}
set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 LC_ALL=C.UTF-8
apt-get -q install --yes --no-install-recommends -o Dpkg::Use-Pty=0 -- python3-venv
python3 -m venv /opt/{name}
source=()
{{% if parameters.wheels %}}
source=(--no-index --find-links {{{{ parameters.wheels }}}})
{{% endif %}}
/opt/{name}/bin/python -m pip install --quiet --no-cache-dir "${{source[@]}}" -- {what}=={{{{ parameters.version }}}}
"""


#: Asking pip takes a second, this a tenth of one.
_VERSION_OF: Final = 'from importlib.metadata import version; print("Version:", version("{}"))'


def _pip(draft: DraftAnswers) -> Parts:
    place = f"/srv/{draft.name}-wheels"
    version = {
        "type": "string",
        "pattern": "[0-9][A-Za-z0-9.+!-]{0,40}",
        "default": _SAMPLE_VERSION,
        "description": "Version of the package.",
    }
    wheels = {
        "type": "path",
        "description": "Folder on the target that holds the wheels; without it the index that pip is set up for.",
    }
    runs = {
        "id": "installed",
        "kind": "command",
        "argv": [f"/opt/{draft.name}/bin/python", "-c", _VERSION_OF.format(draft.what)],
        "stdout_contains": "Version: ${{ parameters.version }}",
        "description": "The package is there in the wanted version.",
    }
    manifest = {
        "parameters": {"version": version, "wheels": wheels},
        "actions": _actions({"template": "install", "network": True}, {"template": "uninstall"}),
        "checks": [runs],
        "negative_checks": [_gone(f"/opt/{draft.name}")],
        "documentation": [{"title": "Python package", "url": f"https://pypi.org/project/{draft.what}/"}],
    }
    file, wheel = _sample_wheel(draft.what)
    return Parts(
        manifest=manifest,
        files={**_templates(draft, _PIP_INSTALL), f"tests/target{place}/{file}": wheel},
        bench={"packages": ["python3-venv"], "parameters": {"wheels": place}},
        cases=({"action": "install", "parameters": {}}, {"action": "install", "parameters": {"wheels": place}}),
    )


def _sample_wheel(package: str) -> tuple[str, bytes]:
    """Make an empty package, the same bytes each time; gives the name of its file and its content."""
    module = package.replace("-", "_").replace(".", "_").lower()
    info = f"{module}-{_SAMPLE_VERSION}.dist-info"
    files = {
        f"{module}/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {_SAMPLE_VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: sample\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return f"{module}-{_SAMPLE_VERSION}-py3-none-any.whl", content.getvalue()


# -- a container -----------------------------------------------------------------------------------------------------

_CONTAINER_INSTALL = """\
{{# The container itself is an effect beside files, which the manifest declares; here is what it needs on the disk. -#}}
set -euo pipefail
umask 022
if ! command -v docker >/dev/null; then
  printf 'error: the target has no docker\\n' >&2
  exit 3
fi
install -d -m 0755 /opt/{name}
"""


def _container(draft: DraftAnswers) -> Parts:
    port = draft.port or 8080
    parameters = {
        "image": {
            "type": "string",
            "pattern": "[a-z0-9][A-Za-z0-9._/:@-]*",
            "default": draft.what,
            "description": "Image, best with a digest.",
        },
        "port": {
            "type": "port",
            "default": port,
            "description": "TCP port of the machine that leads to the container.",
        },
    }
    publish = "--publish=127.0.0.1:${{ parameters.port }}:" + str(port)
    effect = {
        "id": "container",
        "kind": "declared",
        "description": f"A container {draft.name}.",
        "do": {
            "argv": ["docker", "run", "--detach", f"--name={draft.name}", publish, "${{ parameters.image }}"],
            "timeout": 300.0,
        },
        "undo": {"argv": ["docker", "rm", "--force", "--volumes", draft.name]},
        # One that has ended is there too: what takes it back looks first.
        "probe": {
            "argv": ["docker", "ps", "--all", "--format", "{{.Names}}", f"--filter=name=^{draft.name}$"],
            "stdout_contains": draft.name,
        },
    }
    manifest = {
        "parameters": parameters,
        "actions": _actions({"template": "install"}, {"template": "uninstall"}),
        "effects": [effect],
        "checks": [
            {"id": "port", "kind": "port", "port": "${{ parameters.port }}", "description": "The port is open."}
        ],
        "negative_checks": [
            {"id": "port-closed", "kind": "port", "port": "${{ parameters.port }}", "open": False},
            _gone(f"/opt/{draft.name}"),
        ],
        "documentation": [_documentation(draft)],
    }
    return Parts(
        manifest=manifest,
        files=_templates(draft, _CONTAINER_INSTALL),
        bench={"targets": [], "reason": "it needs a Docker engine on the target"},
    )


_KINDS: Mapping[DraftTemplate, Callable[[DraftAnswers], Parts]] = {
    DraftTemplate.APT: _apt,
    DraftTemplate.TARBALL: _tarball,
    DraftTemplate.PIP: _pip,
    DraftTemplate.CONTAINER: _container,
    DraftTemplate.SCRIPT: _script,
}
