"""The last gate of what an agent says: nothing of a run's secrets leaves it, in a reply or in an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.serving import Verb
from workflow_agent.model.errors import InternalError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.serving import Answer, Reply, VerbHandler
    from workflow_agent.model.message import Message
    from workflow_agent.security.masker import Masker
    from workflow_agent.security.vault import Vault

__all__ = ["mask_error", "masked"]

_TEXTS = ("message", "where", "cause", "state", "hint")


def masked(vault: Vault, verbs: Mapping[str, Verb]) -> Mapping[str, Verb]:
    """Give the same verbs, with the secrets of the run that asks hidden in everything that they answer."""
    return {name: Verb(verb.request, verb.reply, _masked(vault, verb.handler)) for name, verb in verbs.items()}


def _masked(vault: Vault, handler: VerbHandler) -> VerbHandler:
    async def handle(request: Any, message: Message) -> tuple[Answer | Reply, Mapping[str, Any]]:  # Any: its Request
        masker = vault.masker(message.run_id)
        if masker is None:
            return await handler(request, message)
        try:
            reply, special = await handler(request, message)
        except WorkflowAgentError as error:
            mask_error(error, masker)
            # What led to it may quote what was hidden: it goes no further.
            raise error from None
        except Exception as error:  # noqa: BLE001  # border: a defect's message may quote anything
            text = masker.mask_excerpt(f"{type(error).__name__}: {error}")
            raise InternalError(f"`{message.subject}` failed", cause=text, run_id=message.run_id) from None
        shown = masker.mask_value(reply.model_dump(mode="json"))
        return type(reply).model_validate(shown), masker.mask_value(special)

    return handle


def mask_error(error: WorkflowAgentError, masker: Masker) -> None:
    """Hide secrets in every part of an error."""
    for name in _TEXTS:
        text = getattr(error, name)
        if text is not None:
            setattr(error, name, masker.mask_excerpt(text))
    error.args = tuple(masker.mask_value(list(error.args)))
    error.details = masker.mask_value(error.details)
