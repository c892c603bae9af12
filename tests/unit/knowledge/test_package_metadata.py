"""Debian packages as a source of facts."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from typing import TYPE_CHECKING

import pytest

from workflow_agent.knowledge import packages, read_page
from workflow_agent.knowledge.facts import FactKind, SourceKind
from workflow_agent.knowledge.packages import PackageData, package_extraction, parse_deb, read_installed
from workflow_agent.knowledge.sources import conflicts, ranked
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTROL = """Package: kestrel
Version: 2.1-3
Architecture: amd64
Depends: libc6 (>= 2.34), adduser | useradd,
 init-system-helpers (>= 1.51)
Description: a cache
 with a longer text
"""
UNIT = """[Service]
User=kestrel
ExecStart=/usr/bin/kestrel --config /etc/kestrel.conf --port=7100
"""
POSTINST = """#!/bin/sh
set -e
# adduser commented
adduser --system --group --home /var/lib/kestrel \\
  kestrel >/dev/null || true
useradd "$OTHER"
"""


def tar(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def ar(parts: dict[str, bytes]) -> bytes:
    whole = b"!<arch>\n"
    for name, body in parts.items():
        whole += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
        )
    return whole


def deb(pack: Callable[[bytes], bytes] = lzma.compress) -> bytes:
    control = tar({"control": CONTROL, "conffiles": "/etc/kestrel.conf\n/etc/../../shadow\n", "postinst": POSTINST})
    data = tar(
        {
            "etc/kestrel.conf": "x",
            "usr/bin/kestrel": "x",
            "lib/systemd/system/kestrel.service": UNIT,
            "lib/systemd/system/kestrel@.service": UNIT,
            "etc/init.d/kestrel": "x",
            "etc/default/kestrel": "ARGS=''",
        }
    )
    return ar({"debian-binary": b"2.0\n", "control.tar.xz": pack(control), "data.tar.xz": pack(data)})


def said(data: PackageData) -> set[tuple[str, str]]:
    return {(fact.kind.value, fact.value) for fact in package_extraction(data, "deb:kestrel").facts}


EXPECTED = {
    ("package", "kestrel"),
    ("version", "2.1-3"),
    ("dependency", "libc6"),
    ("dependency", "adduser"),
    ("dependency", "init-system-helpers"),
    ("file", "/etc/kestrel.conf"),
    ("service", "kestrel"),
    ("user", "kestrel"),
    ("port", "7100"),
}


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, bytes])
def test_a_package_file_says_what_it_brings(pack: Callable[[bytes], bytes]) -> None:
    data = parse_deb(deb(pack), "kestrel.deb")

    assert said(data) == EXPECTED
    facts = package_extraction(data, "deb:kestrel").facts
    assert {fact.provenance.source for fact in facts} == {SourceKind.PACKAGE}
    (needs,) = [fact for fact in facts if fact.value == "libc6"]
    assert (needs.details["version"], needs.provenance.selector) == (">= 2.34", "control")


def test_the_package_database_says_the_same(tmp_path: Path) -> None:
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    block = CONTROL.replace("Version", "Status: install ok installed\nConffiles:\n /etc/kestrel.conf 0123\nVersion")
    (info.parent / "status").write_text(f"Package: other\nStatus: install ok installed\n\n{block}\n")
    (info / "kestrel.list").write_text("/.\n/lib/systemd/system/kestrel.service\n/etc/kestrel.conf\n")
    (info / "kestrel.postinst").write_text(POSTINST)
    unit = tmp_path / "lib/systemd/system/kestrel.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(UNIT)

    assert said(read_installed(tmp_path, "kestrel")) == EXPECTED
    with pytest.raises(ValidationError, match="not installed"):
        read_installed(tmp_path, "absent")
    with pytest.raises(ValidationError, match="no name"):
        read_installed(tmp_path, "../etc")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"!<arch>\n",
        ar({"debian-binary": b"2.0\n", "control.tar": tar({})}),
        ar({"control.tar.xz": b"\xfd7zXZ\0broken", "data.tar": tar({})}),
        ar({"control.tar.gz": b"\x1f\x8bbroken", "data.tar": tar({})}),
        ar({"control.tar.zst": b"\x28\xb5\x2f\xfdrest", "data.tar": tar({})}),
        ar({"control.tar": b"no tar at all" * 100, "data.tar": tar({})}),
        deb()[:-200],
        b"!<arch>\n" + b"x" * 60,
    ],
)
def test_what_is_no_package_is_refused(content: bytes) -> None:
    with pytest.raises(ValidationError):
        parse_deb(content, "x.deb")


def test_a_part_that_unpacks_to_more_than_any_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_LARGEST", 1 << 20)
    bomb = gzip.compress(b"\0" * (2 << 20))

    with pytest.raises(ValidationError, match="larger"):
        parse_deb(ar({"control.tar.gz": bomb, "data.tar": tar({})}), "x.deb")


def test_package_metadata_goes_before_prose_and_contradictions_are_shown() -> None:
    package = package_extraction(parse_deb(deb(), "x"), "deb:kestrel").to_dict()["facts"]
    page = "# Kestrel\n\n    apt install kestrel=1.9-1\n\nKestrel listens on port 7100.\n"
    prose = read_page(page, "https://docs.example.net/k.md").to_dict()["facts"]

    best = {(fact["kind"], fact["value"]): fact["provenance"]["source"] for fact in ranked([*prose, *package])}
    (conflict,) = conflicts([*prose, *package])

    assert best["port", "7100"] == "package-metadata"
    assert (conflict["kind"], conflict["value"]) == (FactKind.PACKAGE.value, "kestrel")
    assert [one["said"] for one in conflict["says"]] == ["2.1-3", "1.9-1"]
    assert conflicts(package) == []
