"""The token of the API: made once, 256 bits, readable for its owner only, compared and never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import StoreError
from workflow_agent.security.api_token import ApiToken

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    token = ApiToken.open(tmp_path)
    text = token.path.read_text().strip()

    assert (len(bytes.fromhex(text.removeprefix("wfa_"))), token.path.stat().st_mode & 0o777) == (32, 0o600)
    assert ApiToken.open(tmp_path).is_same(text)
    assert list(tmp_path.iterdir()) == [token.path]


def test_folders_have_tokens_of_their_own(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        texts.append(ApiToken.open(tmp_path / name).path.read_text())

    assert texts[0] != texts[1]


@pytest.mark.parametrize("wrong", ["", "wfa_", "wfa_" + "0" * 64, "\udce9", "é"])
def test_another_text_is_not_the_token(tmp_path: Path, wrong: str) -> None:
    token = ApiToken.open(tmp_path)

    assert not token.is_same(wrong)
    assert not token.is_same(token.path.read_text().strip()[:-1])


def test_neither_repr_nor_memory_has_the_text(tmp_path: Path) -> None:
    token = ApiToken.open(tmp_path)
    text = token.path.read_text().strip()

    assert text not in repr(token)
    assert not any(text in str(getattr(token, name)) for name in token.__slots__)


@pytest.mark.parametrize("content", [b"", b"secret\n", b"wfa_12\n", b"\xff" * 68])
def test_a_damaged_file_is_no_token(tmp_path: Path, content: bytes) -> None:
    path = ApiToken.open(tmp_path).path
    path.write_bytes(content)

    with pytest.raises(StoreError, match="is damaged"):
        ApiToken.open(tmp_path)


def test_a_file_that_others_read_is_no_token(tmp_path: Path) -> None:
    ApiToken.open(tmp_path).path.chmod(0o640)

    with pytest.raises(StoreError, match="others may read the token") as refused:
        ApiToken.open(tmp_path)
    assert "chmod 600" in str(refused.value.hint)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("wfa_" + "0" * 64)
    (tmp_path / "api-token").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StoreError, match="cannot be used"):
        ApiToken.open(tmp_path)
    (tmp_path / "api-token").unlink()
    os.mkfifo(tmp_path / "api-token", 0o600)
    with pytest.raises(StoreError, match="is damaged"):
        ApiToken.open(tmp_path)
