"""Packages at the command line: what is said of one, and the question whether its source is trusted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.consent import answer_is_yes
from workflow_agent.cli.style import safe
from workflow_agent.cli.typed_line import typed_line
from workflow_agent.model.errors import ConsentError, DeclinedError, UsageError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.integrations.package_file import Package

__all__ = ["Found", "bring_in", "look_at", "opened"]

_SHORT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A package and where it comes from: ``key:FINGERPRINT``, ``git:URL``, or ``unsigned:DIGEST``."""

    package: Package
    source: str
    signer: str | None = None
    place: str

    @property
    def name(self) -> str:
        """The integration's name."""
        return self.package.name

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON, without contents."""
        return {
            "name": self.package.name,
            "version": self.package.version,
            "digest": self.package.digest,
            "files": sorted(self.package.files),
            "bytes": sum(map(len, self.package.files.values())),
            "signed_by": self.signer,
            "source": self.source,
            "place": self.place,
        }


def opened(file: Path) -> Found:
    """Read and verify a package's file.

    Raises:
        NotFoundError: there is none.
        ValidationError: it is none, or its signature does not fit.
    """
    from workflow_agent.integrations.package_file import read_package  # noqa: PLC0415  # late
    from workflow_agent.integrations.package_signing import signer_of  # noqa: PLC0415  # late

    package = read_package(file)
    signer = signer_of(package)
    source = f"key:{signer}" if signer is not None else f"unsigned:{package.digest}"
    return Found(package=package, source=source, signer=signer, place=str(file))


def look_at(place: str) -> Found:
    """Read a package's file, or fetch a repository's commit; raises as :func:`opened`, UsageError, UnreachableError."""
    if not place.startswith("git+"):
        _refuse_others(place)
        return opened(Path(place))
    from workflow_agent.integrations.package_file import package_of  # noqa: PLC0415  # late
    from workflow_agent.integrations.package_git import files_at, parse_place  # noqa: PLC0415  # late

    where = parse_place(place)
    return Found(package=package_of(files_at(where), where=place), source=f"git:{where.url}", place=place)


def _refuse_others(place: str) -> None:
    """Say what to do with what is neither a package's file nor a repository at a commit."""
    if "://" in place:
        raise UsageError(
            "a package is not fetched from an address",
            where=place[:200],
            hint="download it and give the file; a repository is written `git+https://HOST/PATH@COMMIT#FOLDER`",
        )
    if Path(place).is_dir():
        raise UsageError(
            f"`{place}` is a folder, which is used where it is",
            where=place,
            hint=f"`workflow-agent install {place if '/' in place else f'./{place}'}` installs it, "
            f"`integrations pack` makes a package of it",
        )


def bring_in(invocation: Invocation, place: str, *, trust: str | None = None) -> Found:
    """Bring an integration in: verified, its source trusted or asked about once, unpacked and pinned.

    Raises:
        ConsentError: nobody said yes to the source, and nobody can be asked.
        DeclinedError: a person said no.
        WorkflowAgentError: it cannot be had, or is no package.
    """
    from workflow_agent.integrations.package_store import PackageStore  # noqa: PLC0415  # late

    found = look_at(place)
    store = PackageStore(invocation.settings().paths.state)
    if not store.trusts(found.source):
        _require_trust(invocation, found, trust)
        store.trust(found.source, name=found.name)
    store.add(found.package, source=found.source if found.signer else found.place)
    return found


def _require_trust(invocation: Invocation, found: Found, given: str | None) -> None:
    if given == found.source:
        return
    if given is not None or not (sys.stdin.isatty() and sys.stderr.isatty()) or invocation.json:
        raise ConsentError(
            f"`{found.name}` comes from a source to which nobody said yes yet",
            where=found.source,
            state="nothing was brought in",
            hint=f"if you know it: `workflow-agent integrations add {found.place} --trust {found.source}`",
        )
    what = "It is not signed: nobody vouches for it" if found.signer is None else f"It is signed by {found.source}"
    what = what if not found.source.startswith("git:") else f"It comes from {found.source.removeprefix('git:')}"
    sys.stderr.write(f"{safe(found.name)} {safe(found.package.version)} has a source that is not known here.\n")
    if not answer_is_yes(typed_line(f"{safe(what)}.\nTrust this source from now on? [y/N] ")):
        raise DeclinedError("the source is not trusted", where=found.source, state="nothing was brought in")
