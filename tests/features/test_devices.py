"""The devices that are logged in: each sees all of its account's, and ends them; nobody else's."""

import asyncio

import httpx2

from dashtam.core.ids import new_id
from tests.makers import Account, Deployment, problem


async def devices(service: Deployment, account: Account) -> list[dict[str, object]]:
    answer = await service.get("/auth/sessions", headers=account.bearer)
    assert answer.status_code == 200
    found: list[dict[str, object]] = answer.json()
    return found


async def current(service: Deployment, account: Account) -> str:
    (id_,) = [device["id"] for device in await devices(service, account) if device["current"]]
    return str(id_)


async def end(service: Deployment, account: Account, id_: object) -> httpx2.Response:
    return await service.client.delete(f"/api/v1/auth/sessions/{id_}", headers=account.bearer)


async def test_the_owner_sees_each_device_once_the_current_one_marked_and_no_secret(
    service: Deployment,
) -> None:
    here = await service.logged_in()
    form = {"email": here.email, "password": here.password}
    phone = {"User-Agent": "Phone/1.0 \u202e\x1b[31m" + "x" * 400}
    answer = await service.post(
        "/auth/login", form, headers={name: value.encode() for name, value in phone.items()}
    )
    assert answer.status_code == 200
    stranger = await service.logged_in()
    shown = await devices(service, here)
    assert [device["current"] for device in shown] == [False, True], "newest first"
    for device in shown:
        assert device.keys() == {
            "id", "current", "created_at", "last_seen_at", "expires_at", "ip", "user_agent"
        }  # fmt: skip
        assert device["ip"] == "127.0.0.1"
    agent = str(shown[0]["user_agent"])
    assert agent.startswith("Phone/1.0 ")
    assert agent.isprintable()
    assert len(agent) <= 255
    assert len(await devices(service, stranger)) == 1


async def test_a_device_that_is_ended_is_refused_at_its_next_request(service: Deployment) -> None:
    here = await service.logged_in()
    there = await service.logged_in(here.email)
    id_ = await current(service, there)
    answer = await end(service, here, id_)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await service.get("/auth/me", headers=there.bearer)).status_code == 401
    assert (await service.post("/auth/refresh", {"refresh_token": there.refresh_token})).status_code == 401
    assert (await service.get("/auth/me", headers=here.bearer)).status_code == 200
    answer = await end(service, here, id_)
    assert (answer.status_code, problem(answer)) == (404, "not-found"), "it is over"
    assert len(await devices(service, here)) == 1


async def test_somebody_elses_device_is_as_unknown_as_one_that_never_was(service: Deployment) -> None:
    account, other = await service.logged_in(), await service.logged_in()
    answers = [await end(service, account, id_) for id_ in (await current(service, other), new_id())]
    assert {answer.status_code for answer in answers} == {404}
    bodies = [answer.json() for answer in answers]
    assert [body.pop("request_id") != "" for body in bodies] == [True, True]
    assert bodies[0] == bodies[1]
    assert (await service.get("/auth/me", headers=other.bearer)).status_code == 200
    for no_id in ("1", "x", "%00", "..%2f", "revoke-others"):
        assert (await end(service, account, no_id)).status_code in {404, 405}, no_id


async def test_ending_the_current_device_is_a_logout(service: Deployment) -> None:
    account = await service.logged_in()
    assert (await end(service, account, await current(service, account))).status_code == 204
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 401


async def test_every_other_device_is_ended_and_this_one_stays(service: Deployment) -> None:
    here, stranger = await service.logged_in(), await service.logged_in()
    others = [await service.logged_in(here.email) for _ in range(3)]
    answer = await service.post("/auth/sessions/revoke-others", headers=here.bearer)
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    for other in others:
        assert (await service.get("/auth/me", headers=other.bearer)).status_code == 401
        assert (
            await service.post("/auth/refresh", {"refresh_token": other.refresh_token})
        ).status_code == 401
    for kept in (here, stranger):
        assert (await service.get("/auth/me", headers=kept.bearer)).status_code == 200
        assert len(await devices(service, kept)) == 1


async def test_a_request_that_starts_after_the_answer_to_a_revocation_is_refused(service: Deployment) -> None:
    """With requests of the revoked session under way all the time."""
    here = await service.logged_in()
    there = await service.logged_in(here.email)
    id_ = await current(service, there)
    over = asyncio.Event()

    async def use() -> list[int]:
        after: list[int] = []
        while len(after) < 5:
            started_after = over.is_set()
            status = (await service.get("/auth/me", headers=there.bearer)).status_code
            if started_after:
                after.append(status)
        return after

    users = [asyncio.create_task(use()) for _ in range(4)]
    assert (await end(service, here, id_)).status_code == 204
    over.set()
    assert {status for after in await asyncio.gather(*users) for status in after} == {401}


async def test_a_refresh_that_races_a_revocation_yields_nothing_that_works_after_it(
    service: Deployment,
) -> None:
    for _ in range(5):
        here = await service.logged_in()
        there = await service.logged_in(here.email)
        id_ = await current(service, there)
        refreshed, ended = await asyncio.gather(
            service.post("/auth/refresh", {"refresh_token": there.refresh_token}), end(service, here, id_)
        )
        assert ended.status_code == 204
        tokens = refreshed.json() if refreshed.status_code == 200 else there.tokens
        again = await service.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]})
        assert again.status_code == 401
        left = Account(there.email, there.password, tokens)
        assert (await service.get("/auth/me", headers=left.bearer)).status_code == 401
