"""Further services of language models in the settings: read with care, and asked under their name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.agents.chat_backends import Backend, backend_models
from workflow_agent.agents.chat_models import ChatQuestion
from workflow_agent.agents.http_calls import AiohttpCalls
from workflow_agent.app.settings import load_settings
from workflow_agent.model.errors import ParameterError, UnreachableError, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

_TABLE = "[llm_backends.local]\nurl = 'http://127.0.0.1:1/v1'\nmodel = 'small'\nkey = 'env:GONE'\n"


async def test_a_service_of_the_settings_is_asked_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(_TABLE + "[llm_backends.other]\nurl = 'http://127.0.0.1:1/v1'\n")

    found = load_settings(path, {}, {}).llm_backends
    assert found["local"] == Backend(url="http://127.0.0.1:1/v1", model="small", key="env:GONE")
    models = backend_models(AiohttpCalls(), found)
    assert models["local"].describe("") == "small at http://127.0.0.1:1/v1"
    question = ChatQuestion(messages=({"role": "user", "content": "x"},))
    with pytest.raises(ParameterError) as refused:
        await models["local"].complete(question)
    assert refused.value.where == "llm_backends.local.key"
    with pytest.raises(UnreachableError) as lacking:
        await models["other"].complete(question)
    assert "llm_backends.other.model" in str(lacking.value.cause)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_TABLE.replace("local", "default"), "that name means the service of `[models]`"),
        (_TABLE.replace("local", "Local"), "a name in lower case"),
        (_TABLE.replace("url =", "ulr ="), "did you mean `url`?"),
        (_TABLE.replace("http://127.0.0.1:1/v1", "127.0.0.1"), "begins with `http://`"),
        (_TABLE.replace("'small'", "3"), "`model` that is no text"),
        ("[llm_backends]\nlocal = 'http://127.0.0.1:1'\n", "must be a table"),
    ],
)
def test_what_is_no_service_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)

    with pytest.raises(ValidationError) as caught:
        load_settings(path, {}, {})

    assert message in caught.value.message
    assert str(path) in str(caught.value.where)
