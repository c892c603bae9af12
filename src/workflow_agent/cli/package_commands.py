"""Commands that hand integrations on: pack, sign, verify-package, add."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import counted, size
from workflow_agent.model.errors import ConflictError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.cli.packages import Found
    from workflow_agent.cli.style import Style

__all__ = ["register"]

_File = Annotated[Path, typer.Argument(metavar="FILE", help="A package.")]


def integrations_pack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of an integration.")],
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="The package.")] = None,
) -> Outcome:
    """Put an integration into one file, which `install` takes."""
    from workflow_agent.cli.packages import opened  # noqa: PLC0415  # late
    from workflow_agent.integrations.package_file import SUFFIX, pack_folder  # noqa: PLC0415  # late

    package = pack_folder(folder)
    name = f"{package.name}-{package.version}{SUFFIX}"
    inside = Path.cwd().resolve().is_relative_to(folder.resolve())
    file = out or (folder.resolve().parent / name if inside else Path(name))
    if not file.name.endswith(SUFFIX):
        raise ValidationError(f"a package is called `*{SUFFIX}`", where="--out")
    if file.resolve().is_relative_to(folder.resolve()):
        why = f"`{file}` would lie in the integration's own folder"
        raise ValidationError(why, where="--out", hint="a package cannot hold packages: put it beside the folder")
    if os.path.lexists(file):
        raise ConflictError(f"`{file}` is there already", state="nothing was written")
    _write(file, package.content())
    return _told(opened(file), "packed")


def integrations_sign(
    file: _File,
    *,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="An Ed25519 key (PEM).")],
    make_key: Annotated[bool, typer.Option("--make-key", help="Make the key first.")] = False,
) -> Outcome:
    """Sign a package: the list of its files with their digests."""
    from workflow_agent.cli.packages import opened  # noqa: PLC0415  # late
    from workflow_agent.integrations.package_file import read_package  # noqa: PLC0415  # late
    from workflow_agent.integrations.package_signing import make_key as make  # noqa: PLC0415  # late
    from workflow_agent.integrations.package_signing import sign_package  # noqa: PLC0415  # late

    package = read_package(file)
    if make_key:
        make(key)
    _write(file, sign_package(package, key).content())
    return _told(opened(file), "signed")


def integrations_verify_package(ctx: typer.Context, file: _File) -> Outcome:
    """Verify a package: its form, every file's digest, its signature."""
    from workflow_agent.cli.packages import opened  # noqa: PLC0415  # late
    from workflow_agent.integrations.package_store import PackageStore  # noqa: PLC0415  # late

    found = opened(file)
    trusted = PackageStore(ctx.obj.settings().paths.state).trusts(found.source)
    return _told(found, "verified", trusted=trusted)


def integrations_add(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A package's file, or git+https://HOST/PATH@COMMIT#FOLDER.")
    ],
    *,
    trust: Annotated[
        str | None, typer.Option("--trust", metavar="SOURCE", help="Say yes to this source (key:, git: or unsigned:).")
    ] = None,
) -> Outcome:
    """Bring an integration in from a package or a repository; a new source is asked about once."""
    from workflow_agent.cli.packages import bring_in  # noqa: PLC0415  # late

    return _told(bring_in(ctx.obj, source, trust=trust), "brought in", trusted=True)


def _write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        number, work = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
        with os.fdopen(number, "wb") as stream:
            stream.write(content)
        Path(work).chmod(0o644)
        Path(work).replace(file)
    except OSError as error:
        raise ValidationError(f"`{file}` cannot be written", cause=error.strerror) from error


def _told(found: Found, word: str, *, trusted: bool | None = None) -> Outcome:
    data = found.to_dict() | ({"trusted": trusted} if trusted is not None else {})

    def lines(style: Style) -> Iterator[str]:
        package = found.package
        yield f"{style.paint(style.symbol('succeeded'), 'green')} {safe(package.name)} {safe(package.version)}: {word}"
        yield f"  {'place'.ljust(9)} {safe(found.place)}"
        yield f"  {'holds'.ljust(9)} {counted(len(package.files), 'file')}, {size(data['bytes'])}"
        yield f"  {'digest'.ljust(9)} {package.digest}"
        yield f"  {'signed by'.ljust(9)} {'nobody' if found.signer is None else found.source}"
        if trusted is False:
            yield f"  {'source'.ljust(9)} not trusted yet: you are asked when it is brought in"
        if word == "brought in":
            yield f"  {'next'.ljust(9)} workflow-agent install {safe(package.name)}"

    return Outcome(data=data, lines=lines)


def register(integrations: typer.Typer) -> None:
    """Add the commands to those of integrations."""
    pack = ["integrations pack ./tinyproxy", "integrations pack ./tinyproxy -o tinyproxy.integration.zip"]
    declare(integrations, "pack", examples=pack)(integrations_pack)
    sign = [
        "integrations sign tinyproxy-0.1.0.integration.zip --key publisher.pem",
        "integrations sign tinyproxy-0.1.0.integration.zip --key new.pem --make-key",
    ]
    declare(integrations, "sign", examples=sign)(integrations_sign)
    verify = [
        "integrations verify-package tinyproxy-0.1.0.integration.zip",
        "integrations verify-package ./tinyproxy-0.1.0.integration.zip --json",
    ]
    declare(integrations, "verify-package", examples=verify)(integrations_verify_package)
    add = [
        "integrations add tinyproxy-0.1.0.integration.zip",
        "integrations add git+https://example.org/integrations@0123456789abcdef0123456789abcdef01234567#tinyproxy",
    ]
    declare(integrations, "add", examples=add)(integrations_add)
