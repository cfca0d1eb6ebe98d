"""Changing the address: with the password, by the new mailbox, told to the old one; until then nothing changes."""

import httpx2
import pytest

from tests.makers import OTHER_PASSWORD, PASSWORD, Account, Deployment, new_email, problem


async def ask(service: Deployment, account: Account, email: str, password: str = PASSWORD) -> httpx2.Response:
    return await service.post(
        "/auth/me/email", {"new_email": email, "password": password}, headers=account.bearer
    )


async def asked(service: Deployment, account: Account, email: str) -> str:
    answer = await ask(service, account, email)
    assert (answer.status_code, answer.json().keys()) == (202, {"message"})
    return await service.token(email, "confirm-email")


async def confirm(service: Deployment, token: str) -> httpx2.Response:
    return await service.post("/auth/confirm-email", {"token": token})


async def address(service: Deployment, account: Account) -> str:
    email: str = (await service.get("/auth/me", headers=account.bearer)).json()["email"]
    return email


async def test_until_it_is_confirmed_only_the_old_address_counts_and_then_only_the_new_one(
    service: Deployment,
) -> None:
    account, new = await service.logged_in(), new_email()
    token = await asked(service, account, new)
    assert await address(service, account) == account.email
    assert (await service.log_in(new)).status_code == 401
    assert (await service.log_in(account.email)).status_code == 200

    answer = await confirm(service, token)
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    assert await address(service, account) == new
    assert (await service.log_in(account.email)).status_code == 401
    assert (await service.log_in(new)).status_code == 200
    notice = (await service.mails(account.email, 2))[0]
    assert new in notice.text
    assert "#token=" not in notice.text
    assert (await confirm(service, token)).status_code == 400


async def test_the_sessions_stay_and_the_new_address_is_verified(service: Deployment) -> None:
    account, new = await service.logged_in(), new_email()
    assert (await confirm(service, await asked(service, account, new))).status_code == 200
    assert (await service.post("/auth/refresh", {"refresh_token": account.refresh_token})).status_code == 200
    assert (await service.get("/auth/me", headers=account.bearer)).json()["email_verified"] is True


async def test_a_later_request_replaces_the_earlier_one(service: Deployment) -> None:
    """A proof of the first mailbox says nothing about the second (Keycloak #49007)."""
    account, first, second = await service.logged_in(), new_email(), new_email()
    older, newer = await asked(service, account, first), await asked(service, account, second)
    answer = await confirm(service, older)
    assert (answer.status_code, problem(answer)) == (400, "token-invalid")
    assert await address(service, account) == account.email
    assert (await confirm(service, newer)).status_code == 200
    assert await address(service, account) == second


async def test_a_confirmation_lives_a_day_and_dies_with_a_change_of_password(service: Deployment) -> None:
    late, changed = await service.logged_in(), await service.logged_in()
    token = await asked(service, changed, new_email())
    form = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await service.post("/auth/me/password", form, headers=changed.bearer)).status_code == 200
    assert (await confirm(service, token)).status_code == 400
    token = await asked(service, late, new_email())
    service.clock.move(seconds=service.settings.verify_token_seconds + 1)
    assert (await confirm(service, token)).status_code == 400


async def test_a_taken_address_is_not_told_and_its_owner_gets_a_notice(service: Deployment) -> None:
    account, owner = await service.logged_in(), await service.logged_in()
    answer = await ask(service, account, owner.email.upper())
    assert answer.status_code == 202
    notice = (await service.mails(owner.email, 2))[0]
    assert notice.to == owner.email, "to the stored address, not to the one that was typed"
    assert "#token=" not in notice.text


@pytest.mark.parametrize("taken_by", ["registration", "change"])
async def test_an_address_that_was_taken_meanwhile_is_refused_and_nothing_is_spent_or_changed(
    service: Deployment, taken_by: str
) -> None:
    account, new = await service.logged_in(), new_email()
    token = await asked(service, account, new)
    if taken_by == "registration":
        await service.verified(new)
    else:
        other = await service.logged_in()
        await ask(service, other, new)
        await service.mails(new, 2)
        assert (await confirm(service, await service.token(new, "confirm-email"))).status_code == 200
    for _ in range(2):
        answer = await confirm(service, token)
        assert (answer.status_code, problem(answer)) == (409, "email-taken")
    assert await address(service, account) == account.email
    assert (await service.log_in(account.email)).status_code == 200


async def test_a_mere_registration_keeps_nobody_from_moving_to_an_address_of_their_own(
    service: Deployment,
) -> None:
    account, new = await service.logged_in(), new_email()
    await service.register(new, OTHER_PASSWORD, "A. Squatter")
    squatters_link = await service.token(new, "verify-email")
    token = await asked(service, account, new)
    assert (await confirm(service, token)).status_code == 200
    assert await address(service, account) == new
    assert (await service.log_in(new)).status_code == 200
    assert (await service.log_in(new, OTHER_PASSWORD)).status_code == 401
    late = await service.post("/auth/verify-email", {"token": squatters_link})
    assert (late.status_code, problem(late)) == (400, "token-invalid")


async def test_what_strangers_registered_on_the_old_address_does_not_follow_to_the_new_one(
    service: Deployment,
) -> None:
    account, new = await service.logged_in(), new_email()
    await service.register(account.email, OTHER_PASSWORD, "A. Stranger")
    assert (await confirm(service, await asked(service, account, new))).status_code == 200
    assert (await service.log_in(new, OTHER_PASSWORD)).status_code == 401


async def test_the_password_is_asked_for(service: Deployment) -> None:
    account, new = await service.logged_in(), new_email()
    answer = await ask(service, account, new, OTHER_PASSWORD)
    assert (answer.status_code, problem(answer)) == (403, "wrong-password")
    assert await service.mailbox.messages(new) == []


async def test_another_spelling_of_ones_own_address_changes_nothing_that_counts(service: Deployment) -> None:
    account = await service.logged_in()
    answer = await ask(service, account, account.email.upper())
    assert answer.status_code == 202
    assert (await service.log_in(account.email)).status_code == 200
