"""Mail is waited for, read strictly, and a mailbox that cannot be read says what to do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dashtam.journey import HttpMailbox, Mail, MailboxError, Mismatch, play
from dashtam.journey.mailbox import read_token, wait_for_token
from tests.journey.toy import Toy

TOKEN = f"dot1_{'A' * 43}"
LINK = f"https://auth.test/base/verify-email#token={TOKEN}"
SMOKE_TOKEN = "s" * 32


def mail(
    text: str = f"Open {LINK} now.", html: str = f'<a href="{LINK}">open</a>', to: str = "a@b.test"
) -> Mail:
    return Mail(id="1", to=to, subject="Verify", text=text, html=html, sent_at="2030-01-01T00:00:00Z")


def test_the_token_is_read_out_of_the_links_fragment():
    assert read_token(mail(), "A@b.test", "verify-email") == TOKEN


def test_an_escaped_link_in_html_is_the_same_link():
    assert (
        read_token(mail(html=f'<a href="{LINK.replace("#", "&#35;")}">'), "a@b.test", "verify-email") == TOKEN
    )


def test_a_mail_about_something_else_is_passed_over():
    assert read_token(mail(), "a@b.test", "reset-password") is None


@pytest.mark.parametrize(
    ("wrong", "saw"),
    [
        (mail(html="<p>no link</p>"), "0 link"),
        (mail(html=f'<a href="{LINK[:-1]}B">'), "not that one"),
        (
            mail(html=f'<a href="{LINK}"><a href="https://elsewhere.test/verify-email#token={TOKEN}">'),
            "2 link",
        ),
        (mail(text=f"{LINK} {LINK.replace('auth.test', 'other.test')}"), "2 different"),
        (mail(to="someone@else.test"), "someone@else.test"),
        (mail(text=LINK[:-1], html=f'<a href="{LINK[:-1]}">'), "47 other characters"),
        (mail(text=f"{LINK}A", html=f'<a href="{LINK}A">'), "49 other characters"),
    ],
)
def test_a_mail_that_is_not_right_is_refused_without_showing_its_token(wrong: Mail, saw: str):
    with pytest.raises(Mismatch) as caught:
        read_token(wrong, "a@b.test", "verify-email")
    assert saw in caught.value.saw
    assert TOKEN[:20] not in str(caught.value)


class LateMailbox:
    """Delivers at the third look."""

    looks = 0

    async def messages(self, to: str) -> Sequence[Mail]:
        self.looks += 1
        return [mail(to=to)] if self.looks >= 3 else []


async def test_waiting_goes_on_until_the_mail_is_there():
    late = LateMailbox()
    assert await wait_for_token(late, "a@b.test", "verify-email", patience=5) == TOKEN
    assert late.looks == 3


async def test_waiting_ends_at_its_deadline():
    with pytest.raises(Mismatch, match=r"within 0\.001 s; saw no mail at all"):
        await wait_for_token(LateMailbox(), "a@b.test", "verify-email", patience=0.001)


async def test_the_smoke_mailbox_is_read_with_its_token():
    toy = Toy()
    async with toy.client() as client:
        result = await play(client, HttpMailbox(client, smoke_token=SMOKE_TOKEN), domain="synthetic.test")
    assert result.passed, result.explain()
    assert result.address.endswith("@synthetic.test")


async def test_a_wrong_smoke_token_is_said_and_not_shown():
    toy = Toy()
    async with toy.client() as client:
        result = await play(client, HttpMailbox(client, smoke_token="wrong" * 8))
    assert result.failure is not None
    assert result.failure.number == 2
    assert "SMOKE_TOKEN given here is not the server's" in result.failure.saw
    assert "wrongwrong" not in result.explain()


@pytest.mark.parametrize(
    ("token", "advice"), [(None, "MAIL_TRANSPORT=mailbox"), (SMOKE_TOKEN, "no SMOKE_TOKEN set")]
)
async def test_a_missing_mailbox_says_what_to_set(token: str | None, advice: str):
    toy = Toy("no mailbox")
    async with toy.client() as client:
        with pytest.raises(MailboxError, match=advice):
            await HttpMailbox(client, smoke_token=token).messages("a@b.test")


async def test_something_else_than_a_mailbox_is_not_taken_for_an_empty_one():
    toy = Toy("mailbox speaks html")
    async with toy.client() as client:
        with pytest.raises(MailboxError, match="not the JSON of a mailbox"):
            await HttpMailbox(client).messages("a@b.test")
