"""Access tokens: what is issued is read back, and nothing else is accepted, however it is dressed up."""

import asyncio
import base64
import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from dashtam.core.access_tokens import AccessTokens, TokenRefusedError, VerifiedTokens
from dashtam.core.db import Database
from dashtam.core.keys import KeyRing
from dashtam.core.sealing import SecretKey
from dashtam.core.signatures import P256_ORDER, SCHEMES
from dashtam.core.strict_jwt import LONGEST_TOKEN
from dashtam.core.tables import Table
from tests.core.hostile_tokens import SIGNATURE, Forge, b64, compact, hostile, sound, unb64

NOW = datetime(2030, 5, 17, 12, 0, tzinfo=UTC)
ISSUER, AUDIENCE = "https://id.example", "dashtam"
USER, SESSION = UUID("0197a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"), UUID("0197a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c")
MUTATIONS = int(os.environ.get("DASHTAM_MUTATIONS", "3000"))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True)
class Bench:
    """A reader, and a forge that has its key."""

    ring: KeyRing
    tokens: AccessTokens
    forge: Forge

    def issue(self, now: datetime = NOW) -> str:
        return self.tokens.issue(user_id=USER, session_id=SESSION, auth_time=NOW, amr="pwd otp", now=now)

    def refusal(self, token: str, now: datetime = NOW) -> str | None:
        """Why the token is refused; None if it is accepted."""
        try:
            self.tokens.read(token, now)
        except TokenRefusedError as refused:
            return refused.reason
        return None


@pytest.fixture(scope="module", params=SCHEMES)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return made_bench(request.param, f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('keys')}/keys.db")


@pytest.fixture(scope="module")
def es256(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return made_bench("ES256", f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('keys')}/keys.db")


def made_bench(algorithm: str, url: str) -> Bench:
    ring = KeyRing(SecretKey(b"a secret of thirty-two bytes, or more"), algorithm, 600, 600)
    asyncio.run(first_load(ring, url))
    tokens = AccessTokens(ring, ISSUER, AUDIENCE, 600)
    return Bench(ring, tokens, Forge(ring.signing(NOW), ISSUER, AUDIENCE, NOW, USER, SESSION))


async def first_load(ring: KeyRing, url: str) -> None:
    database = Database(url)
    async with database.writer.begin() as connection:
        await connection.run_sync(Table.metadata.tables["signing_keys"].create)
    await ring.load(database, NOW)
    await database.dispose()


# --- what is issued


def test_token_says_what_it_was_issued_for(bench: Bench) -> None:
    claims = bench.tokens.read(bench.issue(), NOW)
    assert (claims.user_id, claims.session_id, claims.amr) == (USER, SESSION, ("pwd", "otp"))
    assert (claims.issued_at, claims.expires_at, claims.auth_time) == (NOW, NOW + timedelta(minutes=10), NOW)


def test_token_holds_these_members_and_no_personal_data(bench: Bench) -> None:
    header, payload, _ = (unb64(part) for part in bench.issue().split("."))
    assert json.loads(header) == {
        "alg": bench.ring.signing(NOW).algorithm,
        "typ": "at+jwt",
        "kid": bench.ring.signing(NOW).kid,
    }
    claims = json.loads(payload)
    jti = claims.pop("jti")
    assert str(UUID(jti)) == jti
    assert claims == {
        "iss": ISSUER,
        "sub": str(USER),
        "aud": AUDIENCE,
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 600,
        "sid": str(SESSION),
        "auth_time": int(NOW.timestamp()),
        "amr": ["pwd", "otp"],
    }


def test_two_tokens_of_the_same_moment_differ(bench: Bench) -> None:
    assert bench.tokens.read(bench.issue(), NOW).jti != bench.tokens.read(bench.issue(), NOW).jti


def test_es256_is_always_issued_with_the_lower_s(es256: Bench) -> None:
    values = [int.from_bytes(unb64(es256.issue().rpartition(".")[2])[32:], "big") for _ in range(64)]
    assert max(values) <= P256_ORDER // 2


def test_any_audience_and_issuer_is_read_back(es256: Bench) -> None:
    for name in ('a"b\\c', "[[[[[[[[[[[{{{{{{{{{{", "na\u00efve \U0001f600", "\\ud800", "x" * 200):
        tokens = AccessTokens(es256.ring, f"http://[::1]/{name}", name, 600)
        token = tokens.issue(user_id=USER, session_id=SESSION, auth_time=NOW, amr="pwd", now=NOW)
        assert tokens.read(token, NOW).user_id == USER
        assert es256.refusal(token) == "another issuer or audience"


def test_login_on_a_node_with_a_faster_clock_still_gives_a_sound_token(es256: Bench) -> None:
    token = es256.tokens.issue(
        user_id=USER, session_id=SESSION, auth_time=NOW + timedelta(seconds=9), amr="pwd", now=NOW
    )
    assert es256.tokens.read(token, NOW).auth_time == NOW


def test_life_beyond_ten_minutes_is_not_to_be_had(es256: Bench) -> None:
    for seconds in (0, -1, 601):
        with pytest.raises(ValueError, match="1 to 600 seconds"):
            AccessTokens(es256.ring, ISSUER, AUDIENCE, seconds)


# --- time


@pytest.mark.parametrize("remembered", [False, True], ids=["first reading", "remembered"])
def test_token_lives_from_half_a_minute_before_its_issue_until_its_end(
    es256: Bench, *, remembered: bool
) -> None:
    token = es256.issue()
    if remembered:
        es256.tokens.read(token, NOW)
    for seconds, refusal in (
        (-31, "issued in the future"),
        (-30, None),
        (0, None),
        (599.999, None),
        (600, "expired"),
        (86_400, "expired"),
    ):
        fresh = token if remembered else es256.issue()
        assert es256.refusal(fresh, NOW + timedelta(seconds=seconds)) == refusal, seconds


def test_only_so_many_tokens_are_remembered_and_the_one_unused_longest_goes(es256: Bench) -> None:
    key = es256.ring.verifying(es256.forge.pair.kid, NOW)
    assert key is not None
    known = es256.tokens.read(es256.issue(), NOW), key
    remembered = VerifiedTokens(3)
    for digest in (b"a", b"b", b"c"):
        remembered.put(digest, known)
    remembered.get(b"a")
    remembered.put(b"d", known)
    assert [digest for digest in (b"a", b"b", b"c", b"d") if remembered.get(digest)] == [b"a", b"c", b"d"]


# --- the corpus


def test_sound_twins_are_accepted(bench: Bench) -> None:
    refused = {name: bench.refusal(token) for name, token in sound(bench.forge)}
    assert len(refused) > 10
    assert not any(refused.values()), refused


def test_largest_twin_is_as_large_as_the_limit_allows(bench: Bench) -> None:
    lengths = {name: len(token) for name, token in sound(bench.forge)}
    assert LONGEST_TOKEN - 3 <= lengths["as large as may be"] <= LONGEST_TOKEN
    too_long = min(len(case.token) for case in hostile(bench.forge) if case.name == "8 KiB and one byte")
    assert LONGEST_TOKEN < too_long <= LONGEST_TOKEN + 3


def test_every_hostile_token_is_refused_for_its_reason(bench: Bench) -> None:
    cases = list(hostile(bench.forge))
    names = [case.name for case in cases]
    assert len(set(names)) == len(names) > 500
    wrong = {case.name: refusal for case in cases if (refusal := bench.refusal(case.token)) != case.reason}
    assert wrong == {}


def test_hostile_token_is_refused_again_after_a_sound_one_was_remembered(bench: Bench) -> None:
    for _, token in sound(bench.forge):
        assert bench.refusal(token) is None
    assert [case.name for case in hostile(bench.forge) if bench.refusal(case.token) is None] == []


def test_refusal_holds_nothing_of_the_token(bench: Bench) -> None:
    canary = "canary-7f3a"
    tokens = [
        bench.forge.token(bench.forge.header(kid=canary)),
        bench.forge.token(bench.forge.header(alg=canary)),
        bench.forge.token(claims=bench.forge.claims(sub=canary)),
        bench.forge.token(claims=f'{{"{canary}":1,"{canary}":2}}'.encode()),
        bench.forge.token(claims=canary.encode()),
        canary,
    ]
    for token in tokens:
        with pytest.raises(TokenRefusedError) as refused:
            bench.tokens.read(token, NOW)
        chain: BaseException | None = refused.value
        assert canary not in repr(chain)
        assert chain is not None
        assert chain.__suppress_context__ or chain.__context__ is None


TOUCHED: list[str] = []
WATCHING = False


def watch(event: str, _: tuple[object, ...]) -> None:
    if WATCHING and event.partition(".")[0] in {"open", "socket", "subprocess", "os", "sqlite3", "urllib"}:
        TOUCHED.append(event)


@pytest.fixture
def touched() -> Iterator[list[str]]:
    """The audit events (PEP 578) of files, sockets and processes, while a test runs."""
    global WATCHING  # noqa: PLW0603  an audit hook cannot be removed, only told to look away
    TOUCHED.clear()
    sys.addaudithook(watch)
    WATCHING = True
    yield TOUCHED
    WATCHING = False


def test_no_file_socket_or_process_is_touched_by_any_of_it(bench: Bench, touched: list[str]) -> None:
    cases = list(hostile(bench.forge))
    touched.clear()
    for case in cases:
        bench.refusal(case.token)
    assert touched == []
    with open(os.devnull, "rb"):  # noqa: PTH123  the watcher watches
        pass
    assert "open" in touched


# --- the corpus would notice


def generous(bench: Bench, token: str) -> bool:
    """Whether the token passes joserfc as it is usually called: pinned algorithm, published keys, claims."""
    algorithm = bench.ring.signing(NOW).algorithm
    registry = jwt.JWTClaimsRegistry(
        now=lambda: int(NOW.timestamp()),
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        sub={"essential": True},
        exp={"essential": True},
    )
    keys = KeySet.import_key_set(cast("KeySetSerialization", bench.ring.jwks(NOW)))
    try:
        registry.validate(jwt.decode(token, keys, algorithms=[algorithm]).claims)
    except (JoseError, ValueError, TypeError, RecursionError):
        return False
    return True


def test_without_the_strict_rules_these_cases_get_through(es256: Bench) -> None:
    accepted = {case.name for case in hostile(es256.forge) if generous(es256, case.token)}
    assert accepted >= {
        "no typ",
        "typ 'JWT'",
        "header crit []",
        "signature: higher s",
        "payload: duplicate sub, ours last",
        "payload: duplicate sub, ours first",
        "payload: duplicate by an escape",
        "header: duplicate alg",
        "payload: a BOM",
        "payload: utf-16",
        "payload: lone surrogate in a value",
        "exp 1e30",
        "lives for a year",
        "sub 'admin'",
        "no sid",
        "and 'role'",
        "8 KiB and one byte",
    }
    assert generous(es256, es256.issue())
    assert len(accepted) < len(list(hostile(es256.forge))) / 2


# --- mutations


def mutated(token: str, chance: random.Random) -> str:
    """The token with one small change, which may by chance be none."""
    at = chance.randrange(len(token))
    letter = chance.choice(ALPHABET)
    changes = (
        lambda: token[:at] + chr(ord(token[at]) ^ 1 << chance.randrange(7)) + token[at + 1 :],
        lambda: token[:at] + letter + token[at + 1 :],
        lambda: token[:at] + letter + token[at:],
        lambda: token[:at] + token[at + 1 :],
        lambda: token[:at] + token[at].swapcase() + token[at + 1 :],
        lambda: token[:at] + chance.choice("=. \n\t\0+/%,\u00e9\uff0e") + token[at:],
        lambda: token[:at] + token[at : at + 2][::-1] + token[at + 2 :],
        lambda: token + chance.choice(["=", "==", ".", "A", " "]),
        lambda: token[:-1] + letter,
        lambda: token.replace(".", chance.choice(["..", "", ":"]), 1),
        lambda: stray_bit(token, chance),
    )
    return chance.choice(changes)()


def stray_bit(token: str, chance: random.Random) -> str:
    """One of the last characters of a part moved to its neighbour: the bits that base64url leaves unused."""
    parts = token.split(".")
    which = chance.randrange(3)
    last = ALPHABET.index(parts[which][-1]) ^ 1 << chance.randrange(4)
    parts[which] = parts[which][:-1] + ALPHABET[last]
    return ".".join(parts)


def test_mutated_token_is_accepted_only_if_it_is_the_same(
    bench: Bench,
) -> None:
    seed = int(os.environ.get("DASHTAM_SEED", "20260105"))
    chance = random.Random(seed)  # noqa: S311  it spreads mutations and guards nothing
    token = bench.issue()
    reader = AccessTokens(bench.ring, ISSUER, AUDIENCE, 600)
    tried = 0
    for _ in range(MUTATIONS):
        candidate = mutated(token, chance)
        tried += candidate != token
        try:
            reader.read(candidate, NOW)
        except TokenRefusedError:
            assert candidate != token, seed
        else:
            assert candidate == token, (seed, candidate)
    assert tried > MUTATIONS * 0.9


def test_plain_joserfc_lets_a_mutation_through(es256: Bench) -> None:
    signed, _, signature = es256.issue().rpartition(".")
    raw = unb64(signature)
    twin = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert generous(es256, f"{signed}.{b64(twin)}")
    assert es256.refusal(f"{signed}.{b64(twin)}") == SIGNATURE


# --- anything at all

unhurried = settings(deadline=None)  # the machine may be busy; how long a case takes is not the question here

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode("utf-8", "surrogatepass")).rstrip(b"=").decode()


parts = st.binary(max_size=60).map(b64) | json_values.map(encoded) | st.text(max_size=40)


@unhurried
@given(st.text())
@example("\ud800")
@example("." * 9000)
def test_any_text_is_refused_in_one_way(es256: Bench, text: str) -> None:
    with pytest.raises(TokenRefusedError):
        es256.tokens.read(text, NOW)


@unhurried
@given(parts, parts, parts)
def test_any_three_parts_are_refused_in_one_way(
    es256: Bench, header: str, payload: str, signature: str
) -> None:
    with pytest.raises(TokenRefusedError):
        es256.tokens.read(f"{header}.{payload}.{signature}", NOW)


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(["iss", "sub", "aud", "iat", "exp", "jti", "sid", "auth_time", "amr"]), json_values
    )
)
def test_any_signed_claims_are_refused_in_one_way_or_are_sound(
    es256: Bench, changes: dict[str, object]
) -> None:
    claims = es256.forge.claims(**changes)
    if es256.refusal(es256.forge.token(claims=compact(claims))) is None:
        free = {name: claims[name] for name in ("amr", "auth_time")}  # more than one value of these is sound
        assert claims == es256.forge.claims(**free)


@unhurried
@given(json_values)
def test_any_signed_header_is_refused_in_one_way(es256: Bench, header: object) -> None:
    assert es256.refusal(es256.forge.token(compact(header))) is not None
