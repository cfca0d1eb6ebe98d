"""Strangers learn nothing: the same answer, byte for byte, and the same work, for every kind of address."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest
from sqlalchemy import update
from sqlmodel import col

from dashtam.core import users
from dashtam.core.audit import Client
from dashtam.core.tables import User
from tests.features.work import public_face, watched
from tests.makers import OTHER_PASSWORD, Deployment, new_email

KINDS = ("unknown", "verified", "unverified", "contested", "disabled", "passwordless", "broken hash")
STRANGE_PASSWORD = "nobody ever chose this one before"
Call = Callable[[Deployment, str], Awaitable[httpx2.Response]]


async def address_of(service: Deployment, kind: str) -> str:
    """An address of which this is true."""
    if kind == "unknown":
        return new_email()
    if kind in {"unverified", "contested"}:
        email = await service.register()
        return await service.register(email, OTHER_PASSWORD) if kind == "contested" else email
    email = await service.verified()
    async with service.service.database.write() as db:
        user = await users.find(db, email)
        assert user is not None
        if kind == "disabled":
            await users.disable(db, user.id, Client(), service.clock.now())
        hashes = {"passwordless": None, "broken hash": "$2b$12$abcdefghijklmnopqrstuv"}
        if kind in hashes:
            await db.exec(update(User).where(col(User.id) == user.id).values(password_hash=hashes[kind]))
    return email


async def log_in_wrongly(service: Deployment, email: str) -> httpx2.Response:
    return await service.log_in(email, STRANGE_PASSWORD)


async def register_again(service: Deployment, email: str) -> httpx2.Response:
    return await service.post(
        "/auth/register", {"email": email, "password": STRANGE_PASSWORD, "name": "A. Stranger"}
    )


async def ask_for_reset(service: Deployment, email: str) -> httpx2.Response:
    return await service.post("/password-resets", {"email": email})


async def ask_for_another_link(service: Deployment, email: str) -> httpx2.Response:
    return await service.post("/auth/resend-verification", {"email": email})


CALLS = {
    "login": (log_in_wrongly, 401, 1),
    "register": (register_again, 201, 1),
    "password reset": (ask_for_reset, 202, 0),
    "resend verification": (ask_for_another_link, 202, 0),
}


@pytest.mark.parametrize("name", CALLS)
async def test_every_kind_of_address_is_answered_alike_after_the_same_work(
    service: Deployment, name: str
) -> None:
    call, status, hashes = CALLS[name]
    addresses = {kind: await address_of(service, kind) for kind in KINDS}
    faces, statements, costs = {}, {}, {}
    with watched(service) as work:
        for kind, email in addresses.items():
            before = len(work.pool.hashes)
            answer = await call(service, email)
            faces[kind] = public_face(answer)
            statements[kind] = work.of(answer)
            costs[kind] = work.pool.hashes[before:]
    assert faces["unknown"][0] == status
    assert len(costs["unknown"]) == hashes
    assert statements["unknown"], "the statements of a request are seen"
    for kind in KINDS:
        assert faces[kind] == faces["unknown"], kind
        assert statements[kind] == statements["unknown"], kind
        assert costs[kind] == costs["unknown"], kind


@pytest.mark.parametrize("rounds", [1, 2])
async def test_whoever_registers_any_address_and_logs_in_hears_that_it_waits_to_be_verified(
    service: Deployment, rounds: int
) -> None:
    """Else a registration followed by a login would tell whether the address had an account before."""
    faces = {}
    for kind in KINDS:
        email = await address_of(service, kind)
        passwords = [f"{STRANGE_PASSWORD} {n}" for n in range(rounds)]
        for password in passwords:
            await service.post(
                "/auth/register", {"email": email, "password": password, "name": "A. Stranger"}
            )
        faces[kind] = public_face(await service.log_in(email, passwords[-1]))
    assert faces["unknown"][0] == 403
    assert {kind for kind in KINDS if faces[kind] != faces["unknown"]} == set()


async def test_a_taken_new_address_is_answered_like_a_free_one(service: Deployment) -> None:
    account = await service.logged_in()
    addresses = {kind: await address_of(service, kind) for kind in KINDS}
    faces, statements = {}, {}
    with watched(service) as work:
        for kind, email in addresses.items():
            answer = await service.post(
                "/auth/me/email", {"new_email": email, "password": account.password}, headers=account.bearer
            )
            faces[kind], statements[kind] = public_face(answer), work.of(answer)
        assert len(work.pool.hashes) == len(KINDS)
    assert faces["unknown"][0] == 202
    for kind in KINDS:
        assert faces[kind] == faces["unknown"], kind
        assert statements[kind] == statements["unknown"], kind


async def test_the_limits_of_a_known_and_an_unknown_address_are_alike(service: Deployment) -> None:
    tries = service.settings.rate_login_per_account.tries
    faces = {}
    for kind in ("unknown", "verified"):
        email = await address_of(service, kind)
        answers = [await log_in_wrongly(service, email) for _ in range(tries + 1)]
        status, body, headers = public_face(answers[-1])
        seconds = int(dict(headers)["retry-after"])
        assert 0 < seconds <= 900
        faces[kind] = (status, body, [header for header in headers if header[0] != "retry-after"])
    assert faces["unknown"][0] == 429
    assert faces["verified"] == faces["unknown"]


async def test_a_look_at_the_work_sees_a_difference(service: Deployment) -> None:
    """The twin of the tests above: a login that succeeds does do more, and answers differently."""
    email = await service.verified()
    with watched(service) as work:
        wrong, right = await log_in_wrongly(service, email), await service.log_in(email)
        assert work.of(wrong) != work.of(right)
        assert public_face(wrong) != public_face(right)
        assert len(work.pool.hashes) == 2
