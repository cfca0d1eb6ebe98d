"""Signing keys: sealed at rest, one active, published before they sign and until their last token is dead."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from joserfc.jwa import EdDSAAlgorithm, ESAlgorithm, JWSAlgModel
from joserfc.jwk import ECKey, KeySet, KeySetSerialization, OKPKey
from joserfc.jwt import decode
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from typing_extensions import override

from dashtam.core.access_tokens import AccessTokens
from dashtam.core.db import Database
from dashtam.core.keys import (
    LEEWAY_SECONDS,
    KeyRing,
    KeysUnusableError,
    RotationUnderWayError,
    every_key,
    rotate,
)
from dashtam.core.known_answers import (
    CryptoUnsoundError,
    Example,
    ed25519,
    es256,
    forgeries,
    prove_sound,
    rs256,
)
from dashtam.core.sealing import CannotOpenError, SecretKey
from dashtam.core.signatures import SCHEMES
from dashtam.core.strict_jwt import TokenRefusedError
from dashtam.core.tables import SigningKey

pytestmark = pytest.mark.dbparity(isolation="clone")  # two nodes are processes of their own

SECRET = SecretKey(b"a secret of thirty-two bytes, or more")
OTHER_SECRET = SecretKey(b"another secret of thirty-two bytes, or more")
NOON = datetime(2030, 5, 17, 12, 0, tzinfo=UTC)
PUBLISH, TOKEN = 600, 600
USER, SESSION = UUID(int=7), UUID(int=9)
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def new_ring(algorithm: str = "ES256", secret: SecretKey = SECRET) -> KeyRing:
    return KeyRing(secret, algorithm, PUBLISH, TOKEN)


async def loaded(database: Database, now: datetime = NOON, algorithm: str = "ES256") -> KeyRing:
    ring = new_ring(algorithm)
    await ring.load(database, now)
    return ring


def tokens_of(ring: KeyRing) -> AccessTokens:
    return AccessTokens(ring, "https://id.example", "api", TOKEN)


def issue(ring: KeyRing, now: datetime) -> str:
    return tokens_of(ring).issue(user_id=USER, session_id=SESSION, auth_time=NOON, amr="pwd", now=now)


def kids(ring: KeyRing, now: datetime) -> list[str]:
    return [key["kid"] for key in ring.jwks(now)["keys"]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.dispose()


# --- the first key


async def test_first_start_makes_one_key_that_signs_at_once(database: Database) -> None:
    ring = await loaded(database)
    [row] = await every_key(database)
    assert (row.kid, row.algorithm, row.activated_at, row.retired_at) == (
        ring.signing(NOON).kid,
        "ES256",
        NOON,
        None,
    )
    assert kids(ring, NOON) == [row.kid]
    assert ring.loaded_at == NOON


async def test_second_node_signs_with_the_key_of_the_first(database: Database) -> None:
    first, second = await loaded(database), await loaded(database, after(1))
    assert second.signing(after(1)).kid == first.signing(after(1)).kid
    assert tokens_of(second).read(issue(first, after(1)), after(1)).user_id == USER


async def test_node_whose_clock_runs_behind_signs_with_the_first_key_all_the_same(database: Database) -> None:
    first = await loaded(database)
    behind = await loaded(database, after(-20))
    assert behind.signing(after(-20)).kid == first.signing(NOON).kid
    assert len(await every_key(database)) == 1


def test_ring_that_was_never_loaded_says_so() -> None:
    with pytest.raises(KeysUnusableError, match="No signing key is loaded"):
        new_ring().signing(NOON)
    assert new_ring().jwks(NOON) == {"keys": []}


async def test_database_refuses_a_second_open_ended_key(database: Database) -> None:
    ring = await loaded(database)
    second = await ring.new_row(activated_at=after(5))
    with pytest.raises(IntegrityError):
        async with database.write() as db:
            db.add(second)
    second.retired_at = after(6)
    async with database.write() as db:
        db.add(second)
    assert len(await every_key(database)) == 2


async def test_key_that_was_retired_by_hand_is_replaced_at_the_next_load(database: Database) -> None:
    ring = await loaded(database)
    leaked = ring.signing(NOON).kid
    async with database.write() as db:
        await db.exec(update(SigningKey).where(col(SigningKey.kid) == leaked).values(retired_at=after(60)))
    await ring.load(database, after(61))
    assert ring.signing(after(61)).kid != leaked
    assert ring.verifying(leaked, after(61)) is not None


# --- what is kept, and what is published


@pytest.mark.parametrize("algorithm", SCHEMES)
async def test_kid_is_the_thumbprint_of_rfc_7638(database: Database, algorithm: str) -> None:
    [jwk] = (await loaded(database, algorithm=algorithm)).jwks(NOON)["keys"]
    members = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}[
        jwk["kty"]
    ]
    canonical = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).digest()
    assert jwk["kid"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", SCHEMES)
async def test_jwks_is_public_and_complete_and_verifies_our_tokens(
    database: Database, algorithm: str
) -> None:
    ring = await loaded(database, algorithm=algorithm)
    await rotate(database, ring, NOON)
    await ring.load(database, NOON)
    published = ring.jwks(NOON)
    assert len(published["keys"]) == 2
    public = [ring.verifying(kid, NOON) for kid in kids(ring, NOON)]
    assert [key.key.is_private for key in public if key] == [False, False]
    for jwk in published["keys"]:
        assert not PRIVATE_MEMBERS & jwk.keys()
        assert (jwk["use"], jwk["alg"]) == ("sig", algorithm)
    json.dumps(published)
    # joserfc's own registry warns about the name EdDSA, so this verifier, too, uses ours there.
    others = SCHEMES[algorithm].registry if algorithm == "EdDSA" else None
    consumer = KeySet.import_key_set(cast("KeySetSerialization", published))
    claims = decode(issue(ring, NOON), consumer, algorithms=[algorithm], registry=others).claims
    assert claims["sub"] == str(USER)


async def test_rsa_keys_have_3072_bits(database: Database) -> None:
    [jwk] = (await loaded(database, algorithm="RS256")).jwks(NOON)["keys"]
    assert len(base64.urlsafe_b64decode(jwk["n"])) * 8 == 3072


async def test_private_key_is_sealed_and_bound_to_its_kid(database: Database) -> None:
    await loaded(database)
    [row] = await every_key(database)
    assert SECRET.open("signing-key", row.private_key, row.kid).startswith(b"\x30")  # DER
    assert row.private_key not in repr(row).encode()
    for secret, purpose, kid in (
        (OTHER_SECRET, "signing-key", row.kid),
        (SECRET, "mail", row.kid),
        (SECRET, "signing-key", "another"),
    ):
        with pytest.raises(CannotOpenError):
            secret.open(purpose, row.private_key, kid)


async def test_wrong_secret_key_is_told_in_plain_words_and_changes_nothing(database: Database) -> None:
    await loaded(database)
    before = [row.model_dump() for row in await every_key(database)]
    stranger = new_ring("EdDSA", OTHER_SECRET)
    with pytest.raises(KeysUnusableError, match=r"SECRET_KEY does not open .* Set SECRET_KEY to the one"):
        await stranger.load(database, after(1))
    assert stranger.loaded_at is None
    assert [row.model_dump() for row in await every_key(database)] == before


@pytest.mark.parametrize("fault", ["another kid", "another algorithm", "an unknown algorithm", "garbage"])
async def test_row_that_was_tampered_with_is_refused_and_what_was_loaded_stays(
    database: Database, fault: str
) -> None:
    ring = await loaded(database)
    kid = ring.signing(NOON).kid
    [row] = await every_key(database)
    other = await ring.new_row(activated_at=NOON)
    opened = SECRET.open("signing-key", other.private_key, other.kid)
    changes: dict[str, dict[str, Any]] = {
        "another kid": {"private_key": SECRET.seal("signing-key", opened, kid)},
        "another algorithm": {"algorithm": "RS256"},
        "an unknown algorithm": {"algorithm": "HS256"},
        "garbage": {"private_key": SECRET.seal("signing-key", b"garbage", kid)},
    }
    async with database.write() as db:
        await db.exec(update(SigningKey).values(changes[fault]))
    with pytest.raises(KeysUnusableError):
        await new_ring().load(database, NOON)
    assert ring.signing(NOON).kid == kid
    async with database.write() as db:  # the sound twin: the row as it was
        await db.exec(update(SigningKey).values(private_key=row.private_key, algorithm=row.algorithm))
    await new_ring().load(database, NOON)


# --- rotation


async def test_successor_is_published_then_signs_and_the_old_key_lives_until_its_last_token(
    database: Database,
) -> None:
    ring = await loaded(database)
    old = ring.signing(NOON).kid
    successor = await rotate(database, ring, after(10))
    assert successor.activated_at == after(10 + PUBLISH)
    await ring.load(database, after(10))

    turn, dead = 10 + PUBLISH, 10 + PUBLISH + TOKEN + LEEWAY_SECONDS
    moments = [
        (11, old, [old, successor.kid]),
        (turn - 0.001, old, [old, successor.kid]),
        (turn, successor.kid, [old, successor.kid]),
        (dead - 0.001, successor.kid, [old, successor.kid]),
        (dead, successor.kid, [successor.kid]),
    ]
    for seconds, signs, published in moments:
        assert ring.signing(after(seconds)).kid == signs, seconds
        assert kids(ring, after(seconds)) == published, seconds
        verifying = [kid for kid in (old, successor.kid) if ring.verifying(kid, after(seconds))]
        assert verifying == published, seconds

    await ring.load(database, after(dead))
    assert kids(ring, after(dead)) == [successor.kid]
    assert [row.kid for row in await every_key(database)] == [old, successor.kid]


async def test_rotation_under_way_is_refused_with_its_time_until_the_successor_signs(
    database: Database,
) -> None:
    ring = await loaded(database)
    successor = await rotate(database, ring, NOON)
    for seconds in (0, PUBLISH - 0.001):
        with pytest.raises(RotationUnderWayError, match=f"{successor.kid} takes over at 2030-05-17T12:10:00"):
            await rotate(database, ring, after(seconds))
    assert len(await every_key(database)) == 2
    await rotate(database, ring, after(PUBLISH))
    assert len(await every_key(database)) == 3


async def test_rotating_an_empty_table_is_refused_in_plain_words(database: Database) -> None:
    with pytest.raises(KeysUnusableError, match="service makes the first when it starts"):
        await rotate(database, new_ring(), NOON)
    assert await every_key(database) == []


async def test_no_token_is_lost_over_two_rotations_on_two_nodes(database: Database) -> None:
    nodes = [await loaded(database), await loaded(database)]
    stale = await loaded(database)
    alive: list[tuple[float, str]] = []
    signed_with, lost_when_stale = set(), 0
    for second in range(0, 4 * PUBLISH, 10):
        now = after(second)
        if second in {60, 60 + 2 * PUBLISH}:
            await rotate(database, nodes[0], now)
        if second % 30 == 0:
            await nodes[second // 30 % 2].load(database, now)  # each node once a minute, never both
        alive = [(born, token) for born, token in alive if second < born + TOKEN]
        for node in nodes:
            signed_with.add(node.signing(now).kid)
            alive.append((second, issue(node, now)))
        for node in nodes:
            for _, token in alive[:: max(1, len(alive) // 6)]:
                assert tokens_of(node).read(token, now).user_id == USER
        lost_when_stale += stale.verifying(nodes[0].signing(now).kid, now) is None
    assert len(signed_with) == 3
    assert lost_when_stale > 0, (
        "a node that never reloads must be seen to lose tokens, or this test sees nothing"
    )


async def test_change_of_the_algorithm_setting_is_a_rotation(database: Database) -> None:
    old = await loaded(database)
    new = await loaded(database, after(60), "EdDSA")
    await old.load(
        database, after(61)
    )  # a node that still has the old setting changes nothing while it waits
    early, late = after(60 + PUBLISH - 1), after(60 + PUBLISH)
    assert (new.signing(early).algorithm, new.signing(late).algorithm) == ("ES256", "EdDSA")
    assert [jwk["alg"] for jwk in old.jwks(late)["keys"]] == ["ES256", "EdDSA"]
    for token, now in ((issue(new, early), late), (issue(new, late), late)):
        assert tokens_of(old).read(token, now).user_id == USER
    await new.load(database, after(90))
    assert len(await every_key(database)) == 2


async def test_remembered_token_is_refused_once_its_key_has_left_the_ring(database: Database) -> None:
    ring = await loaded(database)
    tokens, token = tokens_of(ring), issue(ring, NOON)
    tokens.read(token, NOON)
    await ring.load(database, after(5))
    tokens.read(token, after(5))
    async with database.write() as db:
        await db.exec(update(SigningKey).values(retired_at=after(-TOKEN - LEEWAY_SECONDS - 1)))
    tokens.read(token, after(5))
    await ring.load(database, after(6))
    with pytest.raises(TokenRefusedError, match="an unknown key"):
        tokens.read(token, after(6))


# --- two nodes at the same moment

NODE = """
import asyncio, json, sys
from datetime import datetime
from dashtam.core.db import Database
from dashtam.core.keys import KeyRing, RotationUnderWayError, rotate
from dashtam.core.sealing import SecretKey

async def play(url):
    database, secret = Database(url), SecretKey(b"a secret of thirty-two bytes, or more")
    print("ready", flush=True)
    for line in sys.stdin:
        what, moment = line.split()
        now, ring = datetime.fromisoformat(moment), KeyRing(secret, "ES256", 600, 600)
        try:
            await ring.load(database, now)
            kid = (await rotate(database, ring, now)).kid if what == "rotate" else ring.signing(now).kid
            print(kid, flush=True)
        except RotationUnderWayError:
            print("under-way", flush=True)
    await database.dispose()

asyncio.run(play(sys.argv[1]))
"""


@contextmanager
def two_nodes(url: str) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", NODE, url],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]
        for node in nodes:
            assert answer(node) == "ready"
        yield nodes
        for node in nodes:
            assert node.stdin is not None
            node.stdin.close()


def answer(node: subprocess.Popen[str]) -> str:
    assert node.stdout is not None
    return node.stdout.readline().strip()


def both(nodes: list[subprocess.Popen[str]], what: str, now: datetime) -> list[str]:
    for node in nodes:
        assert node.stdin is not None
        node.stdin.write(f"{what} {now.isoformat()}\n")
    for node in nodes:
        assert node.stdin is not None
        node.stdin.flush()
    return [answer(node) for node in nodes]


async def forget_keys(database: Database) -> None:
    async with database.write() as db:
        await db.exec(text("DELETE FROM signing_keys"))  # type: ignore[call-overload]


async def test_two_nodes_that_start_or_rotate_at_once_agree(database_url: str, database: Database) -> None:
    with two_nodes(database_url) as nodes:
        for _ in range(20):
            await forget_keys(database)
            first, second = both(nodes, "start", NOON)
            [row] = await every_key(database)
            assert first == second == row.kid
            outcomes = both(nodes, "rotate", after(1))
            assert outcomes.count("under-way") == 1, outcomes
            [_, successor] = await every_key(database)
            assert successor.kid in outcomes


async def test_without_the_unique_index_two_nodes_would_make_two_keys(
    database_url: str, database: Database
) -> None:
    async with database.write() as db:
        await db.exec(text("DROP INDEX uq_signing_keys_one_active"))  # type: ignore[call-overload]
    with two_nodes(database_url) as nodes:
        for _ in range(200):
            await forget_keys(database)
            both(nodes, "start", NOON)
            if len(await every_key(database)) == 2:
                return
    pytest.fail("the two nodes never met: the test above proves nothing")


# --- the start-up test of the cryptography


def test_installed_cryptography_is_sound() -> None:
    prove_sound()


@pytest.mark.parametrize("example", [es256(), ed25519(), rs256()], ids=lambda example: example.algorithm)
def test_every_forgery_of_the_start_up_test_is_refused(example: Example) -> None:
    algorithm = SCHEMES[example.algorithm].algorithm
    assert algorithm.verify(example.signed, example.signature, example.key)
    tried = dict(forgeries(example))
    assert len(tried) >= 10
    assert [
        name for name, forged in tried.items() if algorithm.verify(example.signed, forged, example.key)
    ] == []


class PsychicES256(ESAlgorithm):
    """CVE-2022-21449: zero is as good a signature as any."""

    @override
    def verify(self, msg: bytes, sig: bytes, key: ECKey) -> bool:
        return sig == bytes(64) or SCHEMES["ES256"].algorithm.verify(msg, sig, key)


class DeafEdDSA(EdDSAAlgorithm):
    @override
    def verify(self, msg: bytes, sig: bytes, key: OKPKey) -> bool:
        return False


@pytest.mark.parametrize(
    ("unsound", "words"),
    [
        (PsychicES256("ES256", "P-256", 256), r"accepts a forged ES256 signature \(r = s = 0\)"),
        (ESAlgorithm("ES256", "P-256", 256), r"accepts a forged ES256 signature \(higher s\)"),
        (DeafEdDSA(), "refuses a sound EdDSA signature"),
    ],
    ids=["psychic", "malleable", "deaf"],
)
def test_unsound_cryptography_is_found_at_the_start(unsound: JWSAlgModel, words: str) -> None:
    planted = {**SCHEMES, unsound.name: replace(SCHEMES[unsound.name], algorithm=unsound)}
    with pytest.raises(CryptoUnsoundError, match=words):
        prove_sound(planted)
