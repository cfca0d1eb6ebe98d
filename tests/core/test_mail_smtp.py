import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd import smtp as aiosmtpd
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from dashtam.core.mail import Letter, MailDeferredError, MailRefusedError, SmtpTransport
from dashtam.core.mail.messages import Composer
from dashtam.core.mail.transports import recipient
from dashtam.settings import load
from tests.core.mail_rig import START, TOKEN, SmtpServer, certificate

SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-tests"
PASSWORD = "pa:ss/wo@rd %25"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side; this process trusts its certificate, by the variable that operators use."""
    context, pem = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    return context


@pytest.fixture
def message() -> EmailMessage:
    return mail_to("ada@example.org")


def mail_to(to: str, **given: str) -> EmailMessage:
    settings = load(secret_key=SECRET, public_url="https://id.example.org", **given)
    letter = Letter("verify-email", to, {"token": TOKEN})
    return Composer(settings).compose(letter, message_id="<1@id.example.org>", date=START)


def transport_to(port: int, scheme: str = "smtp", login: str = "", **options: bool) -> SmtpTransport:
    return SmtpTransport(f"{scheme}://{login}127.0.0.1:{port}", host="id.example.org", **options)


class TestTls:
    async def test_mail_goes_over_starttls(self, trusted: ssl.SSLContext, message: EmailMessage) -> None:
        async with SmtpServer(offers=(b"STARTTLS",), tls=trusted).listening() as server:
            await transport_to(server.port).send(message)
        assert server.in_the_clear == [b"EHLO", b"STARTTLS"]
        assert len(server.messages) == 1

    async def test_mail_goes_over_implicit_tls(self, trusted: ssl.SSLContext, message: EmailMessage) -> None:
        async with SmtpServer(offers=(b"SIZE",), tls=trusted, implicit_tls=True).listening() as server:
            await transport_to(server.port, "smtps").send(message)
        assert len(server.messages) == 1

    async def test_nothing_is_said_when_starttls_is_stripped(self, message: EmailMessage) -> None:
        async with SmtpServer(offers=(b"AUTH PLAIN",)).listening() as server:
            with pytest.raises(MailDeferredError, match="no STARTTLS"):
                await transport_to(server.port, login="user:secret@").send(message)
        assert server.in_the_clear == [b"EHLO"]

    async def test_nothing_is_said_when_starttls_is_offered_and_refused(self, message: EmailMessage) -> None:
        server = SmtpServer(offers=(b"STARTTLS",), replies={b"STAR": b"454 not now"})
        async with server.listening():
            with pytest.raises(MailDeferredError, match="454 not now"):
                await transport_to(server.port).send(message)
        assert server.in_the_clear[:2] == [b"EHLO", b"STARTTLS"]
        assert server.lines(b"MAIL") == []

    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    async def test_a_certificate_that_nobody_vouches_for_is_refused(
        self, tls: tuple[ssl.SSLContext, Path], message: EmailMessage, scheme: str
    ) -> None:
        server = SmtpServer(offers=(b"STARTTLS",), tls=tls[0], implicit_tls=scheme == "smtps")
        async with server.listening():
            with pytest.raises(MailDeferredError, match="CERTIFICATE_VERIFY_FAILED"):
                await transport_to(server.port, scheme).send(message)
        assert server.messages == []

    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    async def test_a_certificate_of_another_host_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: EmailMessage, scheme: str
    ) -> None:
        context, pem = certificate(tmp_path, "mail.example.org")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        server = SmtpServer(offers=(b"STARTTLS",), tls=context, implicit_tls=scheme == "smtps")
        async with server.listening():
            with pytest.raises(MailDeferredError, match="CERTIFICATE_VERIFY_FAILED"):
                await transport_to(server.port, scheme).send(message)
        assert server.messages == []

    async def test_plain_text_is_spoken_when_it_is_allowed(self, message: EmailMessage) -> None:
        async with SmtpServer(offers=(b"STARTTLS",)).listening() as server:
            await transport_to(server.port, plaintext=True).send(message)
        assert server.lines(b"STARTTLS") == []
        assert len(server.messages) == 1


class TestWhatFails:
    @pytest.mark.parametrize(
        ("replies", "error", "words"),
        [
            ({b"RCPT": b"550 5.1.1 no such user"}, MailRefusedError, "recipient: 550 5.1.1 no such user"),
            ({b"RCPT": b"451 greylisted"}, MailDeferredError, "recipient: 451 greylisted"),
            ({b"RCPT": b"530 5.7.0 log in first"}, MailDeferredError, "530"),
            ({b"DONE": b"554 5.7.1 I read: " + TOKEN.encode()}, MailRefusedError, "message: 554 5.7.1"),
            ({b"DONE": b"452 4.3.1 full " + TOKEN.encode()}, MailDeferredError, "message: 452 4.3.1"),
            ({b"DATA": b"554 no valid recipients"}, MailRefusedError, "message: 554"),
            ({b"MAIL": b"550 sender not allowed"}, MailDeferredError, "550 sender not allowed"),
            ({b"CONNECT": b"554 go away"}, MailDeferredError, "554 go away"),
            ({b"EHLO": b"501 no", b"HELO": b"501 no"}, MailDeferredError, "501 no"),
            ({b"AUTH": b"535 5.7.8 no: " + PASSWORD.encode()}, MailDeferredError, "login: 535 5.7.8"),
        ],
    )
    async def test_only_what_the_server_says_of_this_mail_is_final(
        self, message: EmailMessage, replies: dict[bytes, bytes], error: type[Exception], words: str
    ) -> None:
        login = "user:pa%3Ass%2Fwo%40rd%20%2525@" if b"AUTH" in replies else ""
        async with SmtpServer(offers=(b"AUTH PLAIN",), replies=replies).listening() as server:
            with pytest.raises(error) as caught:
                await transport_to(server.port, login=login, plaintext=True).send(message)
        assert words in str(caught.value)
        assert TOKEN not in str(caught.value)
        assert PASSWORD not in str(caught.value)
        assert caught.value.__cause__ is None

    async def test_a_server_that_is_not_there_puts_mail_off(
        self, unused_tcp_port: int, message: EmailMessage
    ) -> None:
        with pytest.raises(MailDeferredError, match="no connection to the mail server"):
            await transport_to(unused_tcp_port, plaintext=True).send(message)

    async def test_a_server_that_hangs_up_halfway_puts_mail_off(self, message: EmailMessage) -> None:
        async with SmtpServer(offers=(b"SIZE",), replies={b"RCPT": b"421 closing"}).listening() as server:
            with pytest.raises(MailDeferredError):
                await transport_to(server.port, plaintext=True).send(message)

    async def test_a_server_that_never_says_goodbye_has_the_mail_all_the_same(
        self, message: EmailMessage
    ) -> None:
        async with SmtpServer(offers=(b"SIZE",), replies={b"QUIT": b"HANG"}).listening() as server:
            await transport_to(server.port, plaintext=True).send(message)
        assert len(server.messages) == 1

    async def test_the_reason_is_one_short_line(self, message: EmailMessage) -> None:
        said = b"550-first\r\n550 \x1b[31m" + b"x" * 400
        async with SmtpServer(offers=(b"SIZE",), replies={b"RCPT": said}).listening() as server:
            with pytest.raises(MailRefusedError) as caught:
                await transport_to(server.port, plaintext=True).send(message)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) <= 300


class TestWhatIsSent:
    """Byte by byte, as the server reads it (S-116)."""

    async def test_one_sender_one_recipient_and_exactly_these_headers(self) -> None:
        message = mail_to("ada+x@example.org", mail_from='"Dashtåm, Inc. \u010a" <no-reply@example.org>')
        async with SmtpServer(offers=(b"SIZE", b"8BITMIME", b"SMTPUTF8")).listening() as server:
            await transport_to(server.port, plaintext=True).send(message)
        assert server.lines(b"EHLO") == [b"EHLO id.example.org\r\n"]
        assert server.lines(b"MAIL") == [b"MAIL FROM:<no-reply@example.org>\r\n"]
        assert server.lines(b"RCPT") == [b"RCPT TO:<ada+x@example.org>\r\n"]
        (sent,) = server.messages
        assert sent.isascii()
        head, _, _ = sent.partition(b"\r\n\r\n")
        names = [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
        assert names == [
            b"From",
            b"To",
            b"Subject",
            b"Date",
            b"Message-ID",
            b"Auto-Submitted",
            b"MIME-Version",
            b"Content-Type",
        ]
        read = message_from_bytes(sent, EmailMessage, policy=SMTP_POLICY)
        assert read["From"].addresses[0].display_name == "Dashtåm, Inc. \u010a"
        assert b"\n" not in sent.replace(b"\r\n", b"")
        assert b"\r" not in sent.replace(b"\r\n", b"")

    async def test_a_login_is_percent_decoded(self, message: EmailMessage, trusted: ssl.SSLContext) -> None:
        seen: list[tuple[bytes, bytes]] = []
        envelopes: list[Envelope] = []

        def authenticate(*given: object) -> AuthResult:
            data = given[-1]
            assert isinstance(data, LoginPassword)
            seen.append((data.login, data.password))
            return AuthResult(success=True)

        class Keep:
            async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:  # noqa: N802
                envelopes.append(envelope)
                return "250 kept"

        async with served(
            Keep(), require_starttls=True, tls_context=trusted, auth_required=True, authenticator=authenticate
        ) as port:
            await transport_to(port, login="us%40er:pa%3Ass%2Fwo%40rd%20%2525@").send(message)
        assert seen == [(b"us@er", PASSWORD.encode())]
        assert envelopes[0].rcpt_tos == [recipient(message)]
        assert TOKEN.encode() in (envelopes[0].content or b"")


@asynccontextmanager
async def served(handler: object, **options: Any) -> AsyncIterator[int]:
    """aiosmtpd in this event loop, on a port of its own."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: aiosmtpd.SMTP(handler, loop=loop, **options), "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
