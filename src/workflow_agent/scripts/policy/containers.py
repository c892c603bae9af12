"""Commands that run in a container but reach the host: folders that are mounted into it are the host's own."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.paths import is_block_device, system_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CLIENTS", "contained_command", "handed_over"]

CLIENTS = frozenset(("docker", "podman", "nerdctl"))
_FLAGS = re.compile(
    r"-[a-zA-Z]*[dit]+[dit]*|--(rm|detach|interactive|tty|privileged|init|read-only|no-healthcheck|oom-kill-disable|"
    r"publish-all|quiet|sig-proxy|replace|systemd|tls-verify)"
)
_PATH = re.compile(r"(?<![\w./:*~$}\ue000-\ue004-])/[^\s'\"`;|&()<>]*")


def handed_over(words: Sequence[str]) -> str | None:
    """``lxc config device add NAME DEVICE KIND source=…``: a disk, or a folder of the whole system, for a container."""
    if list(words[:3]) != ["config", "device", "add"]:
        return None
    given = [word.partition("=")[2] for word in words[3:] if word.startswith(("source=", "path="))]
    if "unix-block" in words and any(map(is_block_device, given)):
        return "block-device"
    sources = [word.removeprefix("source=") for word in words[3:] if word.startswith("source=")]
    if any(map(is_block_device, sources)):
        return "block-device"
    return "namespace" if any(system_tree(source) for source in sources) else None


def contained_command(argv: Sequence[str]) -> list[str]:
    """Give the command that ``docker run`` starts, its paths as the host knows them; none where nothing is shared."""
    words = list(argv[1:])
    if words[:1] == ["container"]:
        del words[0]
    if words[:1] not in (["run"], ["create"]):
        return []
    options, operands = _split(words[1:])
    mounts = dict(_mounts(options))
    if ("--privileged", "") in options or any(value == "host" for name, value in options if name == "--pid"):
        mounts["/dev"] = "/dev"
    command = [*(value for name, value in options if name == "--entrypoint"), *operands[1:]]
    if not mounts:
        return []
    return [_PATH.sub(lambda found: _on_host(found[0], mounts), word) for word in command]


def _split(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Split what follows ``run`` into options with their values, and the image with its command."""
    options: list[tuple[str, str]] = []
    index = 0
    while index < len(words) and words[index].startswith("-"):
        name, equals, value = words[index].partition("=")
        if not equals and not _FLAGS.fullmatch(name) and index + 1 < len(words):
            index += 1
            value = words[index]
        options.append((name, value))
        index += 1
    return options, words[index:]


def _mounts(options: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give folders of the container with the host's folders that they are; read-only ones cannot be harmed."""
    found = []
    for name, value in options:
        if name in ("-v", "--volume"):
            source, target, flags = [*value.split(":"), "", ""][:3]
            if "ro" not in flags.split(","):
                found.append((target, source))
        elif name == "--mount":
            pairs = dict(pair.partition("=")[::2] for pair in value.split(","))
            target = next((pairs[key] for key in ("target", "destination", "dst") if key in pairs), "")
            if not {"readonly", "ro"} & pairs.keys():
                found.append((target, pairs.get("source", pairs.get("src", ""))))
    return [
        (target.rstrip("/"), source) for target, source in found if source.startswith("/") and target.startswith("/")
    ]


def _on_host(path: str, mounts: Mapping[str, str]) -> str:
    """Give the host's name of a path in a container; what is the container's own gets a name that nothing means."""
    for target in sorted(mounts, key=len, reverse=True):
        if path == target or path.startswith(target + "/"):
            rest = path[len(target) :].lstrip("/")
            return posixpath.join(mounts[target], rest) if rest else mounts[target]
    return f"/container{path}"
