"""Notices: into files, to a webhook and to a mail server, each a real one of this test."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import json
import ssl
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from workflow_agent.agents.http_calls import AiohttpCalls
from workflow_agent.agents.mailing import SmtpMailer
from workflow_agent.agents.notify_agent import NotifyAgent
from workflow_agent.model.errors import ParameterError, StepFailedError, UnreachableError
from workflow_agent.model.message import Message
from workflow_agent.security.secret import Secret
from workflow_agent.security.vault import Vault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_RUN = "r-1"
_PASSWORD = "mail-password-1"


class Post:
    """An SMTP server: takes mail, after TLS where it has a certificate. Source: RFC 5321, RFC 3207, RFC 4954."""

    def __init__(self, context: ssl.SSLContext | None = None, refuses: str = "") -> None:
        self.mails: list[bytes] = []
        self.said: list[str] = []
        self._context = context
        self._refuses = refuses
        self.port = 0

    async def open(self) -> asyncio.Server:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 post\r\n")
        while line := await reader.readline():
            word = line.decode().strip()
            self.said.append(word)
            match word.upper().split(" ")[0].split(":")[0]:
                case "EHLO":
                    offers = b"250-post\r\n250-AUTH PLAIN\r\n" + (b"250-STARTTLS\r\n" if self._context else b"")
                    writer.write(offers + b"250 OK\r\n")
                case "STARTTLS":
                    writer.write(b"220 go\r\n")
                    await writer.drain()
                    await writer.start_tls(self._context)  # type: ignore[arg-type]
                case "DATA":
                    writer.write(b"354 go\r\n")
                    self.mails.append((await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n"))
                    writer.write(b"250 taken\r\n")
                case "AUTH":
                    writer.write(b"235 welcome\r\n")
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case other:
                    refused = bool(self._refuses) and self._refuses.startswith(other)
                    writer.write(f"{self._refuses[5:]}\r\n".encode() if refused else b"250 OK\r\n")
            await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "post")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "post.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    made = Post()
    server = await made.open()
    yield made
    server.close()


async def tell(word: str, mailer: SmtpMailer | None = None, **said: Any) -> dict[str, Any]:
    """Ask the agent as the bus does."""
    vault = Vault()
    vault.hold(_RUN, {"password": Secret(_PASSWORD), "hook": Secret(said.pop("hook", "not used here"))})
    message = Message(
        f"agent.notify.{word}", said, source="test", run_id=_RUN, step_id="tell", headers={"idempotency-key": "key-1"}
    )
    verb = NotifyAgent(vault, AiohttpCalls(), mailer or SmtpMailer()).verbs()[word]
    reply, _ = await verb.handler(verb.request.model_validate(said), message)
    return reply.model_dump(mode="json")


def mail_to(post: Post, **more: Any) -> dict[str, Any]:
    return {
        "to": ["ann@example.org", "bob@example.org"],
        "sender": "flows@example.org",
        "server": "127.0.0.1",
        "port": post.port,
        "subject": "Grüße",
        "text": "It is done.\n.\nReally.",
        **more,
    }


async def test_a_mail_arrives_with_the_same_id_for_every_attempt(post: Post) -> None:
    for _ in range(2):
        reply = await tell("mail", **mail_to(post, security="none"))

    assert reply == {"to": "ann@example.org, bob@example.org"}
    first, second = (message_from_bytes(raw, policy=policy.default) for raw in post.mails)
    assert first["Subject"] == "Grüße"
    assert first["Message-ID"] == second["Message-ID"]
    body = first.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["It is done.", "..", "Really."]  # a dot is doubled on its way
    assert [word for word in post.said if word.startswith("rcpt")] == [
        "rcpt TO:<ann@example.org>",
        "rcpt TO:<bob@example.org>",
    ] * 2


async def test_a_password_is_sent_after_tls_and_the_certificate_is_checked(certificate: Path) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    post = Post(served)
    server = await post.open()
    said = mail_to(post, user="ann", password={"$secret": "password"})

    async with server:
        await tell("mail", SmtpMailer(lambda: ssl.create_default_context(cafile=certificate)), **said)
        with pytest.raises(UnreachableError, match="no mail server answers"):
            await tell("mail", **said)  # nobody whom we know has signed it

    assert len(post.mails) == 1
    words = [word.split(" ")[0].upper() for word in post.said]
    assert words.index("STARTTLS") < words.index("AUTH")


async def test_a_password_is_not_sent_in_clear(post: Post) -> None:
    said = mail_to(post, user="ann", password={"$secret": "password"})

    with pytest.raises(ParameterError, match="over TLS only"):
        await tell("mail", **said, security="none")
    with pytest.raises(StepFailedError, match="cannot do that"):
        await tell("mail", **said)  # the server has no TLS
    assert not [word for word in post.said if word.startswith("AUTH")]


@pytest.mark.parametrize(("refuses", "is_final"), [("RCPT 550 who", True), ("RCPT 451 later", False)])
async def test_a_refusal_says_why_and_whether_it_is_final(refuses: str, is_final: bool) -> None:
    post = Post(refuses=refuses)

    async with await post.open():
        with pytest.raises(StepFailedError, match="the mail server refused") as failed:
            await tell("mail", **mail_to(post, security="none"))

    assert failed.value.cause == refuses.rpartition(" ")[2]
    assert ("retry" in failed.value.details) is is_final


async def test_a_subject_cannot_smuggle_headers_in(post: Post) -> None:
    with pytest.raises(ParameterError, match="cannot be used"):
        await tell("mail", **mail_to(post, security="none", subject="a\nBcc: x@example.org"))
    assert post.mails == []


async def test_no_mail_server_is_said_so(unused_tcp_port: int) -> None:
    gone = Post()
    gone.port = unused_tcp_port

    for security in ("none", "tls"):
        with pytest.raises(UnreachableError, match="no mail server answers"):
            await tell("mail", **mail_to(gone, security=security))


async def test_a_webhook_gets_the_notice_and_its_path_is_never_shown() -> None:
    seen: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        seen.append((await request.json(), request.headers["Idempotency-Key"], request.headers.get("X-Own")))
        return web.Response(status=200 if len(seen) < 3 else 410)

    application = web.Application()
    application.router.add_post("/hook/path-that-lets-in", take)
    server = TestServer(application)
    async with server:
        url = str(server.make_url("/hook/path-that-lets-in"))
        reply = await tell("webhook", url={"$secret": "hook"}, hook=url, text="done")
        await tell("webhook", url=url, data={"own": [1]}, headers={"X-Own": "yes"})
        with pytest.raises(StepFailedError, match="410") as failed:
            await tell("webhook", url=url, text="x")

    assert seen[0] == ({"text": "done"}, "key-1", None)
    assert seen[1] == ({"own": [1]}, "key-1", "yes")
    assert "path-that-lets-in" not in json.dumps(reply) + str(failed.value.to_dict())
    with pytest.raises(ParameterError, match="`url` must be a text"):
        await tell("webhook", url=1)


async def test_a_file_gets_a_line_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "notices"

    await tell("file", path=str(path), text=f"it is {_PASSWORD}\n")
    await tell("file", path=str(path), text="again")

    assert path.read_text() == "it is ***\nagain\n"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StepFailedError, match="cannot be written"):
        await tell("file", path=str(tmp_path), text="x")
