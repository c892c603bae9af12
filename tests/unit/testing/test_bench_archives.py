"""Archives of a test are made from folders of text, the same bytes each time, and real programs can read them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import ManifestError
from workflow_agent.testing.bench.archives import archives_of, write_archives
from workflow_agent.testing.bench.plan_file import read_plan

if TYPE_CHECKING:
    from pathlib import Path

PLACE = "/srv/x-1.0.tar.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    member = tmp_path / "tests/archives/srv/x-1.0.tar.gz/x-1.0/bin/x"
    member.parent.mkdir(parents=True)
    member.write_text("#!/bin/sh\necho x 1.0\n", encoding="utf-8")
    (member.parent.parent / "large").write_bytes(b"x" * 200_000)  # more than one block
    return tmp_path


def test_tar_unpacks_it_and_its_programs_run(folder: Path, tmp_path: Path) -> None:
    write_archives(folder, tmp_path / "root")

    place = tmp_path / "there"
    place.mkdir()
    subprocess.run(["tar", "-xf", str(tmp_path / f"root{PLACE}"), "-C", str(place)], check=True)
    assert subprocess.run([place / "x-1.0/bin/x"], check=True, capture_output=True).stdout == b"x 1.0\n"
    assert (place / "x-1.0/large").stat().st_size == 200_000
    assert not os.access(place / "x-1.0/large", os.X_OK)


def test_the_same_folder_gives_the_same_bytes(folder: Path) -> None:
    first = archives_of(folder)
    for path in (folder / "tests").rglob("*"):
        os.utime(path, (1, 1))

    assert archives_of(folder) == first
    assert list(first) == [PLACE]


def test_a_wheel_gets_its_record_and_pip_takes_it(tmp_path: Path) -> None:
    wheel = tmp_path / "tests/archives/srv/wheels/tiny-1.0-py3-none-any.whl"
    for name, text in {
        "tiny.py": "VALUE = 7\n",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }.items():
        (wheel / name).parent.mkdir(parents=True, exist_ok=True)
        (wheel / name).write_text(text, encoding="utf-8")

    write_archives(tmp_path, tmp_path / "root")

    file = tmp_path / "root/srv/wheels/tiny-1.0-py3-none-any.whl"
    names = zipfile.ZipFile(file).namelist()
    assert "tiny-1.0.dist-info/RECORD" in names
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(tmp_path / "t"),
    ]
    subprocess.run([*pip, str(file)], check=True, capture_output=True)
    assert (tmp_path / "t/tiny.py").read_text(encoding="utf-8") == "VALUE = 7\n"


def test_digests_become_parameters(folder: Path) -> None:
    (folder / "tests/bench.yaml").write_text(
        f"parameters: {{port: 1}}\ndigests: {{sha256: {PLACE}}}\n", encoding="utf-8"
    )

    digest = hashlib.sha256(archives_of(folder)[PLACE]).hexdigest()
    assert read_plan(folder).parameters == {"port": 1, "sha256": digest}


def test_an_older_version_has_the_parameters_that_differ_and_a_digest_of_its_own(folder: Path) -> None:
    member = folder / "tests/archives/srv/x-0.9.tar.gz/x-0.9/x"
    member.parent.mkdir(parents=True)
    member.write_text("0.9\n", encoding="utf-8")
    (folder / "tests/bench.yaml").write_text(
        f"parameters: {{port: 1, archive: {PLACE}}}\ndigests: {{sha256: {PLACE}}}\n"
        "older:\n  parameters: {archive: /srv/x-0.9.tar.gz}\n  digests: {sha256: /srv/x-0.9.tar.gz}\n"
        "  running: {argv: [x, --version], older: '0.9', newer: '1.0'}\n",
        encoding="utf-8",
    )

    plan, made = read_plan(folder), archives_of(folder)

    digests = {path: hashlib.sha256(content).hexdigest() for path, content in made.items()}
    assert plan.parameters == {"port": 1, "archive": PLACE, "sha256": digests[PLACE]}
    assert plan.older is not None
    older = "/srv/x-0.9.tar.gz"
    assert plan.older.parameters == {"port": 1, "archive": older, "sha256": digests[older]}


@pytest.mark.parametrize(
    "text",
    [
        "digests: {sha256: /srv/y.tar.gz}\n",
        "older: {digests: {sha256: /srv/y.tar.gz}, running: {argv: [x], older: a, newer: b}}\n",
    ],
)
def test_a_digest_of_no_archive_is_refused(folder: Path, text: str) -> None:
    (folder / "tests/bench.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError, match=r"there is no folder for the archive /srv/y.tar.gz"):
        read_plan(folder)


def test_without_the_folder_there_is_nothing(tmp_path: Path) -> None:
    write_archives(tmp_path, tmp_path / "root")

    assert not (tmp_path / "root").exists()
