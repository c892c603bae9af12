"""Integrations from git at a commit: read out of the objects; nothing of a repository takes part otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from workflow_agent.integrations.package_file import package_of
from workflow_agent.integrations.package_git import files_at, parse_place
from workflow_agent.integrations.scaffold import DraftAnswers, DraftTemplate, files_of
from workflow_agent.model.errors import NotFoundError, UnreachableError, UsageError, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
AUTHOR = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b.c",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b.c",
}


def git(folder: Path, *arguments: str) -> str:
    environment = os.environ | AUTHOR | {"GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one integration in a folder, and hooks and filters that would leave a mark."""
    made = tmp_path / "repository"
    for name, content in files_of(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT)).items():
        (made / "greeting" / name).parent.mkdir(parents=True, exist_ok=True)
        (made / "greeting" / name).write_bytes(content)
    (made / ".gitattributes").write_text("* filter=mark\n", encoding="utf-8")
    git(made, "init", "--quiet")
    for hook in ("post-checkout", "post-merge", "reference-transaction"):
        file = made / ".git/hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch {tmp_path}/mark-{hook}\n", encoding="utf-8")
        file.chmod(0o755)
    return made


def committed(repository: Path) -> str:
    git(repository, "-c", "core.hooksPath=/dev/null", "add", "--all")
    git(repository, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message=x")
    return git(repository, "rev-parse", "HEAD")


def test_a_folder_at_a_commit_becomes_a_package(repository: Path, tmp_path: Path) -> None:
    commit = committed(repository)
    (repository / "greeting/integration.yaml").write_text("later: 1\n", encoding="utf-8")
    committed(repository)

    files = files_at(parse_place(f"git+file://{repository}@{commit}#greeting"))

    assert files == dict(sorted(files_of(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT)).items()))
    assert package_of(files, where="x").name == "greeting"
    assert list(tmp_path.glob("mark-*")) == []


def test_a_commit_without_a_manifest_there_says_where_one_is(repository: Path) -> None:
    commit = committed(repository)

    with pytest.raises(NotFoundError, match=r"no integration\.yaml in its top folder") as refused:
        files_at(parse_place(f"git+file://{repository}@{commit}"))
    assert refused.value.hint == "there is one in `#greeting`"
    with pytest.raises(NotFoundError, match="in greeting/templates") as below:
        files_at(parse_place(f"git+file://{repository}@{commit}#greeting/templates"))
    assert below.value.hint is None


@pytest.mark.parametrize("harm", ["link", "submodule", "hidden", "control"])
def test_what_no_package_can_hold_is_refused(repository: Path, harm: str) -> None:
    if harm == "link":
        (repository / "greeting/templates/link").symlink_to("/etc/passwd")
    elif harm == "hidden":
        (repository / "greeting/.envrc").write_text("id\n", encoding="utf-8")
    elif harm == "control":
        (repository / "greeting/templates/a\nb").write_text("id\n", encoding="utf-8")
    commit = committed(repository)
    if harm == "submodule":
        git(repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},greeting/templates/sub")
        git(repository, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message=x")
        commit = git(repository, "rev-parse", "HEAD")

    with pytest.raises(ValidationError) as caught:
        files_at(parse_place(f"git+file://{repository}@{commit}#greeting"))
    assert caught.value.message.isprintable()


def test_a_commit_or_a_folder_that_is_not_there_is_told(repository: Path) -> None:
    commit = committed(repository)

    with pytest.raises(NotFoundError):
        files_at(parse_place(f"git+file://{repository}@{commit}#nothing"))
    with pytest.raises(UnreachableError):
        files_at(parse_place(f"git+file://{repository}@{'0' * 40}#greeting"))
    with pytest.raises(UnreachableError):
        files_at(parse_place(f"git+file://{repository}/nowhere@{commit}#greeting"))


@pytest.mark.parametrize(
    "text",
    [
        "git+https://example.org/a@main",
        "git+https://example.org/a@0123456",
        f"git+ssh://example.org/a@{'0' * 40}",
        f"git+ext::sh -c id@{'0' * 40}",
        f"git+https://user:pass@example.org/a@{'0' * 40}",
        f"git+https://example.org/a@{'0' * 40}#../up",
        f"git+https://example.org/a@{'0' * 40}#-x",
        "git+",
    ],
)
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_place(text)
