import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from time import perf_counter

import httpx2
import pytest
from pydantic import SecretStr

from dashtam.core.mail import Letter, MailDeferredError, MaildirTransport
from dashtam.core.mail.messages import Composer
from dashtam.settings import Settings
from tests.core.mail_rig import START, TOKEN
from tests.makers import CHEAP, SECRET, Deployment, deployed, new_email, problem

JSON = {"Accept": "application/json"}
SMOKE_TOKEN = "qV7-smoke-4nJx9Lr2Tz8Wb5Kd1Hp6Ys3M"


COMPOSER = Composer(Settings(secret_key=SecretStr(SECRET)))


def mail_to(to: str, template: str = "verify-email") -> EmailMessage:
    values = {"token": TOKEN} if template == "verify-email" else {}
    return COMPOSER.compose(Letter(template, to, values), message_id="<1@x.example>", date=START)


class TestTheMaildir:
    async def test_what_is_delivered_is_read_back_newest_first(self, tmp_path: Path) -> None:
        mailbox, other_process = MaildirTransport(tmp_path / "box"), MaildirTransport(tmp_path / "box")
        for template in ("verify-email", "password-changed"):
            await mailbox.send(mail_to("Ada@example.org", template))
            await mailbox.send(mail_to("eve@example.org", template))
        mine = await other_process.delivered("aDa@example.org")
        assert [mail.subject for mail in mine] == ["Your password was changed", "Verify your e-mail address"]
        assert {mail.to for mail in mine} == {"Ada@example.org"}
        assert f"#token={TOKEN}" in mine[1].text
        assert mine[1].sent_at == START
        assert len(await other_process.delivered()) == 4

    async def test_nobody_else_can_read_it(self, tmp_path: Path) -> None:
        await MaildirTransport(tmp_path / "box").send(mail_to("ada@example.org"))
        modes = {
            path.name.partition(".")[0][:3]: path.stat().st_mode & 0o777
            for path in (tmp_path / "box").rglob("*")
        }
        assert {modes[name] for name in ("tmp", "new", "cur")} == {0o700}
        assert {mode for name, mode in modes.items() if name not in {"tmp", "new", "cur"}} == {0o600}

    async def test_the_newest_five_hundred_are_kept(self, tmp_path: Path) -> None:
        mailbox = MaildirTransport(tmp_path / "box")
        await mailbox.send(mail_to("first@example.org"))
        for _ in range(500):
            await mailbox.send(mail_to("ada@example.org"))
        assert len(await mailbox.delivered("ada@example.org")) == 500
        assert await mailbox.delivered("first@example.org") == []

    async def test_asking_for_one_address_opens_no_other_mail(self, tmp_path: Path) -> None:
        mailbox = MaildirTransport(tmp_path / "box")
        await asyncio.gather(*(mailbox.send(mail_to(f"u{number}@example.org")) for number in range(300)))
        started = perf_counter()
        for _ in range(10):
            assert len(await mailbox.delivered("u7@example.org")) == 1
        assert (perf_counter() - started) / 10 < 0.1

    async def test_a_half_written_or_foreign_file_is_passed_over(self, tmp_path: Path) -> None:
        mailbox = MaildirTransport(tmp_path / "box")
        await mailbox.send(mail_to("ada@example.org"))
        (tmp_path / "box" / "tmp" / "half").write_bytes(b"From: ")
        (tmp_path / "box" / "new" / "zz-foreign").write_bytes(b"\xff\x00 no mail at all")
        assert len(await mailbox.delivered()) == 1

    async def test_mail_that_a_mail_program_has_read_is_still_shown(self, tmp_path: Path) -> None:
        mailbox = MaildirTransport(tmp_path / "box")
        await mailbox.send(mail_to("ada@example.org"))
        (file,) = (tmp_path / "box" / "new").iterdir()
        file.rename(tmp_path / "box" / "cur" / f"{file.name}:2,S")
        assert len(await mailbox.delivered("ada@example.org")) == 1

    async def test_a_folder_that_cannot_be_written_to_puts_mail_off(self, tmp_path: Path) -> None:
        (tmp_path / "box").write_text("in the way")
        with pytest.raises(MailDeferredError, match="cannot be written to"):
            await MaildirTransport(tmp_path / "box").send(mail_to("ada@example.org"))


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
class TestTheDevelopmentMailbox:
    async def test_json_shows_the_mail_of_an_address_newest_first(self, service: Deployment) -> None:
        email = await service.verified()
        await service.register()
        await service.post("/password-resets", {"email": email})
        await service.mails(email, 2)
        answer = await service.client.get("/dev/mailbox", params={"to": email.upper()}, headers=JSON)
        messages = answer.json()["messages"]
        assert [message["subject"] for message in messages] == [
            "Reset your password",
            "Verify your e-mail address",
        ]
        assert set(messages[0]) == {"id", "to", "subject", "text", "html", "sent_at"}
        assert messages[0]["to"] == email
        assert "/reset-password#token=dot1_" in messages[0]["text"]

    async def test_the_page_shows_all_mail_with_links_and_runs_nothing(self, service: Deployment) -> None:
        email = await service.register()
        await service.mails(email, 1)
        answer = await service.client.get("/dev/mailbox")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src" not in answer.headers["content-security-policy"]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert answer.headers["cache-control"] == "no-store"
        assert f"to {email}" in answer.text
        assert re.search(r'<a href="http://testserver/verify-email#token=dot1_[\w-]{43}">', answer.text)

    async def test_what_is_asked_for_is_shown_escaped(self, service: Deployment) -> None:
        nasty = '"><script>alert(1)</script>{{7*7}}'
        text = (await service.client.get("/dev/mailbox", params={"to": nasty})).text
        assert "<script>" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in text
        assert "No mail to that address yet" in text

    async def test_the_html_part_is_shown_in_a_sandbox(self, service: Deployment) -> None:
        email = await service.register()
        await service.mails(email, 1)
        (message,) = (await service.client.get("/dev/mailbox", params={"to": email}, headers=JSON)).json()[
            "messages"
        ]
        answer = await service.client.get(f"/dev/mailbox/{message['id']}")
        assert answer.text == message["html"]
        assert answer.headers["content-security-policy"].startswith(
            "sandbox allow-popups; default-src 'none'"
        )
        missing = await service.client.get("/dev/mailbox/nothing")
        assert (missing.status_code, problem(missing)) == (404, "not-found")

    async def test_processes_share_the_mailbox_folder(self, settings: Settings) -> None:
        shared = settings.model_copy(update={"mail_transport": "mailbox"})
        async with deployed(shared, hash_cost=CHEAP) as running:
            running.app.state.transport = None
            await MaildirTransport(settings.mailbox_dir).send(mail_to("ada@example.org"))
            answer = await running.client.get("/dev/mailbox", params={"to": "ada@example.org"}, headers=JSON)
            assert len(answer.json()["messages"]) == 1

    @pytest.mark.parametrize(
        "changed", [{"environment": "prod", "public_url": "https://testserver"}, {"mail_transport": "smtp"}]
    )
    async def test_it_is_not_there_in_production_nor_where_mail_leaves(
        self, settings: Settings, changed: dict[str, str]
    ) -> None:
        changed_settings = settings.model_copy(
            update={**changed, "smtp_url": SecretStr("smtp://127.0.0.1:9")}
        )
        async with deployed(changed_settings, hash_cost=CHEAP) as running:
            for path in ("/dev/mailbox", "/dev/mailbox/1"):
                answer = await running.client.get(path, headers=JSON)
                assert (answer.status_code, problem(answer)) == (404, "not-found")


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
class TestTheSmokeMailbox:
    @pytest.fixture
    async def journeys(self, settings: Settings) -> AsyncIterator[Deployment]:
        """A deployment that lets journeys read their own mail."""
        allowed = settings.model_copy(update={"smoke_token": SecretStr(SMOKE_TOKEN)})
        async with deployed(allowed, hash_cost=CHEAP) as running:
            yield running

    async def test_the_bearer_reads_the_journeys_mail_and_nothing_left(self, journeys: Deployment) -> None:
        email = new_email().replace("example.org", "journey.invalid")
        await journeys.register(email)
        messages = await _read(journeys, email)
        assert [message["subject"] for message in messages] == ["Verify your e-mail address"]
        token = re.findall(r"#token=(dot1_[\w-]{43})\s", str(messages[0]["text"]))[0]
        assert (await journeys.post("/auth/verify-email", {"token": token})).status_code == 200
        assert journeys.mailbox.transport.messages == []

    async def test_it_forgets_after_ten_minutes(self, journeys: Deployment) -> None:
        email = new_email().replace("example.org", "journey.invalid")
        await journeys.register(email)
        await _read(journeys, email)
        journeys.clock.offset += timedelta(minutes=11)
        async with asyncio.timeout(10):
            while (await _ask(journeys, email, SMOKE_TOKEN)).json()["messages"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    @pytest.mark.parametrize(
        "sent", ["", "Bearer", f"Bearer {SMOKE_TOKEN}x", "Basic " + SMOKE_TOKEN, "Bearer é"]
    )
    async def test_others_are_refused(self, journeys: Deployment, sent: str) -> None:
        headers = [(b"authorization", sent.encode())] if sent else []
        for path in ("/smoke/mailbox?to=a@journey.invalid", "/smoke/client"):
            answer = await journeys.client.get(path, headers=headers)
            assert (answer.status_code, problem(answer)) == (401, "token-invalid")
            assert answer.headers["www-authenticate"].startswith("Bearer")

    async def test_the_bearer_is_told_as_who_he_is_taken(self, journeys: Deployment) -> None:
        headers = {"Authorization": f"Bearer {SMOKE_TOKEN}", "X-Forwarded-For": "192.0.2.1"}
        answer = await journeys.client.get("/smoke/client", headers=headers)
        assert answer.json() == {"ip": "127.0.0.1"}  # no proxy is trusted here

    @pytest.mark.parametrize(
        "to", ["", "a@example.org", "a@sub.journey.invalid", "a@journey.invalid.example.org"]
    )
    async def test_mail_of_other_domains_is_never_shown(self, journeys: Deployment, to: str) -> None:
        answer = await _ask(journeys, to, SMOKE_TOKEN)
        assert (answer.status_code, problem(answer)) == (404, "not-found")

    async def test_without_a_smoke_token_it_is_not_there(self, service: Deployment) -> None:
        for token in (SMOKE_TOKEN, ""):
            answer = await _ask(service, "a@journey.invalid", token)
            assert (answer.status_code, problem(answer)) == (404, "not-found")


async def _ask(running: Deployment, to: str, token: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await running.client.get("/smoke/mailbox", params={"to": to}, headers=headers)


async def _read(running: Deployment, to: str) -> list[dict[str, object]]:
    async with asyncio.timeout(10):
        while True:
            messages: list[dict[str, object]] = (await _ask(running, to, SMOKE_TOKEN)).json()["messages"]
            if messages:
                return messages
            await asyncio.sleep(0.01)
