import logging
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlmodel import text

from dashtam.core.mail import BadRecipientError, Letter, MemoryTransport, SmtpTransport
from dashtam.core.mail.messages import KINDS, REQUESTS, Composer, check_recipient, public_host
from dashtam.core.mail.transports import delivered
from dashtam.settings import Settings, load, parse_sender
from tests.core.mail_rig import START, TOKEN, Misbehaving, Rig, SmtpServer, rigged

SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-tests"
LOW_BYTES = [
    chr(high << 8 | low) for high in range(1, 256) for low in (0x0A, 0x0D) if not 0xD8 <= high <= 0xDF
]


def compose(template: str, values: Mapping[str, str] | None = None, **given: object) -> EmailMessage:
    settings = load(**{"secret_key": SECRET, "public_url": "https://id.example.org/auth", **given})
    values = sample(template) if values is None else values
    letter = Letter(template, "ada@example.org", values)
    return Composer(settings).compose(letter, message_id="<1@id.example.org>", date=START)


def sample(template: str) -> dict[str, str]:
    samples = {"token": TOKEN, "new_email": "o'hara&sons@example.net"}
    return {name: samples[name] for name in KINDS[template].values}


class TestEveryMail:
    @pytest.fixture(params=list(KINDS))
    def template(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_has_a_text_and_an_html_part_that_say_the_same(self, template: str) -> None:
        mail = delivered("1", compose(template))
        spoken = _Words.of(mail.html)
        lines = [line for line in mail.text.split("\n\n") if "https://" not in line and "-- " not in line]
        for paragraph in lines:
            said = " ".join(paragraph.split()).removesuffix(" If it was you, open this link to")
            first = re.split(r"(?<=[.,])\s", said)[0]
            assert first in spoken, f"{first!r} is not in the HTML part"

    def test_links_to_its_page_under_public_url_in_both_parts(self, template: str) -> None:
        page = KINDS[template].page
        mail = delivered("1", compose(template))
        expected = [f"https://id.example.org/auth/{page}#token={TOKEN}"] if page else []
        assert re.findall(r"https?://\S+", mail.text) == expected
        assert _Words.links(mail.html) == expected

    def test_loads_nothing_and_runs_nothing(self, template: str) -> None:
        html = delivered("1", compose(template)).html
        tags = _Words.tags(html)
        assert tags <= {"html", "head", "meta", "title", "body", "div", "h1", "p", "a", "strong"}
        assert "url(" not in html

    def test_has_a_subject_that_no_value_changes(self, template: str) -> None:
        other = dict.fromkeys(KINDS[template].values, "x" * 8 + "@example.com")
        assert compose(template)["Subject"] == compose(template, other)["Subject"] == KINDS[template].subject

    def test_takes_its_own_values_and_no_others(self, template: str) -> None:
        with pytest.raises(ValueError, match="takes exactly these values"):
            compose(template, {**sample(template), "name": "Eve"})

    def test_names_no_address_but_the_new_one(self, template: str) -> None:
        assert set(KINDS[template].values) <= {"token", "new_email"}


def test_what_is_put_into_html_is_escaped() -> None:
    html = delivered("1", compose("email-changed", {"new_email": "<img src=x>{{7*7}}${7*7}"})).html
    assert "&lt;img src=x&gt;{{7*7}}${7*7}" in html


def test_the_life_of_a_link_is_told_as_it_is_set() -> None:
    told = {
        seconds: delivered("1", compose("verify-email", verify_token_seconds=seconds)).text
        for seconds in (86400, 3600, 5400, 60, 90)
    }
    words = ["for 24 hours.", "for 1 hour.", "for 90 minutes.", "for 1 minute.", "for 1 minute."]
    for text_, phrase in zip(told.values(), words, strict=True):
        assert phrase in text_


def test_a_request_is_no_mail() -> None:
    (request,) = REQUESTS
    with pytest.raises(KeyError):
        compose(request, {"token": TOKEN})


class TestTheRecipient:
    @pytest.mark.parametrize(
        "address",
        [
            "ada@example.org",
            "o'neil+tag_1{x}@sub.example-host.org",
            "a%0d%0aBcc:x".replace(":", "=") + "@example.org",
        ],
    )
    def test_a_plain_address_is_taken(self, address: str) -> None:
        check_recipient(address)
        assert compose_to(address)["To"].addresses[0].addr_spec == address

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "ada",
            "@example.org",
            "ada@localhost",
            "ada@example.org\r\nBcc: eve@example.com",
            "ada@example.org\n",
            "ada\r@example.org",
            "ada\x00@example.org",
            "ada@example.org, eve@example.com",
            "ada@example.org eve@example.com",
            "<ada@example.org>",
            "Ada <ada@example.org>",
            '"ada\r\nx"@example.org',
            '"ada"@example.org',
            "ada@[127.0.0.1]",
            "ada@example..org",
            ".ada@example.org",
            "ada@-example.org",
            "ada>@example.org",
            "ada@example.org> SIZE=1",
            "äd\u0430@example.org",
            "ada@exämple.org",
            "a" * 65 + "@example.org",
            "ada@" + "a." * 130 + "org",
        ],
    )
    def test_anything_else_is_refused_and_not_repeated(self, address: str) -> None:
        with pytest.raises(BadRecipientError) as caught:
            compose_to(address)
        assert not address or address not in str(caught.value)

    def test_no_character_whose_low_byte_ends_a_line_gets_through(self) -> None:
        assert len(LOW_BYTES) == 494
        for char in LOW_BYTES:
            for address in (f"a{char}b@example.org", f"a@exam{char}ple.org"):
                with pytest.raises(BadRecipientError):
                    check_recipient(address)


class TestTheSender:
    @pytest.mark.parametrize(
        "name", ["Dashtam", "Dashtåm, Inc.", 'The "Dash" (tam)', "", *filter(str.isprintable, LOW_BYTES[::9])]
    )
    def test_a_display_name_is_kept_whatever_is_in_it(self, name: str) -> None:
        quoted = '"' + name.replace('"', '\\"') + '"' if name else ""
        sender = compose("account-deleted", mail_from=f"{quoted} <no-reply@example.org>")["From"]
        assert sender.addresses[0].display_name == name
        assert sender.addresses[0].addr_spec == "no-reply@example.org"

    @pytest.mark.parametrize(
        "sender",
        [
            "",
            "Dashtam",
            "Dashtam\r\nBcc: eve@example.com <no-reply@example.org>",
            "a\x00 <no-reply@example.org>",
            "no-reply@example.org, eve@example.com",
            "Team: a@example.org, b@example.org;",
            "nö-reply@example.org",
        ],
    )
    def test_what_is_not_one_address_is_refused(self, sender: str) -> None:
        with pytest.raises(ValueError, match="one address"):
            parse_sender(sender)


@pytest.mark.parametrize(
    ("public_url", "host"),
    [
        ("https://id.example.org:8443/auth", "id.example.org"),
        ("http://127.0.0.1:8000", "[127.0.0.1]"),
        ("http://[::1]:8000", "[IPv6:::1]"),
        ("https://bücher.example", "xn--bcher-kva.example"),
        ("https://" + "a." * 126 + "org", ("a." * 126 + "org")[-200:].lstrip(".")),
    ],
)
def test_the_host_in_message_ids_is_that_of_public_url(public_url: str, host: str) -> None:
    assert public_host(public_url) == host


def test_the_message_id_survives_any_host() -> None:
    for url in ("http://127.0.0.1:8000", "http://[::1]:8000", "https://id.example.org"):
        message_id = f"<0190b6a5-0000-7000-8000-000000000000@{public_host(url)}>"
        settings = load(secret_key=SECRET, public_url=url)
        letter = Letter("account-deleted", "ada@example.org")
        message = Composer(settings).compose(letter, message_id=message_id, date=START)
        assert f"Message-ID: {message_id}\r\n".encode() in message.as_bytes()


class TestSecrets:
    """Marked secrets, looked for in every sink (S-104)."""

    @pytest.fixture
    async def rig(self, settings: Settings) -> AsyncIterator[Rig]:
        async with rigged(settings) as made:
            yield made

    @pytest.mark.parametrize("ending", ["sent", "refused", "broken", "echoed"])
    async def test_the_token_is_in_no_log_and_not_in_the_database(
        self, rig: Rig, caplog: pytest.LogCaptureFixture, tmp_path: Path, ending: str
    ) -> None:
        caplog.set_level(logging.DEBUG)
        to = {"refused": "refuse@example.org", "broken": "break@example.org"}.get(ending, "ada@example.org")
        await rig.queue(to)
        said = [await _stored(rig)]
        if ending == "echoed":
            echo = b"554 5.7.1 spam: " + TOKEN.encode() + b" " + quote(TOKEN).encode()
            async with SmtpServer(offers=(b"SIZE",), replies={b"DONE": echo}).listening() as server:
                transport = SmtpTransport(f"smtp://127.0.0.1:{server.port}", host="x.example", plaintext=True)
                await rig.delivery(transport).deliver_due()
            assert TOKEN.encode() in server.messages[0]
        else:
            await rig.delivery(Misbehaving()).deliver_due()
        row = await rig.row()
        assert row.attempts == 1
        assert (row.payload is None) == (ending != "broken")
        assert TOKEN not in repr(row)
        said += [
            await _stored(rig),
            caplog.text.encode(),
            *_files(tmp_path),
        ]
        for sink in said:
            for form in _forms(TOKEN):
                assert form not in sink

    def test_the_canary_sings(self) -> None:
        for form in _forms(TOKEN):
            assert any(found in b"log: " + form + b" end" for found in _forms(TOKEN))

    async def test_a_memory_of_what_was_sent_holds_it(self, rig: Rig) -> None:
        transport = MemoryTransport()
        await rig.queue("ada@example.org")
        await rig.delivery(transport).deliver_due()
        assert TOKEN in (await transport.delivered("ADA@example.org"))[0].text


def compose_to(address: str) -> EmailMessage:
    letter = Letter("account-deleted", address)
    return Composer(load(secret_key=SECRET)).compose(letter, message_id="<1@x.example>", date=START)


async def _stored(rig: Rig) -> bytes:
    async with rig.database.read() as db:
        rows = (await db.exec(text("SELECT * FROM mail_outbox"))).all()  # type: ignore[call-overload]
    return b" ".join(
        bytes(cell) if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row
    )


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.glob("*.db*")]


def _forms(secret: str) -> set[bytes]:
    raw = secret.encode()
    return {raw, quote(secret, safe="").encode(), b64encode(raw), raw[:20], raw.hex().encode(), raw[-20:]}


class _Words(HTMLParser):
    """An HTML part, read: its words, its links, its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.hrefs: list[str] = []
        self.seen: set[str] = set()
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.hrefs += [str(value) for name, value in attrs if name in {"href", "src", "action", "background"}]

    @classmethod
    def of(cls, html: str) -> str:
        return " ".join(" ".join(cls(html).words).split())

    @classmethod
    def links(cls, html: str) -> list[str]:
        return cls(html).hrefs

    @classmethod
    def tags(cls, html: str) -> set[str]:
        return cls(html).seen
