"""Checks of mail: a real mail server for each way in which it may not take mail, and real rows in the outbox."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dashtam.core.mail import MemoryTransport
from dashtam.doctor import LOCAL
from dashtam.doctor.local import Local, local
from dashtam.settings import Settings, load
from tests.core.mail_rig import Misbehaving, Rig, SmtpServer, certificate, rigged
from tests.doctor.asking import answer
from tests.makers import SECRET, MovableClock

LOGIN = "dashtam:never-shown@"
FOR_AUTH = (b"STARTTLS", b"AUTH PLAIN")


def sending(port: int, login: str = LOGIN, scheme: str = "smtp", **more: Any) -> Settings:
    """Settings that send mail by the server at this port."""
    given = {"smtp_url": f"{scheme}://{login}127.0.0.1:{port}", "mail_from": "Dashtam <no-reply@example.org>"}
    return load(mail_transport="smtp", secret_key=SECRET, **{**given, **more})


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A mail server's side of TLS, which this process trusts."""
    context, pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    return context


class TestServer:
    """`mail.server`: nothing is sent, and no password is shown."""

    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    async def test_one_that_takes_our_login_over_tls_is_well(self, tls: ssl.SSLContext, scheme: str):
        offers = FOR_AUTH if scheme == "smtp" else (b"AUTH PLAIN",)
        async with SmtpServer(offers, tls=tls, implicit_tls=scheme == "smtps").listening() as server:
            found = await ask(sending(server.port, scheme=scheme))
        assert (found.verdict, found.evidence) == (
            "ok",
            f"127.0.0.1:{server.port} answers with TLSv1.3, and its login was taken",
        )
        assert server.lines(b"MAIL") == server.messages == []

    @pytest.mark.plants("mail.server")
    async def test_one_that_is_not_there_is_a_failure(self, unused_tcp_port: int):
        found = await ask(sending(unused_tcp_port))
        assert (found.verdict, found.evidence) == (
            "failure",
            "no connection to the mail server (ConnectionRefusedError)",
        )
        assert "SMTP_URL" in found.remedy

    @pytest.mark.plants("mail.server")
    @pytest.mark.parametrize(
        ("server", "words"),
        [
            (SmtpServer(offers=(b"AUTH PLAIN",)), "offers no STARTTLS"),
            (SmtpServer(replies={b"CONNECT": b"554 no service for you"}), "554 no service for you"),
            (SmtpServer(replies={b"EHLO": b"HANG"}), "did not answer in time"),
        ],
        ids=["no TLS", "refuses us", "says nothing"],
    )
    async def test_one_that_cannot_be_used_is_a_failure(self, server: SmtpServer, words: str):
        async with server.listening():
            found = await ask(sending(server.port))
        assert (found.verdict, words in found.evidence) == ("failure", True), found

    @pytest.mark.plants("mail.server")
    async def test_one_that_refuses_our_login_is_a_failure_and_no_password_is_told(self, tls: ssl.SSLContext):
        server = SmtpServer(FOR_AUTH, {b"AUTH": b"535 5.7.8 not never-shown"}, tls)
        async with server.listening():
            found = await ask(sending(server.port))
        assert (found.verdict, found.evidence) == ("failure", "the mail server refused our login: 535 5.7.8")

    @pytest.mark.plants("mail.server")
    async def test_one_whose_certificate_nobody_vouches_for_is_a_failure(self, tmp_path: Path):
        async with SmtpServer(FOR_AUTH, tls=certificate(tmp_path)[0]).listening() as server:
            found = await ask(sending(server.port))
        assert (found.verdict, "CERTIFICATE_VERIFY_FAILED" in found.evidence) == ("failure", True)
        assert "SSL_CERT_FILE" in found.remedy


async def ask(settings: Settings, name: str = "mail.server") -> Any:
    """What the check answers about a deployment of these settings."""
    async with local(settings=settings) as here:
        return await answer(here, name)


@pytest.mark.plants("mail.sender")
async def test_the_sender_of_a_deployment_that_nobody_set_one_for_is_nobody():
    found = await ask(sending(25, mail_from="Dashtam <no-reply@dashtam.invalid>"), "mail.sender")
    assert found.verdict == "failure"
    assert "no-reply@dashtam.invalid, a domain that nobody can have" in found.evidence
    assert "MAIL_FROM" in found.remedy


async def test_a_sender_with_a_domain_is_well():
    assert (await ask(sending(25), "mail.sender")).verdict == "ok"


async def test_where_no_mail_leaves_it_needs_no_server_and_no_sender(sound: Local):
    assert {check.name for check in LOCAL if check.area == "mail" and check.applies(sound)} == {
        "mail.taken_up",
        "mail.arrives",
        "mail.given_up",
        "mail.readable",
    }


def keeping(var_dir: Path) -> Settings:
    return load(mail_transport="mailbox", secret_key=SECRET, var_dir=var_dir)


@pytest.mark.parametrize("mails", [0, 1])
async def test_a_mailbox_that_takes_mail_is_well_and_is_not_made_by_asking(tmp_path: Path, mails: int):
    if mails:
        (tmp_path / "mailbox" / "new").mkdir(parents=True)
        (tmp_path / "mailbox" / "new" / "one").touch()
    found = await ask(keeping(tmp_path), "mail.folder")
    assert (found.verdict, f"holds {mails} mails" in found.evidence) == ("ok", True)
    assert (tmp_path / "mailbox").exists() == bool(mails)


@pytest.mark.plants("mail.folder")
async def test_a_mailbox_that_is_no_folder_takes_nothing(tmp_path: Path):
    (tmp_path / "mailbox").touch()
    found = await ask(keeping(tmp_path), "mail.folder")
    assert (found.verdict, found.evidence) == ("failure", f"{tmp_path}/mailbox cannot be written into")
    assert "VAR_DIR" in found.remedy


@pytest.fixture
async def rig(sound: Local) -> AsyncIterator[Rig]:
    """Writes into the outbox that `sound` examines."""
    async with rigged(sound.settings) as made:
        made.clock.at = sound.clock.now()
        yield made


class TestOutbox:
    async def test_an_empty_outbox_and_one_that_is_delivered_are_well(self, sound: Local, rig: Rig):
        for name in ("mail.taken_up", "mail.arrives", "mail.given_up", "mail.readable"):
            assert (await answer(sound, name)).verdict == "ok"
        await rig.queue("ada@example.org")
        await rig.delivery(MemoryTransport()).deliver_due()
        assert (
            await answer(sound, "mail.given_up")
        ).evidence == "0 of the last 3 days' 1 mails were given up"
        assert (await answer(sound, "mail.readable")).evidence == "no mail waits"

    @pytest.mark.plants("mail.taken_up")
    async def test_mail_that_nobody_takes_up_is_found(self, sound: Local, rig: Rig, clock: MovableClock):
        await rig.queue("ada@example.org")
        assert (await answer(sound, "mail.taken_up")).verdict == "ok"
        clock.move(minutes=90)
        found = await answer(sound, "mail.taken_up")
        assert (found.verdict, found.evidence) == ("failure", "1 mail is due for 90 min, and nobody delivers")
        assert "dashtam mail deliver --watch" in found.remedy

    @pytest.mark.plants("mail.arrives")
    async def test_mail_that_is_tried_in_vain_is_found(self, sound: Local, rig: Rig, clock: MovableClock):
        await rig.queue("defer@example.org")
        await rig.queue("defer-too@example.org")
        await rig.delivery(Misbehaving()).deliver_due()
        assert (await answer(sound, "mail.arrives")).verdict == "ok"
        clock.move(hours=3)
        found = await answer(sound, "mail.arrives")
        assert (found.verdict, found.evidence) == (
            "warning",
            "2 mails are tried in vain, the oldest for 3 h, up to 1 times",
        )
        assert "dashtam mail list" in found.remedy

    @pytest.mark.plants("mail.given_up")
    async def test_many_mails_that_are_given_up_are_found_and_a_few_are_not(self, sound: Local, rig: Rig):
        for number in range(4):
            await rig.queue(f"refuse-{number}@example.org")
        await rig.delivery(Misbehaving()).deliver_due()
        assert (await answer(sound, "mail.given_up")).verdict == "ok"
        await rig.queue("refuse-4@example.org")
        await rig.delivery(Misbehaving()).deliver_due()
        found = await answer(sound, "mail.given_up")
        assert (found.verdict, found.evidence) == (
            "warning",
            "5 of the last 3 days' 5 mails were given up",
        )
        assert "MAIL_FROM" in found.remedy

    @pytest.mark.plants("mail.readable")
    async def test_mail_of_another_secret_is_found(self, sound: Local, rig: Rig):
        await rig.queue("ada@example.org")
        assert (await answer(sound, "mail.readable")).evidence == "1 waiting mails looked at, all readable"
        other = sound.settings.model_copy(
            update={"secret_key": type(sound.settings.secret_key)(SECRET[::-1])}
        )
        found = await ask(other, "mail.readable")
        assert (found.verdict, found.evidence) == (
            "failure",
            "1 of 1 waiting mails were written under another SECRET_KEY",
        )
        assert "Set SECRET_KEY" in found.remedy
