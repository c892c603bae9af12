"""Further services of language models, ``[llm_backends.NAME]`` of the settings: an agent names one as `llm_backend`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents.chat_models import HttpChatModel
from workflow_agent.model.named_table import check_named_table
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.http_calls import HttpCalls

__all__ = ["DEFAULT_BACKEND", "Backend", "backend_models", "backend_of_settings"]

#: The name of the service that ``[models]`` says.
DEFAULT_BACKEND: Final = "default"
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
    check_named_table(name, table, _KEYS)
    if name == DEFAULT_BACKEND:
        raise ValueError("cannot be declared: that name means the service of `[models]`")
    for key, value in table.items():
        if not isinstance(value, str):
            raise ValueError(f"has a `{key}` that is no text")  # noqa: TRY004  # ends a sentence of the settings
    if not table.get("url", "").startswith(("http://", "https://")):
        raise ValueError("needs a `url` that begins with `http://` or `https://`")
    return Backend(**table)


def backend_models(calls: HttpCalls, backends: Mapping[str, Backend]) -> dict[str, HttpChatModel]:
    """Give what asks each service, by its name."""
    return {
        name: HttpChatModel(calls, url=one.url, model=one.model, key=one.key, setting=f"llm_backends.{name}")
        for name, one in backends.items()
    }
