"""The notify agent: a sentence to somebody, by a webhook, by mail, or into a file."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workflow_agent.agents.given_secrets import filled, filled_texts
from workflow_agent.agents.http_agent import refusal_of
from workflow_agent.agents.http_calls import HttpCall
from workflow_agent.agents.mailing import Letter, MailServer
from workflow_agent.agents.masking import masked
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.authoring.durations import duration_s
from workflow_agent.model.errors import ParameterError, StepFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.http_calls import HttpCalls
    from workflow_agent.agents.mailing import Mailer
    from workflow_agent.model.message import Message
    from workflow_agent.security.vault import Vault

__all__ = ["FileNotice", "MailNotice", "NotifyAgent", "NotifyReply", "WebhookNotice"]


class WebhookNotice(Question):
    """Post JSON: `data`, or ``{"text": text}`` where that is not given. `url` and `headers` may name secrets."""

    url: Any
    text: str = ""
    data: Any = None
    headers: dict[str, Any] = field(default_factory=dict)
    timeout: str = "30s"


class MailNotice(Question):
    """Send a mail by an SMTP server. `password` names a secret: ``{"$secret": "mail_password"}``."""

    to: list[str]
    subject: str
    sender: str
    server: str
    text: str = ""
    port: int = 25
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: Any = None
    timeout: str = "30s"


class FileNotice(Question):
    """Add a line to a file; it is made with mode 0600 where there is none."""

    path: str
    text: str


class NotifyReply(Answer):
    """Where it went."""

    to: str


class NotifyAgent:
    """Answers ``notify.webhook``, ``notify.mail`` and ``notify.file``.

    Args:
        vault: The secrets of runs.
        calls: Sends requests.
        mailer: Sends mails.
    """

    name = "notify"

    def __init__(self, vault: Vault, calls: HttpCalls, mailer: Mailer) -> None:
        self._vault = vault
        self._calls = calls
        self._mailer = mailer

    def verbs(self) -> Mapping[str, Verb]:
        """Webhook, mail, file."""
        verbs = {
            "webhook": Verb(WebhookNotice, NotifyReply, self._webhook),
            "mail": Verb(MailNotice, NotifyReply, self._mail),
            "file": Verb(FileNotice, NotifyReply, self._file),
        }
        return masked(self._vault, verbs)

    async def _webhook(self, notice: WebhookNotice, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        where, run_id = str(message.step_id), message.run_id
        url = filled(notice.url, self._vault, run_id)
        if not isinstance(url, str):
            raise ParameterError("`url` must be a text", where=where)
        data = {"text": notice.text} if notice.data is None else notice.data
        key = message.headers.get("idempotency-key")
        call = HttpCall(
            method="POST",
            url=url,
            headers={
                "Content-Type": "application/json",
                **({"Idempotency-Key": key} if key else {}),
                **filled_texts(notice.headers, self._vault, run_id),
            },
            body=json.dumps(filled(data, self._vault, run_id)).encode(),
            timeout_s=duration_s(notice.timeout, where=f"{where} › timeout"),
            is_bound=True,
            # the path of a webhook's address is often all that keeps others from using it
            is_private=True,
        )
        answer = await self._calls.send(call)
        problem = refusal_of(answer, None, [], None)
        if problem is not None:
            raise StepFailedError(f"{call.place}: {problem}", where=where, details={"status": answer.status})
        return NotifyReply(to=call.place), {}

    async def _mail(self, notice: MailNotice, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        where = str(message.step_id)
        password = filled(notice.password, self._vault, message.run_id)
        if password is not None and notice.security == "none":
            raise ParameterError("a password is sent over TLS only", where=f"{where} › security")
        server = MailServer(
            host=notice.server,
            port=notice.port,
            security=notice.security,
            user=notice.user,
            password=password,
            timeout_s=duration_s(notice.timeout, where=f"{where} › timeout"),
        )
        letter = Letter(
            sender=notice.sender,
            to=tuple(notice.to),
            subject=notice.subject,
            text=notice.text,
            # the same for every attempt, so that a mail that came twice is shown once
            key=message.headers.get("idempotency-key") or f"{message.run_id}.{where}",
        )
        await asyncio.to_thread(self._mailer.send, letter, server)
        return NotifyReply(to=", ".join(notice.to)), {}

    async def _file(self, notice: FileNotice, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        masker = self._vault.masker(message.run_id)
        text = notice.text if masker is None else masker.mask(notice.text)
        await asyncio.to_thread(_add_line, notice.path, text)
        return NotifyReply(to=notice.path), {}


def _add_line(name: str, text: str) -> None:
    path = Path(name).expanduser()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(descriptor, "ab", closefd=True) as stream:  # noqa: PTH123  # a descriptor, not a path
            stream.write(f"{text.rstrip()}\n".encode("utf-8", "replace"))
    except OSError as error:
        raise StepFailedError("the notice cannot be written", where=str(path), cause=error.strerror) from error
