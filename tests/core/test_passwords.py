"""Passwords: what is fit, how it is hashed, and that hashing is bounded and off the event loop."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from argon2 import extract_parameters
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dashtam.core.passwords import MAX_BYTES, HashCost, Passwords, is_readable, normalised
from dashtam.core.problems import Problem

CHEAP = HashCost(memory_kib=8, time_cost=1)
COST = HashCost()
FORMS = {"email": "ada@example.org", "name": "Ada Lovelace"}
LONG = "seven grey herons over the weir"

passwords_of_any_kind = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(" \0\n\t\r'\"\\<>;--é\u0301\uff50\U0001f511\u202e"),
    ),
    min_size=1,
    max_size=120,
)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Two threads and a queue of four."""
    made = Passwords(CHEAP, threads=2, queue=4, min_length=15)
    yield made
    made.close()


def hashed(password: str, cost: HashCost = CHEAP) -> str:
    return asyncio.run(verify_with(cost, password))


async def verify_with(cost: HashCost, password: str) -> str:
    passwords = Passwords(cost, threads=1, queue=1, min_length=15)
    try:
        return await passwords.hash(password)
    finally:
        passwords.close()


# --- Every byte counts (S-002, S-003, S-005) ---------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(password=passwords_of_any_kind, data=st.data())
def test_a_password_is_its_own_hashs_and_no_single_edit_of_it_is(password: str, data: st.DataObject) -> None:
    where = data.draw(st.integers(0, len(password) - 1))
    other = data.draw(st.characters(exclude_categories=["Cs"]))
    edits = (
        password[:where] + other + password[where + 1 :],
        password[:where] + password[where + 1 :],
        password[:where] + other + password[where:],
        password.swapcase(),
        password.strip(),
    )
    edit = data.draw(st.sampled_from(edits))
    assume(normalised(edit) != normalised(password))

    async def ask() -> None:
        made = Passwords(CHEAP, threads=1, queue=1, min_length=15)
        stored = await made.hash(password)
        assert await made.verify(password, stored) == stored
        assert await made.verify(edit, stored) is None
        made.close()

    asyncio.run(ask())


async def test_nothing_is_cut_off_a_password(passwords: Passwords) -> None:
    base = "x" * 72
    for one, other in (
        (base + "a", base + "b"),  # bcrypt reads 72 bytes
        ("before\0after, and long", "before\0other, and long"),
        ("p" * MAX_BYTES, "p" * (MAX_BYTES - 1)),
        ("p" * MAX_BYTES, "p" * (MAX_BYTES + 1)),
        ("trailing space ", "trailing space"),
        ("Case Matters Here", "case matters here"),
    ):
        stored = await passwords.hash(one)
        assert await passwords.verify(one, stored) == stored
        assert await passwords.verify(other, stored) is None


async def test_the_same_password_typed_on_another_keyboard_is_the_same(passwords: Passwords) -> None:
    for typed, again in (
        ("caf\u00e9 au lait au lait", "cafe\u0301 au lait au lait"),
        ("\uff50" * 15, "p" * 15),
    ):
        stored = await passwords.hash(typed)
        assert await passwords.verify(again, stored) == stored


# --- What is fit (S-001, S-002, S-004) ---------------------------------------------------------------------


async def refusal(passwords: Passwords, password: str) -> str:
    try:
        await passwords.refuse_unfit(password, **FORMS)
    except Problem as problem:
        return problem.type.slug
    return ""


async def test_length_is_counted_in_characters_from_below_and_in_bytes_from_above(
    passwords: Passwords,
) -> None:
    words = "correct horse battery"
    for password, slug in (
        (words[:14], "password-too-short"),
        (words[:15], ""),
        ("\U0001d4b3\U0001d4b4" * 7, "password-too-short"),
        ("\U0001d4b3qz9 \U0001d4b4bw7 k\U0001d4b5m4x", ""),
        ("e\u0301" * 7 + "z", "password-too-short"),  # 15 code points as typed, 8 as hashed
        ("\ufdfa", "password-too-short"),  # one as typed, 18 as hashed
        ("unlikely words " * 4 + "over", ""),
        ("unlikely words, " * 64, ""),
        ("unlikely words, " * 64 + "x", "password-too-long"),
        ("é" * 600, "password-too-long"),
    ):
        assert await refusal(passwords, password) == slug, password
    assert len(("unlikely words, " * 64).encode()) == MAX_BYTES


async def test_no_composition_is_asked_for_and_common_or_personal_ones_are_refused(
    passwords: Passwords,
) -> None:
    for fine in (
        "    a  b   c     d  ",
        "كلمة سر طويلة جدا هنا",
        "48151623426174839",
        "\"'<>\\;-- or '1'='1",
        "🌊🏔🚲🌻🎻🧭🪁🥨🦉🛶🪴🧵🕯🪞🧊",
    ):
        assert await refusal(passwords, fine) == "", fine
    for guessable in (
        "passwordpassword",
        "PASSWORDpassword",
        "aaaaaaaaaaaaaaaa",
        "ada.lovelace1815",
        "dashtamdashtam12",
    ):
        assert await refusal(passwords, guessable) == "password-blocked", guessable


# --- Hashes (S-008, S-012) ---------------------------------------------------------------------------------


async def test_a_hash_is_argon2id_with_the_cost_of_the_settings_and_a_salt_of_its_own() -> None:
    passwords = Passwords(COST, threads=2, queue=9, min_length=15)
    made = [await passwords.hash(LONG) for _ in range(3)]
    passwords.close()
    for one in made:
        assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert extract_parameters(one).salt_len >= 16
    assert len({one.split("$")[4] for one in made}) == 3


async def test_a_broken_hash_is_nobodys_password_and_never_an_error(passwords: Passwords) -> None:
    good = await passwords.hash(LONG)
    broken = [
        "", "!", "$", "$$$$$", "x" * 300, good[:-1], good[:40], good.replace("argon2id", "argon2i"),
        good.replace("argon2id", "argon2d"), good.replace("v=19", "v=16"), good.replace("m=8", "m=999999999999"),
        good.replace("t=1", "t=0"), good.replace("m=8", "m=4194304"),
        good.replace("p=1", "p=0"), good.replace("p=1", "p=9"), good.replace("t=1", "t=65"),
        good.replace("m=8", "m=-8"), good.replace("$m", "$x"), good + "A", good.replace("$argon2id", "argon2id"),
        "$2b$12$" + "a" * 53, "pbkdf2_sha256$1$a$b", good.upper(), "\0", "é" * 20,
    ]  # fmt: skip
    for stored in broken:
        assert await passwords.verify(LONG, stored) is None, stored
        assert await passwords.verify("", stored) is None
    assert await passwords.verify(LONG, good) == good
    assert is_readable(good)
    assert not any(map(is_readable, ("", "!", "$2b$12$" + "a" * 53, good.replace("argon2id", "argon2i"))))


async def test_without_a_hash_nothing_matches_and_others_are_told_apart(passwords: Passwords) -> None:
    for password in ("", "!", "None", LONG):
        assert await passwords.verify(password, None) is None
    first = await passwords.hash(LONG)
    second = await passwords.hash("another one, as long", like=[None, "broken", first])
    assert first.split("$")[4] == second.split("$")[4], "one salt, so that one hash tries both"
    assert await passwords.verify("another one, as long", first, [second]) == second
    assert await passwords.verify(LONG, first, [second]) == first
    assert await passwords.verify(LONG, None, [second, first]) == first
    assert await passwords.verify("neither of the two", first, [second]) is None


def test_a_hash_is_outdated_when_it_took_less_work_than_today() -> None:
    weak = hashed(LONG)
    strong = hashed(LONG, HashCost(memory_kib=32, time_cost=2))
    today = Passwords(HashCost(memory_kib=16, time_cost=2), threads=1, queue=1, min_length=15)
    assert today.is_outdated(weak)
    assert today.is_outdated("$2b$12$" + "a" * 53)
    assert not today.is_outdated(strong)
    assert not today.is_outdated(hashed(LONG, HashCost(memory_kib=16, time_cost=2)))
    assert not today.is_outdated(hashed(LONG, HashCost(memory_kib=32, time_cost=1)))
    today.close()


# --- Bounded, and off the event loop (S-010, S-011) --------------------------------------------------------


async def test_beyond_threads_and_queue_it_refuses_at_once_and_says_when_to_come_back(
    passwords: Passwords,
) -> None:
    release = threading.Event()
    for _ in range(2):
        passwords._pool.submit(release.wait)  # noqa: SLF001
    waiting = [asyncio.create_task(passwords.hash(LONG)) for _ in range(6)]
    await asyncio.sleep(0)
    beyond = [asyncio.create_task(passwords.hash(LONG)) for _ in range(3)]
    refused, _ = await asyncio.wait(beyond, timeout=5)
    assert not any(task.done() for task in waiting)
    release.set()
    assert len(refused) == 3, "at once, while all the others still wait"
    for task in refused:
        problem = task.exception()
        assert isinstance(problem, Problem)
        assert problem.type.slug == "service-busy"
        assert int(problem.headers["Retry-After"]) >= 1
    assert all(is_readable(made) for made in await asyncio.gather(*waiting))
    assert is_readable(await passwords.hash(LONG)), "there is room again"


async def test_no_more_hashes_run_at_once_than_there_are_threads(passwords: Passwords) -> None:
    running, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def work(_: str) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1

    await asyncio.gather(*(passwords._run(work, "") for _ in range(6)))  # noqa: SLF001
    assert most == 2


async def test_hashing_never_runs_on_the_event_loops_thread(passwords: Passwords) -> None:
    loops = threading.get_ident()
    where: list[int] = []
    await passwords._run(lambda _: where.append(threading.get_ident()), "")  # noqa: SLF001
    assert where
    assert loops not in where


async def test_the_event_loop_turns_while_hashes_run() -> None:
    """Structurally: the loop passes many times before the first of the costly hashes is done."""
    passwords = Passwords(HashCost(memory_kib=64 * 1024, time_cost=4), threads=2, queue=9, min_length=15)
    tasks = [asyncio.create_task(passwords.hash(LONG)) for _ in range(2)]
    turns = 0
    while not any(task.done() for task in tasks):
        turns += 1
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    passwords.close()
    assert turns > 100


async def test_a_place_is_free_again_whatever_became_of_the_work(passwords: Passwords) -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError

    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            await passwords._run(fail, "")  # noqa: SLF001
    cancelled = asyncio.create_task(passwords.hash(LONG))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert passwords._taken == 0  # noqa: SLF001
