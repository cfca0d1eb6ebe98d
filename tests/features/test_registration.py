"""Registering, verifying, and what nobody may gain by registering somebody else's address."""

import asyncio

import pytest
from sqlmodel import select

from dashtam.core import one_time
from dashtam.core.passwords import HashCost
from dashtam.core.tables import AuditEvent, OneTimeToken, OutboxMail, User
from dashtam.settings import Settings
from tests.makers import CHEAP, NAME, OTHER_PASSWORD, PASSWORD, Deployment, deployed, new_email, problem

MASK = "mask of a stranger at midnight"


async def user_of(service: Deployment, email: str) -> User | None:
    async with service.service.database.read() as db:
        return (await db.exec(select(User).where(User.email_canonical == email.lower()))).one_or_none()


async def verify(service: Deployment, token: str) -> int:
    return (await service.post("/auth/verify-email", {"token": token})).status_code


async def subjects(service: Deployment, email: str, count: int) -> list[str]:
    return [mail.subject for mail in await service.mails(email, count)]


async def test_a_registration_is_answered_and_its_address_verified_by_the_mailed_token(
    service: Deployment,
) -> None:
    email = new_email()
    answer = await service.post("/auth/register", {"email": email, "password": PASSWORD, "name": NAME})
    assert answer.status_code == 201
    assert answer.json().keys() == {"message"}
    assert (await service.log_in(email)).status_code == 403

    answer = await service.post("/auth/verify-email", {"token": await service.token(email, "verify-email")})
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    assert (await service.log_in(email)).status_code == 200


async def test_a_verification_token_works_once_and_an_unknown_one_never(service: Deployment) -> None:
    email = await service.register()
    token = await service.token(email, "verify-email")
    assert await verify(service, token) == 200
    for spent_or_unknown in (token, token[:-1], token + "A", "dot1_" + "A" * 43, "x", "dsr1_" + "A" * 70):
        answer = await service.post("/auth/verify-email", {"token": spent_or_unknown})
        assert (answer.status_code, problem(answer)) == (400, "token-invalid")


async def test_a_verification_token_lives_a_day_by_the_servers_clock(service: Deployment) -> None:
    in_time, too_late = await service.register(), await service.register()
    first, second = (
        await service.token(in_time, "verify-email"),
        await service.token(too_late, "verify-email"),
    )
    service.clock.move(seconds=service.settings.verify_token_seconds - 30)
    assert await verify(service, first) == 200
    service.clock.move(seconds=31)
    assert await verify(service, second) == 400


async def test_of_many_verifications_at_once_one_has_an_effect(service: Deployment) -> None:
    email = await service.register()
    token = await service.token(email, "verify-email")
    statuses = await asyncio.gather(*(verify(service, token) for _ in range(16)))
    assert sorted(statuses) == [200] + [400] * 15


async def test_of_many_registrations_of_one_address_at_once_one_makes_the_account(
    service: Deployment,
) -> None:
    email = new_email()
    form = {"email": email, "password": PASSWORD, "name": NAME}
    answers = await asyncio.gather(*(service.post("/auth/register", form) for _ in range(16)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    async with service.service.database.read() as db:
        assert len((await db.exec(select(User.id).where(User.email_canonical == email))).all()) == 1


async def test_a_resend_replaces_the_link_and_goes_to_nobody_who_does_not_wait(service: Deployment) -> None:
    waiting, verified, unknown = await service.register(), await service.verified(), new_email()
    old = await service.token(waiting, "verify-email")
    for email in (verified, unknown, waiting):
        answer = await service.post("/auth/resend-verification", {"email": email})
        assert answer.status_code == 202
    await service.mails(waiting, 2)
    new = await service.token(waiting, "verify-email")
    assert await verify(service, old) == 400
    assert await verify(service, new) == 200
    assert (await service.log_in(waiting)).status_code == 200
    assert await service.mailbox.messages(unknown) == []
    assert len(await service.mailbox.messages(verified)) == 1


async def test_the_owner_of_a_known_address_gets_a_notice_without_a_link(service: Deployment) -> None:
    email = await service.verified()
    await service.register(email.upper(), MASK, "<b>A. Stranger</b>")
    notice = (await service.mails(email, 2))[0]
    assert "#token=" not in notice.text + notice.html
    assert "Stranger" not in notice.text + notice.html
    user = await user_of(service, email)
    assert user is not None
    assert user.name == NAME
    assert (await service.log_in(email)).status_code == 200
    assert (await service.log_in(email, MASK)).status_code == 403


# --- Whoever registers somebody else's address first gains nothing (S-022) -------------------------------


@pytest.mark.parametrize("stranger_first", [True, False])
async def test_the_followed_link_decides_whose_password_and_name_count(
    service: Deployment, *, stranger_first: bool
) -> None:
    email = new_email()
    people = [(MASK, "A. Stranger"), (PASSWORD, NAME)]
    tokens: dict[str, str] = {}
    for password, name in people if stranger_first else reversed(people):
        await service.register(email, password, name)
        await service.mails(email, len(tokens) + 1)
        tokens[password] = await service.token(email, "verify-email")
    assert await verify(service, tokens[PASSWORD]) == 200
    assert (await service.log_in(email, MASK)).status_code == 403
    answer = await service.log_in(email, PASSWORD)
    assert answer.status_code == 200
    user = await user_of(service, email)
    assert user is not None
    assert user.name == NAME
    assert await verify(service, tokens[MASK]) == 400, "the other link died with the first"


async def test_a_link_of_before_keeps_its_own_registration_when_another_comes_after(
    service: Deployment,
) -> None:
    email = await service.register(password=PASSWORD)
    mine = await service.token(email, "verify-email")
    await service.register(email, MASK, "A. Stranger")
    await service.mails(email, 2)
    assert await verify(service, mine) == 200
    assert (await service.log_in(email, PASSWORD)).status_code == 200
    assert (await service.log_in(email, MASK)).status_code == 403


async def test_what_a_stranger_is_told_at_login_is_the_same_on_known_and_unknown_addresses(
    service: Deployment,
) -> None:
    owner = await service.logged_in()
    unknown = new_email()
    for email in (owner.email, unknown):
        await service.register(email, MASK, "A. Stranger")

    async def told() -> list[int]:
        return [(await service.log_in(email, MASK)).status_code for email in (owner.email, unknown)]

    assert await told() == [403, 403]
    change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    answer = await service.post("/auth/me/password", change, headers=owner.bearer)
    assert answer.status_code == 200
    assert await told() == [403, 403], "whatever its owner does meanwhile"
    service.clock.move(hours=25)
    assert await told() == [401, 401], "a registration that nobody verified is over"


async def test_a_registration_that_raced_with_the_proof_comes_to_nothing(service: Deployment):
    """Its link was issued while another was followed: it must not take over what is verified by now (S-022)."""
    email = await service.verified()
    user = await user_of(service, email)
    assert user is not None
    assert user.password_hash is not None
    now, token = service.clock.now(), one_time.new_token()
    async with service.service.database.write() as db:
        one_time.issue(
            db,
            user.id,
            "verify-email",
            token,
            target=email,
            expires_at=one_time.expiry(now, 60),
            now=now,
            pending=one_time.Pending(user.password_hash, "A. Stranger"),
        )
    assert await verify(service, token) == 400
    unchanged = await user_of(service, email)
    assert unchanged is not None
    assert unchanged.name == NAME


async def test_a_hash_is_not_renewed_while_others_share_its_salt(settings: Settings):
    async with deployed(settings, hash_cost=CHEAP) as before:
        email = await before.verified()
        await before.register(email, MASK, "A. Stranger")
    async with deployed(settings, hash_cost=HashCost(memory_kib=16, time_cost=2)) as after:
        assert (await after.log_in(email)).status_code == 200
        assert (await after.log_in(email, MASK)).status_code == 403, "as on an address that has no account"
        after.clock.move(hours=25)
        stored = await user_of(after, email)
        assert (await after.log_in(email)).status_code == 200
        renewed = await user_of(after, email)
        assert stored is not None
        assert renewed is not None
        assert stored.password_hash != renewed.password_hash


async def test_registering_again_with_the_same_password_does_not_lock_the_owner_out(
    service: Deployment,
) -> None:
    email = await service.verified()
    await service.register(email, PASSWORD)
    assert (await service.log_in(email, PASSWORD)).status_code == 200


async def test_a_resend_for_a_contested_address_lets_its_owner_choose_a_password(service: Deployment) -> None:
    email = await service.register(password=MASK, name="A. Stranger")
    await service.register(email, PASSWORD)
    links = []
    for count in (1, 2):
        await service.mails(email, count)
        links.append(await service.token(email, "verify-email"))
    await service.post("/auth/resend-verification", {"email": email})
    await service.mails(email, 3)
    token = await service.token(email, "reset-password")
    answer = await service.post("/password-resets/confirm", {"token": token, "new_password": OTHER_PASSWORD})
    assert answer.status_code == 200
    assert (await service.log_in(email, OTHER_PASSWORD)).status_code == 200
    for password in (MASK, PASSWORD):
        assert (await service.log_in(email, password)).status_code == 403
    assert [await verify(service, link) for link in links] == [400, 400]


async def test_a_registration_on_a_verified_address_can_never_be_verified(service: Deployment) -> None:
    """Its token is kept, so that all is as for a new address, but mailed to nobody."""
    email = await service.verified()
    await service.register(email, MASK)
    assert len(await subjects(service, email, 2)) == 2
    assert (await service.log_in(email, MASK)).status_code == 403
    await service.post("/auth/resend-verification", {"email": email})
    assert (await service.log_in(email, PASSWORD)).status_code == 200


async def test_no_token_or_password_is_stored_as_it_is(service: Deployment) -> None:
    email = await service.register()
    token = await service.token(email, "verify-email")
    await service.post("/auth/resend-verification", {"email": email})
    await service.mails(email, 2)
    rows: list[str] = []
    async with service.service.database.read() as db:
        for table in (User, OneTimeToken, OutboxMail, AuditEvent):
            rows += [repr(row.model_dump()) for row in (await db.exec(select(table))).all()]
    assert len(rows) > 4
    newest = await service.token(email, "verify-email")
    for secret in (token, newest, token.removeprefix("dot1_"), PASSWORD):
        assert not any(secret in row for row in rows)
