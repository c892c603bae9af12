"""Sending mail: the port, and the standard library's SMTP client behind it. Blocking."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Literal, Protocol

from workflow_agent.model.errors import ParameterError, StepFailedError, UnreachableError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Letter", "MailServer", "Mailer", "SmtpMailer"]

_PERMANENT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed in."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    user: str | None = None
    password: str | None = None
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail; `key` is the same for every attempt to send it."""

    sender: str
    to: tuple[str, ...]
    subject: str
    text: str
    key: str


class Mailer(Protocol):
    """Sends mails."""

    def send(self, letter: Letter, server: MailServer) -> None:
        """Hand a mail in; blocks.

        Raises:
            ParameterError: an address or the subject cannot be meant so.
            UnreachableError: no server answers.
            StepFailedError: the server refused.
        """
        ...


class SmtpMailer:
    """Sends by SMTP.

    Args:
        context: Gives how certificates are checked; as the system does it when omitted.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
        self._context = context

    def send(self, letter: Letter, server: MailServer) -> None:
        """See :class:`Mailer`."""
        mail = _mail(letter)
        where = f"{server.host}:{server.port}"
        try:
            with self._connected(server) as client:
                if server.security == "starttls":
                    client.starttls(context=self._context())
                if server.user is not None:
                    client.login(server.user, server.password or "")
                refused = client.send_message(mail)
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error, where) from None
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _refused(code, text, where) from None
        except smtplib.SMTPNotSupportedError as error:
            hint = "`security: none` sends without TLS, to a server of this machine for example"
            raise StepFailedError("the mail server cannot do that", where=where, cause=str(error), hint=hint) from error
        except (OSError, smtplib.SMTPException) as error:
            raise UnreachableError("no mail server answers", where=where, cause=str(error) or None) from error
        if refused:
            raise StepFailedError(f"the mail was not taken for {', '.join(refused)}", where=where)

    def _connected(self, server: MailServer) -> smtplib.SMTP:
        if server.security == "tls":
            return smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout_s, context=self._context())
        return smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)


def _refused(code: int, text: bytes | str, where: str) -> StepFailedError:
    told = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    again = {} if code < _PERMANENT else {"retry": None}
    return StepFailedError(f"the mail server refused: {code}", where=where, cause=told[:400] or None, details=again)


def _mail(letter: Letter) -> EmailMessage:
    mail = EmailMessage()
    try:
        mail["From"] = letter.sender
        mail["To"] = ", ".join(letter.to)
        mail["Subject"] = letter.subject
    except (ValueError, MessageError) as error:
        raise ParameterError("an address or the subject cannot be used", cause=str(error)) from error
    mail["Date"] = formatdate(localtime=False)
    mail["Message-ID"] = f"<{hashlib.sha256(letter.key.encode()).hexdigest()[:32]}@workflow-agent.invalid>"
    mail.set_content(letter.text or "\n")
    return mail
