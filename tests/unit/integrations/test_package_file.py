"""Packages: what is packed is read back; whatever else is refused, soon, and nothing of it is written or run."""

from __future__ import annotations

import io
import os
import random
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from functools import partial
from typing import TYPE_CHECKING

import pytest

from workflow_agent.integrations import load_manifest, readme
from workflow_agent.integrations.package_file import LIMITS, check_files, pack_folder, package_of, read_package
from workflow_agent.integrations.package_signing import make_key, sign_package, signer_of
from workflow_agent.integrations.package_store import PackageStore
from workflow_agent.integrations.scaffold import DraftAnswers, DraftTemplate, files_of
from workflow_agent.model.errors import ConflictError, NotFoundError, ValidationError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workflow_agent.integrations.package_file import Package

#: Every hostile file is refused within this time and memory.
REFUSED_S = 2.0
REFUSED_BYTES = 256 << 20
FLIPS = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "greeting"
    for name, content in files_of(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT)).items():
        if not name.startswith("tests/schema/"):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_bytes(content)
    (made / "README.md").write_text(readme(load_manifest(made)), encoding="utf-8")
    return made


@pytest.fixture
def package(folder: Path) -> Package:
    return pack_folder(folder)


@pytest.fixture
def signed(package: Package, tmp_path: Path) -> Package:
    make_key(tmp_path / "key.pem")
    return sign_package(package, tmp_path / "key.pem")


def kept(package: Package, tmp_path: Path) -> Path:
    file = tmp_path / "package.integration.zip"
    file.write_bytes(package.content())
    return file


def test_what_is_packed_is_read_back(folder: Path, package: Package, tmp_path: Path) -> None:
    found = read_package(kept(package, tmp_path))

    assert found == package
    assert dict(found.files) == {
        str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }
    assert pack_folder(folder).content() == package.content()
    assert signer_of(found) is None


def test_times_rights_and_what_editors_leave_make_no_difference(folder: Path, package: Package) -> None:
    os.utime(folder / "integration.yaml", (1, 1))
    (folder / "templates/install.sh.j2").chmod(0o700)
    (folder / "templates/__pycache__").mkdir()
    (folder / "templates/__pycache__/x.pyc").write_bytes(b"x")

    assert pack_folder(folder).content() == package.content()


def test_a_signature_names_its_key_and_is_bound_to_what_was_signed(
    package: Package, signed: Package, folder: Path, tmp_path: Path
) -> None:
    found = read_package(kept(signed, tmp_path))
    signer = signer_of(found)

    assert signer is not None
    assert signer_of(sign_package(signed, tmp_path / "key.pem")) == signer
    (folder / "README.md").write_text("other", encoding="utf-8")
    other = pack_folder(folder)
    moved = type(other)(
        name=other.name, version=other.version, files=other.files, signed=other.signed, signature=signed.signature
    )
    with pytest.raises(ValidationError, match="signature"):
        signer_of(read_package(kept(moved, tmp_path)))
    assert package.signature is None


def test_every_byte_of_a_signed_package_counts(signed: Package, tmp_path: Path) -> None:
    content, file = signed.content(), tmp_path / "flipped.integration.zip"
    chance = random.Random(20261121)
    places = [*range(200), *(chance.randrange(len(content)) for _ in range(FLIPS - 400)), *range(-200, 0)]
    accepted = []
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        try:
            signer_of(read_package(file))
        except WorkflowAgentError:
            continue
        accepted.append(place)

    assert len(places) == FLIPS
    assert accepted == []


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


def linked(target: str) -> bytes:
    info = zipfile.ZipInfo("templates/link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return zipped((info, target.encode()))


def device() -> bytes:
    info = zipfile.ZipInfo("templates/device")
    info.create_system, info.external_attr = 3, (stat.S_IFBLK | 0o666) << 16
    return zipped((info, b""))


def bomb() -> bytes:
    return zipped(("templates/zeros", bytes(200 << 20)), method=zipfile.ZIP_DEFLATED)


def overlapping() -> bytes:
    """Make many entries of the list mean one large member, as the best known zip bombs do."""
    content = bytearray(zipped(*((f"templates/f{number:04}", b"x" * 1000) for number in range(900))))
    start = struct.unpack_from("<L", content, len(content) - 6)[0]
    at = start
    while content[at : at + 4] == b"PK\x01\x02":
        struct.pack_into("<LL", content, at + 20, 1 << 30, 1 << 30)
        struct.pack_into("<L", content, at + 42, 0)
        at += 46 + sum(struct.unpack_from("<3H", content, at + 28))
    return bytes(content)


def long_list() -> bytes:
    """Claim a list of members as large as the file may be."""
    content = bytearray(LIMITS.package_bytes)
    content[-22:] = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(content) - 22, 0, 0)
    return bytes(content)


def tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        link = tarfile.TarInfo("a")
        link.type, link.linkname = tarfile.SYMTYPE, "../" * 20 + "etc"
        archive.addfile(link)
    return content.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one-byte": lambda: b"P",
    "text": lambda: b"schema: workflow-agent/integration/1\n",
    "tar": tar,
    "no-members": zipped,
    "no-list": lambda: zipped(("integration.yaml", b"x")),
    "list-of-nothing": lambda: zipped(("PACKAGE.json", b""), ("integration.yaml", b"")),
    "list-of-brackets": lambda: zipped(("PACKAGE.json", b"[" * 100_000), ("integration.yaml", b"")),
    "list-of-another-kind": lambda: zipped(("PACKAGE.json", b"[]"), ("integration.yaml", b"")),
    "list-without-files": lambda: zipped(
        ("PACKAGE.json", b'{"name":"a","version":"1.0.0"}'), ("integration.yaml", b"")
    ),
    "list-with-a-hostile-name": lambda: zipped(
        ("PACKAGE.json", b'{"files":[],"name":"../a","version":"1.0.0"}'), ("integration.yaml", b"")
    ),
    "list-with-strange-rows": lambda: zipped(
        ("PACKAGE.json", b'{"files":[1,{"path":[]}],"name":"a","version":"1.0.0"}'), ("integration.yaml", b"")
    ),
    "link": lambda: linked("/etc/passwd"),
    "link-upwards": lambda: linked("../../../../etc"),
    "device": device,
    "bomb": bomb,
    "overlapping": overlapping,
    "long-list": long_list,
    "unknown-method": lambda: zipped(("integration.yaml", b"x" * 100), method=zipfile.ZIP_BZIP2),
    "lzma": lambda: zipped(("integration.yaml", b"x" * 100), method=zipfile.ZIP_LZMA),
    "trailing": lambda: zipped(("PACKAGE.json", b"{}")) + b"x",
    "leading": lambda: b"#!/bin/sh\n" + zipped(("PACKAGE.json", b"{}")),
    "too-large": lambda: bytes(LIMITS.package_bytes + 1),
    "random": lambda: random.Random(1).randbytes(100_000),
    **{
        f"name-{index}": partial(zipped, ("PACKAGE.json", b"{}"), ("integration.yaml", b""), (name, b"x"))
        for index, name in enumerate(
            [
                "/etc/passwd",
                "../outside",
                "templates/../../outside",
                "templates/./a",
                "templates//a",
                "templates/",
                "C:/windows",
                "templates\\a",
                "templates/a\nb",
                "templates/a\x1b[2Jb",
                "templates/a\x7f",
                "templates/\u202egnp",
                "templates/caf\u00e9",
                "templates/-rf",
                "templates/.hidden",
                ".git/hooks/post-checkout",
                "setup.py",
                "hooks/__init__.py",
                "templates/" + "a" * 101,
                "templates/" + "a/" * 9 + "a",
                "tests/" + "/".join(["a" * 60] * 5),
                "integration.yaml/x",
                "templates/a b",
                "templates/$(id)",
                "README.md ",
                "readme.md",
            ]
        )
    },
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_archive_is_refused_soon_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    place = tmp_path / "here"
    place.mkdir()
    file = place / "hostile.integration.zip"
    file.write_bytes(HOSTILE[name]())
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(ValidationError) as caught:
            read_package(file)
        taken, (_, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken < REFUSED_S
    assert peak < REFUSED_BYTES
    assert caught.value.message.isprintable()
    assert os.listdir(tmp_path) == ["here"]  # noqa: PTH208
    assert os.listdir(place) == [file.name]  # noqa: PTH208


def test_there_are_enough_hostile_archives() -> None:
    assert len(HOSTILE) >= 50


def test_what_is_no_plain_file_is_not_even_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)

    for path in (tmp_path / "fifo", tmp_path, tmp_path / "nothing", tmp_path / "no\udcff"):
        with pytest.raises(NotFoundError):
            read_package(path)
    with pytest.raises(ValidationError, match="larger"):
        read_package(sparse)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"integration.yaml": b"", "templates/A": b"", "templates/a": b""}, "same file"),
        ({"integration.yaml": b"", "templates/a": b"", "templates/a/b": b""}, "below a file"),
        ({"templates/a": b""}, "is missing"),
        ({"integration.yaml": bytes(LIMITS.file_bytes + 1)}, "larger"),
        ({"integration.yaml": b"", **{f"tests/{number}": b"" for number in range(LIMITS.files)}}, "more than"),
    ],
)
def test_files_that_no_package_can_hold_are_refused(files: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        check_files(files, where="x")


def test_a_folder_with_a_link_or_a_program_is_not_packed(folder: Path) -> None:
    (folder / "templates/link").symlink_to("/etc/passwd")
    with pytest.raises(ValidationError, match="neither a file nor a folder"):
        pack_folder(folder)
    (folder / "templates/link").unlink()
    (folder / "setup.py").write_text("import os", encoding="utf-8")
    with pytest.raises(ValidationError, match="data only"):
        pack_folder(folder)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'{"key":"","signature":""}', b"\xff", b"[" * 100_000, b"1" * 5000]
)
def test_a_signature_that_is_none_is_refused(package: Package, text: bytes) -> None:
    with pytest.raises(ValidationError, match="signature"):
        signer_of(type(package)(name="a", version="1.0.0", files={}, signed=package.signed, signature=text))


def test_a_key_is_private_and_never_written_over(tmp_path: Path, package: Package) -> None:
    key = tmp_path / "key.pem"
    name = make_key(key)

    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert signer_of(sign_package(package, key)) == name
    with pytest.raises(ConflictError):
        make_key(key)
    with pytest.raises(ValidationError):
        make_key(tmp_path / "nowhere/key.pem")
    with pytest.raises(NotFoundError):
        sign_package(package, tmp_path / "nothing")
    (tmp_path / "text").write_text("secret words", encoding="utf-8")
    with pytest.raises(ValidationError) as caught:
        sign_package(package, tmp_path / "text")
    assert "secret words" not in str(caught.value.__dict__)


# -- brought in ------------------------------------------------------------------------------------------------------


def test_what_is_brought_in_is_pinned_and_replaced_as_a_whole(folder: Path, package: Package, tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "state")
    place = store.add(package, source="key:a")

    assert load_manifest(place).name == "greeting"
    assert store.listed() == {"greeting": {"version": "0.1.0", "digest": package.digest, "source": "key:a"}}
    store.check("greeting")
    store.check("never-brought-in")
    (folder / "README.md").write_text("another one\n", encoding="utf-8")
    store.add(pack_folder(folder), source="key:a")
    store.check("greeting")
    assert (place / "README.md").read_text(encoding="utf-8") == "another one\n"
    assert [entry.name for entry in store.folder.iterdir()] == ["greeting"]


@pytest.mark.parametrize("harm", ["changed", "added", "link", "unpinned"])
def test_what_was_changed_afterwards_is_refused(package: Package, tmp_path: Path, harm: str) -> None:
    store = PackageStore(tmp_path / "state")
    place = store.add(package, source="key:a")
    if harm == "changed":
        (place / "templates/install.sh.j2").write_text("id\n", encoding="utf-8")
    elif harm == "added":
        (place / "templates/more.sh.j2").write_text("id\n", encoding="utf-8")
    elif harm == "link":
        (place / "templates/link").symlink_to("/etc/passwd")
    else:
        (tmp_path / "state/packages.lock.json").unlink()

    with pytest.raises(ConflictError, match="changed after it was brought in"):
        store.check("greeting")


def test_a_package_that_says_another_name_than_its_manifest_is_not_brought_in(package: Package, tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "state")
    other = package_of(package.files, where="x")
    lying = type(other)(name="nginx", version=other.version, files=other.files, signed=other.signed)

    with pytest.raises(WorkflowAgentError):
        store.add(lying, source="key:a")
    assert store.listed() == {}
    assert list(store.folder.iterdir()) == []


def test_a_yes_to_a_source_is_kept(tmp_path: Path) -> None:
    assert not PackageStore(tmp_path).trusts("key:a")
    PackageStore(tmp_path).trust("key:a", name="greeting")
    assert PackageStore(tmp_path).trusts("key:a")
    assert not PackageStore(tmp_path).trusts("key:b")
    for text in ("{", "[]"):
        (tmp_path / "package-sources.json").write_text(text, encoding="utf-8")
        with pytest.raises(ConflictError):
            PackageStore(tmp_path).trusts("key:a")
