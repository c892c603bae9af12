"""An integration from a git repository at a commit: its files are read out of the objects, nothing is checked out.

No hook, filter or attribute of the repository takes part, and none of its configuration; links and submodules are
refused, as in a package.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from typing import TYPE_CHECKING, Final

from workflow_agent.integrations.folder_files import MANIFEST_FILE
from workflow_agent.integrations.package_file import LIMITS, check_files
from workflow_agent.model.errors import NotFoundError, UnreachableError, UsageError, ValidationError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GitPlace", "files_at", "parse_place"]

_PLACE = re.compile(r"git\+(?P<url>(?:https|file)://[^\s@#]+)@(?P<commit>[0-9a-f]{40})(?:#(?P<folder>[^\s]*))?")
_SEGMENTS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_TIMEOUT_S = 120.0
_FETCHED_BYTES = 256 << 20
_REGULAR: Final = frozenset({"100644", "100755"})
_ENTRY = re.compile(
    rb"(?P<mode>[0-7]{6}) (?P<kind>[a-z]+) (?P<object>[0-9a-f]{40}) +(?P<size>[0-9]+|-)\t(?P<path>.+)", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitPlace:
    """A folder of a repository at a commit."""

    url: str
    commit: str
    folder: str = ""


def parse_place(text: str) -> GitPlace:
    """Read ``git+URL@COMMIT#FOLDER``; the commit is named in full, because only that cannot be moved.

    Raises:
        UsageError: it is not written so.
    """
    found = _PLACE.fullmatch(text)
    if found is None or (found["folder"] and not _SEGMENTS.fullmatch(found["folder"])):
        raise UsageError(
            "a repository is written `git+https://HOST/PATH@COMMIT#FOLDER`",
            where=text[:200],
            hint="COMMIT has all 40 digits; FOLDER may be left out; no user or password",
        )
    return GitPlace(url=found["url"], commit=found["commit"], folder=found["folder"] or "")


def files_at(place: GitPlace) -> dict[str, bytes]:
    """Fetch a commit and give the files of the folder.

    Raises:
        UnreachableError: it cannot be fetched.
        NotFoundError: the commit has no such folder.
        ValidationError: it holds what no package can hold.
    """
    with tempfile.TemporaryDirectory(prefix="workflow-agent-git-") as work:
        _git(work, "init", "--quiet", "--bare", "--template=", ".")
        _git(work, "fetch", "--quiet", "--depth=1", "--no-tags", "--", place.url, place.commit)
        tree = f"{place.commit}:{place.folder}"
        listing = _git(work, "ls-tree", "-r", "-z", "-l", "--full-tree", tree, missing=True)
        _require_manifest(listing, place)
        return _read(work, listing, where=f"{place.url}@{place.commit}#{place.folder}")


def _require_manifest(listing: bytes, place: GitPlace) -> None:
    """Raise NotFoundError where the folder holds no manifest; names folders below it that do."""
    paths = [row.partition(b"\t")[2].decode("utf-8", "replace") for row in listing.split(b"\0") if row]
    if MANIFEST_FILE in paths:
        return
    folders = [path.removesuffix(f"/{MANIFEST_FILE}") for path in paths if path.endswith(f"/{MANIFEST_FILE}")]
    above = f"{place.folder}/" if place.folder else ""
    named = [f"#{above}{folder}" for folder in folders if _SEGMENTS.fullmatch(folder)][:3]
    raise NotFoundError(
        f"the commit has no {MANIFEST_FILE} in {place.folder or 'its top folder'}",
        where=f"git+{place.url}@{place.commit}",
        hint=f"there is one in `{'`, `'.join(named)}`" if named else None,
    )


def _read(work: str, listing: bytes, *, where: str) -> dict[str, bytes]:
    rows = [row for row in listing.split(b"\0") if row]
    if len(rows) > LIMITS.files:
        raise ValidationError(f"{len(rows)} files are more than {LIMITS.files}", where=where)
    files = {}
    for row in rows:
        found = _ENTRY.fullmatch(row)
        path = found["path"].decode("utf-8", "replace") if found else "?"
        if found is None or found["mode"].decode() not in _REGULAR:
            raise ValidationError(f"`{path[:80]!a}` is no plain file", where=where)
        if int(found["size"]) > LIMITS.file_bytes:
            raise ValidationError(f"`{path[:80]!a}` is larger than {LIMITS.file_bytes} bytes", where=where)
        if path not in {".gitignore", ".gitattributes"}:
            files[path] = b""
            check_files({"integration.yaml": b"", path: b""}, where=where)  # the name, before anything is read
            files[path] = _git(work, "cat-file", "blob", found["object"].decode())
    check_files(files, where=where)
    return files


def _git(work: str, *arguments: str, missing: bool = False) -> bytes:
    """Run git without any configuration but ours, and nobody to ask."""
    settings = (
        "protocol.allow=never",
        "protocol.https.allow=always",
        "protocol.file.allow=always",
        "core.hooksPath=/dev/null",
    )
    argv = ["git", *(word for setting in settings for word in ("-c", setting)), *arguments]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": work,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        **{name: os.environ[name] for name in ("https_proxy", "SSL_CERT_FILE") if name in os.environ},
    }
    limited = ["prlimit", f"--fsize={_FETCHED_BYTES}", "--", *argv]
    try:
        return _completed(limited, work, environment)
    except FileNotFoundError as error:
        raise UnreachableError("`git` or `prlimit` is missing", hint="apt-get install git util-linux") from error
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(f"git did not end within {_TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        cause = error.stderr.decode(errors="replace").strip()[-300:]
        if missing:
            raise NotFoundError("the commit has no such folder", cause=cause) from error
        raise UnreachableError("the commit cannot be fetched", cause=cause) from error


def _completed(argv: Sequence[str], work: str, environment: dict[str, str]) -> bytes:
    return subprocess.run(
        argv, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_TIMEOUT_S
    ).stdout
