"""Further services of language models, ``[llm_backends.NAME]`` of the settings: an agent names one as `llm_backend`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents.chat_models import HttpChatModel
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.http_calls import HttpCalls

__all__ = ["DEFAULT_BACKEND", "Backend", "backend_models", "backend_of_settings"]

#: The name of the service that ``[models]`` says.
DEFAULT_BACKEND: Final = "default"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_KEYS: Final = ("url", "model", "key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One service: its base address, the model where an agent names none, and where its key comes from."""

    url: str
    model: str = ""
    key: str = ""


def backend_of_settings(name: str, table: Any) -> Backend:  # Any: as settings have it
    """Read a service as it stands in settings.

    Raises:
        ValueError: it is none; the sentence says why.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("needs a name in lower case: letters, digits, `-` and `_`, a letter first")
    if name == DEFAULT_BACKEND:
        raise ValueError("cannot be declared: that name means the service of `[models]`")
    if not isinstance(table, dict):
        raise ValueError("must be a table with `url`, `model`, `key`")  # noqa: TRY004  # ends a sentence of the settings
    for key, value in table.items():
        if key not in _KEYS:
            raise ValueError(f"has no key `{key[:64]}`; {did_you_mean(key, _KEYS)}")
        if not isinstance(value, str):
            raise ValueError(f"has a `{key}` that is no text")  # noqa: TRY004  # as above
    if not table.get("url", "").startswith(("http://", "https://")):
        raise ValueError("needs a `url` that begins with `http://` or `https://`")
    return Backend(**table)


def backend_models(calls: HttpCalls, backends: Mapping[str, Backend]) -> dict[str, HttpChatModel]:
    """Give what asks each service, by its name."""
    return {
        name: HttpChatModel(calls, url=one.url, model=one.model, key=one.key, setting=f"llm_backends.{name}")
        for name, one in backends.items()
    }
