"""Hostile access tokens, by name: what attackers and sloppy encoders send, and the reason for each refusal.

Most are signed with the service's own key, so that nothing but the rule in question stands in their way. A
`Forge` makes them from the key, issuer and audience of any running service; `sound` holds their sound twins.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dashtam.core.keys import SigningPair
from dashtam.core.known_answers import Example, forgeries
from dashtam.core.signatures import SCHEMES, public_half

ABSENT = object()

SHAPE = "not three base64url parts"
CANONICAL = "not canonical base64url"
BASE64 = "not base64url"
HEADER = "a header other than alg, typ and kid"
TYPE = "not typed as an access token"
STRINGS = "alg or kid is not a proper string"
UTF8 = "not UTF-8"
JSON = "not JSON"
OBJECT = "not a JSON object"
DUPLICATE = "a duplicate name"
SURROGATE = "a lone surrogate"
NESTED = "nested too deeply"
FLOAT = "a number that is not an integer"
CONSTANT = "NaN or Infinity"
LARGE = "a number too large"
SIZE = "longer than 8 KiB, or not ASCII"
KEY = "an unknown key"
ALGORITHM = "an algorithm other than the key's"
SIGNATURE = "a wrong signature"
CLAIMS = "a claim missing or unknown"
PARTY = "another issuer or audience"
DATE = "a date that is not an integer"
DATES = "dates that do not fit together"
ID = "an id that is not a UUID"
METHODS = "amr is not a short list"
METHOD = "amr holds something other than names"
EXPIRED = "expired"
FUTURE = "issued in the future"


@dataclass(frozen=True)
class Case:
    """A token to be refused: its name, itself, and the reason."""

    name: str
    token: str
    reason: str


def b64(plain: bytes) -> str:
    return base64.urlsafe_b64encode(plain).rstrip(b"=").decode()


def unb64(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Forge:
    """Makes tokens with a service's own key, or without, for an account and session of the test's choice."""

    pair: SigningPair
    issuer: str
    audience: str
    now: datetime
    user_id: UUID
    session_id: UUID

    def header(self, **changes: object) -> dict[str, object]:
        """The header of a sound token, with these members changed, added or (ABSENT) left out."""
        return _changed({"alg": self.pair.algorithm, "typ": "at+jwt", "kid": self.pair.kid}, changes)

    def claims(self, **changes: object) -> dict[str, object]:
        """The claims of a sound token, with these changed, added or (ABSENT) left out."""
        issued_at = int(self.now.timestamp()) - 60
        sound = {
            "iss": self.issuer,
            "sub": str(self.user_id),
            "aud": self.audience,
            "iat": issued_at,
            "exp": issued_at + 600,
            "jti": "0197a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2d",
            "sid": str(self.session_id),
            "auth_time": issued_at - 60,
            "amr": ["pwd"],
        }
        return _changed(sound, changes)

    def sign(self, signed: bytes) -> bytes:
        """The raw signature of the service's key."""
        return SCHEMES[self.pair.algorithm].algorithm.sign(signed, self.pair.key)

    def token(self, header: object | None = None, claims: object | None = None) -> str:
        """A token signed with the service's key. Bytes are taken as they are; anything else becomes JSON."""
        parts = (self.header() if header is None else header, self.claims() if claims is None else claims)
        signed = ".".join(b64(part if isinstance(part, bytes) else compact(part)) for part in parts)
        return f"{signed}.{b64(self.sign(signed.encode()))}"

    def resigned(self, header: str, payload: str) -> str:
        """The same over parts that are encoded already, in whatever way."""
        signed = f"{header}.{payload}"
        return f"{signed}.{b64(self.sign(signed.encode()))}"


def _changed(sound: dict[str, Any], changes: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in {**sound, **changes}.items() if value is not ABSENT}


def sound(forge: Forge) -> Iterator[tuple[str, str]]:
    """Tokens that are accepted, each the twin of a family of cases below."""
    header, claims = compact(forge.header()), compact(forge.claims())
    yield "as issued", forge.token()
    yield "members in another order", forge.token(dict(reversed(forge.header().items())))
    yield "claims in another order", forge.token(claims=dict(reversed(forge.claims().items())))
    yield "spaces in the JSON", forge.token(json.dumps(forge.header(), indent=1).encode())
    yield "an escaped name", forge.token(claims=claims.replace(b'"sub"', b'"\\u0073ub"'))
    yield "as large as may be", forge.token(claims=_padded(forge, 8192))
    yield "several methods", forge.token(claims=forge.claims(amr=["pwd", "otp", "mfa"]))
    yield "an end that is still ahead by a second", forge.token(claims=_life(forge, -599, 1))
    yield "issued half a minute ahead", forge.token(claims=_life(forge, 30, 630))
    yield "logged in at this very second", forge.token(claims=forge.claims(auth_time=forge.claims()["iat"]))
    yield "encoded anew", forge.resigned(b64(header), b64(claims))


def hostile(forge: Forge) -> Iterator[Case]:
    """The whole corpus."""
    yield from key_confusion(forge)
    yield from algorithms(forge)
    yield from foreign_headers(forge)
    yield from types(forge)
    yield from kids(forge)
    yield from encodings(forge)
    yield from json_tricks(forge)
    yield from claims_retyped(forge)
    yield from claims_moved(forge)
    yield from signatures(forge)
    yield from sizes(forge)


def key_confusion(forge: Forge) -> Iterator[Case]:
    """The public key, in every form it comes in, as an HMAC secret (CVE-2022-29217, CVE-2024-33663)."""
    for form, secret in public_forms(forge.pair):
        for ending, used in (("", secret), (" and newline", secret + b"\n"), (" stripped", secret.strip())):
            for bits in (256, 384, 512):
                yield _hmac(forge, f"HS{bits} with {form}{ending}", f"HS{bits}", bits, used, ALGORITHM)
            name = f"{forge.pair.algorithm} claimed, HMAC with {form}{ending}"
            yield _hmac(forge, name, forge.pair.algorithm, 256, used, SIGNATURE)
    for weak in (b"", b"secret", b"dashtam", b"\0" * 32, forge.pair.kid.encode()):
        yield _hmac(forge, f"HS256 with {weak!r}", "HS256", 256, weak, ALGORITHM)


def public_forms(pair: SigningPair) -> Iterator[tuple[str, bytes]]:
    """The public key as PEM, DER, OpenSSH, JWK and raw bytes."""
    key = public_half(pair.key)
    native = key.public_key
    spki = PublicFormat.SubjectPublicKeyInfo
    yield "PEM", native.public_bytes(Encoding.PEM, spki)
    yield "DER", native.public_bytes(Encoding.DER, spki)
    yield "OpenSSH", native.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    yield "JWK", compact(key.as_dict(private=False))
    yield "JWK, spaced", json.dumps(key.as_dict(private=False)).encode()
    yield "JWK, published", compact(key.as_dict(private=False, use="sig", alg=pair.algorithm, kid=pair.kid))
    if isinstance(key, RSAKey):
        yield "PKCS #1 PEM", native.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        yield "PKCS #1 DER", native.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        yield "modulus", unb64(str(key.as_dict()["n"]))
    if isinstance(key, OKPKey):
        yield "raw", native.public_bytes(Encoding.Raw, PublicFormat.Raw)
    if isinstance(key, ECKey):
        yield "point", native.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        yield "compressed point", native.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        yield "x", unb64(str(key.as_dict()["x"]))


def _hmac(forge: Forge, name: str, algorithm: str, bits: int, secret: bytes, reason: str) -> Case:
    signed = f"{b64(compact(forge.header(alg=algorithm)))}.{b64(compact(forge.claims()))}"
    tag = hmac.new(secret, signed.encode(), getattr(hashlib, f"sha{bits}")).digest()
    return Case(name, f"{signed}.{b64(tag)}", reason)


def algorithms(forge: Forge) -> Iterator[Case]:
    """`none` in all its spellings, other algorithms, and things that are no algorithm."""
    for none in ("none", "None", "NONE", "nOnE", "none ", " none", "none\0", "n\u043ene"):
        signed = f"{b64(compact(forge.header(alg=none)))}.{b64(compact(forge.claims()))}"
        yield Case(f"{none!r}, no signature", f"{signed}.", SHAPE)
        yield Case(f"{none!r}, no dot", signed, SHAPE)
        yield Case(f"{none!r}, null signature", f"{signed}.{b64(b'null')}", ALGORITHM)
        yield Case(f"{none!r}, own signature", forge.token(forge.header(alg=none)), ALGORITHM)
    own = forge.pair.algorithm
    other = {
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "RS256",
        "RS384",
        "PS256",
        "EdDSA",
        "Ed25519",
        "HS256",
        "dir",
    }
    for name in (*sorted(other - {own}), own.lower(), f" {own}", f"{own}\0", ""):
        yield Case(f"alg {name!r}", forge.token(forge.header(alg=name)), ALGORITHM)
    for value in (None, True, 1, [own], {"alg": own}, [own, "none"]):
        yield Case(f"alg {value!r}", forge.token(forge.header(alg=value)), STRINGS)
    yield Case("no alg", forge.token(forge.header(alg=ABSENT)), HEADER)


def foreign_headers(forge: Forge) -> Iterator[Case]:
    """Header parameters that name a key, a place, or a way to read the token differently."""
    jwk = public_half(forge.pair.key).as_dict(private=False)
    stranger = replace(forge, pair=_stranger(forge.pair))
    url = "http://127.0.0.1:9/keys"
    extra: list[tuple[str, object]] = [
        ("jwk", dict(jwk)),
        ("jku", url),
        ("x5u", url),
        ("x5c", ["MIIB"]),
        ("x5t", "AAAA"),
        ("x5t#S256", "AAAA"),
        ("crit", []),
        ("crit", ["exp"]),
        ("crit", ["alg"]),
        ("crit", None),
        ("b64", True),
        ("b64", False),
        ("zip", "DEF"),
        ("cty", "JWT"),
        ("enc", "A256GCM"),
        ("epk", dict(jwk)),
        ("iss", forge.issuer),
        ("", ""),
        ("Alg", "none"),
        ("alg\0", "none"),
        ("__proto__", {}),
    ]
    for name, value in extra:
        yield Case(f"header {name} {value!r:.20}", forge.token(forge.header(**{name: value})), HEADER)
        yield Case(
            f"header {name} {value!r:.20}, foreign key",
            stranger.token(stranger.header(**{name: value})),
            HEADER,
        )
    b64_false = forge.header(b64=False, crit=["b64"])
    yield Case("crit b64", forge.token(b64_false), HEADER)
    embedded = stranger.pair.key.as_dict(private=False)
    for kid in (forge.pair.kid, stranger.pair.kid):
        yield Case(
            f"own jwk, kid {kid[:4]}", stranger.token(stranger.header(jwk=dict(embedded), kid=kid)), HEADER
        )
    yield Case("a foreign key under its own kid", stranger.token(), KEY)
    yield Case("a foreign key under our kid", stranger.token(forge.header()), SIGNATURE)


def _stranger(pair: SigningPair) -> SigningPair:
    key = SCHEMES[pair.algorithm].generate()
    return SigningPair(key.thumbprint(), pair.algorithm, key)


def types(forge: Forge) -> Iterator[Case]:
    """Other kinds of token, and near misses (RFC 8725 section 3.11)."""
    yield Case("no typ", forge.token(forge.header(typ=ABSENT)), HEADER)
    near = (
        "at+JWT",
        "AT+JWT",
        "at+jwt ",
        " at+jwt",
        "at+jwt\0",
        "application/at+jwt",
        "at jwt",
        "a\u200bt+jwt",
    )
    for typ in (
        *near,
        "JWT",
        "jwt",
        "",
        "id+jwt",
        "logout+jwt",
        "dpop+jwt",
        "rt+jwt",
        None,
        1,
        True,
        ["at+jwt"],
    ):
        yield Case(f"typ {typ!r}", forge.token(forge.header(typ=typ)), TYPE)


def kids(forge: Forge) -> Iterator[Case]:
    """`kid` as a path, a query, a command, another type, or too long."""
    kid = forge.pair.kid
    yield Case("no kid", forge.token(forge.header(kid=ABSENT)), HEADER)
    for text in (
        "../../dev/null",
        "/dev/null",
        "x' UNION SELECT 'k';--",
        "|sleep 10",
        "$(sleep 10)",
        "http://127.0.0.1:9/",
        "\0",
        f"{kid}\0",
        f"{kid} ",
        f" {kid}",
        kid.swapcase(),
        kid[:-1],
        kid + "A",
        "*",
        "None",
        "0",
        "\U0001d7d8",
        "a" * 128,
    ):
        yield Case(f"kid {text!r:.50}, {len(text)} long", forge.token(forge.header(kid=text)), KEY)
    others: tuple[object, ...] = ("", "a" * 129, "a" * 2000, None, True, 0, [kid], {"kid": kid}, [[]], {})
    for value in others:
        yield Case(f"kid {value!r:.150}", forge.token(forge.header(kid=value)), STRINGS)


def encodings(forge: Forge) -> Iterator[Case]:
    """The same bytes written differently, and other serialisations (RFC 7515 sections 3 and 7.2)."""
    token = forge.token()
    header, payload, signature = token.split(".")
    for name, changed in (
        ("nothing", ""),
        ("dots", ".."),
        ("a dot", "."),
        ("no header", f".{payload}.{signature}"),
        ("no payload", f"{header}..{signature}"),
        ("no signature", f"{header}.{payload}."),
        ("two parts", f"{header}.{payload}"),
        ("four parts", f"{token}.{signature}"),
        ("five parts (JWE)", f"{header}..{payload}.{signature}.{signature}"),
        ("a dot before", f".{token}"),
        ("a dot after", f"{token}."),
        ("padding", f"{token}="),
        ("more padding", f"{token}=="),
        ("padded header", f"{header}=.{payload}.{signature}"),
        ("padded payload", f"{header}.{payload}=.{signature}"),
        ("space before", f" {token}"),
        ("space after", f"{token} "),
        ("newline after", f"{token}\n"),
        ("CRLF after", f"{token}\r\n"),
        ("tab inside", f"{header}\t.{payload}.{signature}"),
        ("newline inside", f"{header}.{payload[:10]}\n{payload[10:]}.{signature}"),
        ("NUL after", f"{token}\0"),
        ("NUL inside", f"{header}.\0{payload}.{signature}"),
        ("quoted", f'"{token}"'),
        ("with its scheme", f"Bearer {token}"),
        ("percent-encoded dots", token.replace(".", "%2E")),
        ("two tokens", f"{token},{token}"),
        ("another signature after a space", f"{token} {signature}"),
        ("standard alphabet", f"{header}.{payload}.{'+/' + signature[2:]}"),
    ):
        yield Case(f"encoding: {name}", changed, SHAPE)
    for name, changed in (
        ("BOM before", f"\ufeff{token}"),
        ("full-width dots", token.replace(".", "\uff0e")),
        ("full-width letter", f"\uff45{token[1:]}"),
        ("lone surrogate", f"{token}\ud800"),
        ("Arabic digit", f"{token}\u0661"),
    ):
        yield Case(f"encoding: {name}", changed, SIZE)
    yield from _trailing_bits(forge)
    flat = {"protected": header, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
    yield Case("flattened JSON serialisation", json.dumps(flat), SHAPE)
    yield Case("general JSON serialisation", json.dumps(general), SHAPE)
    mixed = f'{{"  {header}.{b64(compact(forge.claims(sub="x")))}.{signature}":"","payload":"{payload}"}}'
    yield Case("JSON and compact mixed (CVE-2022-39227)", mixed, SHAPE)


def _trailing_bits(forge: Forge) -> Iterator[Case]:
    """Parts whose last character carries bits that decode to nothing, signed as they are written."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    header, payload = compact(forge.header()), compact(forge.claims())
    while len(header) % 3 != 1:
        header += b" "
    while len(payload) % 3 != 2:
        payload += b" "
    stray_header = b64(header)[:-1] + alphabet[alphabet.index(b64(header)[-1]) + 5]
    stray_payload = b64(payload)[:-1] + alphabet[alphabet.index(b64(payload)[-1]) + 3]
    yield Case("trailing bits in the header", forge.resigned(stray_header, b64(payload)), CANONICAL)
    yield Case("trailing bits in the payload", forge.resigned(b64(header), stray_payload), CANONICAL)
    signed, _, signature = forge.resigned(b64(header), b64(payload)).rpartition(".")
    if len(unb64(signature)) % 3:
        stray = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
        yield Case("trailing bits in the signature", f"{signed}.{stray}", CANONICAL)
    yield Case(
        "a header of one character too many", forge.resigned(b64(header[:-1]) + "A", b64(payload)), BASE64
    )


def json_tricks(forge: Forge) -> Iterator[Case]:
    """Headers and payloads that two JSON readers understand differently (RFC 8725 section 3.7)."""
    claims, header = compact(forge.claims()), compact(forge.header())
    text = claims.decode()
    body = text[1:-1]
    for name, payload, reason in (
        ("duplicate sub, ours last", f'{{"sub":"x",{body}}}', DUPLICATE),
        ("duplicate sub, ours first", f'{{{body},"sub":"x"}}', DUPLICATE),
        ("duplicate sub, equal", f'{{{body},"sub":"{forge.user_id}"}}', DUPLICATE),
        ("duplicate by an escape", f'{{"\\u0073ub":"x",{body}}}', DUPLICATE),
        ("duplicate exp", f'{{"exp":0,{body}}}', DUPLICATE),
        ("lone surrogate in a value", text.replace('"pwd"', '"\\ud800"'), SURROGATE),
        ("lone surrogate in a name", f'{{"\\udfff":1,{body}}}', SURROGATE),
        ("NaN", text.replace('"pwd"', "NaN"), CONSTANT),
        ("Infinity", text.replace('"pwd"', "Infinity"), CONSTANT),
        ("-Infinity", text.replace('"pwd"', "-Infinity"), CONSTANT),
        ("a list", f"[{text}]", OBJECT),
        ("a string", json.dumps(text), OBJECT),
        ("null", "null", OBJECT),
        ("a number", "1", OBJECT),
        ("two objects", f"{text}{text}", JSON),
        ("something after it", f"{text}x", JSON),
        ("NUL after it", f"{text}\0", JSON),
        ("a trailing comma", f"{{{body},}}", JSON),
        ("a comment", f"{text[:-1]}/**/}}", JSON),
        ("single quotes", text.replace('"', "'"), JSON),
        ("a raw control character", text.replace("pwd", "p\x01d"), JSON),
        ("cut off", text[:-1], JSON),
        ("only a space", " ", JSON),
        ("a BOM", f"\ufeff{text}", JSON),
        ("nested lists", text.replace('"pwd"', "[" * 1000 + "]" * 1000), NESTED),
        ("nested lists without an end", "[" * 5000, NESTED),
        ("nested objects", '{"a":' * 800 + "1" + "}" * 800, NESTED),
    ):
        yield Case(f"payload: {name}", forge.token(claims=payload.encode()), reason)
    for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        reason = UTF8 if coding in {"utf-16", "utf-32"} else JSON
        yield Case(f"payload: {coding}", forge.token(claims=text.encode(coding)), reason)
        yield Case(f"header: {coding}", forge.token(header.decode().encode(coding)), reason)
    for name, stray in (
        ("Latin-1", b"\xe9"),
        ("overlong", b"\xc0\xaf"),
        ("CESU-8", b"\xed\xa0\x80"),
        ("cut", b"\xc3"),
    ):
        yield Case(f"payload: {name}", forge.token(claims=claims.replace(b"pwd", stray)), UTF8)
    own = forge.pair.algorithm.encode()
    yield Case("header: duplicate alg", forge.token(b'{"alg":"none",' + header[1:]), DUPLICATE)
    yield Case("header: duplicate alg, equal", forge.token(b'{"alg":"' + own + b'",' + header[1:]), DUPLICATE)
    yield Case("header: duplicate by an escape", forge.token(b'{"\\u0061lg":"none",' + header[1:]), DUPLICATE)
    yield Case("header: duplicate kid", forge.token(b'{"kid":"x",' + header[1:]), DUPLICATE)
    yield Case("header: BOM", forge.token(b"\xef\xbb\xbf" + header), JSON)
    yield Case("header: a list", forge.token(b"[" + header + b"]"), OBJECT)
    yield Case("header: empty object", forge.token(b"{}"), HEADER)
    yield Case("header: not JSON", forge.token(b"alg"), JSON)


def claims_retyped(forge: Forge) -> Iterator[Case]:
    """Every claim left out, and as every other type (CVE-2024-53861 and its kin)."""
    reasons = {"iss": PARTY, "aud": PARTY, "sub": ID, "sid": ID, "jti": ID, "amr": METHODS}
    for name in forge.claims():
        yield Case(f"no {name}", forge.token(claims=forge.claims(**{name: ABSENT})), CLAIMS)
        reason = reasons.get(name, DATE)
        wrong: tuple[object, ...] = (
            None,
            True,
            False,
            "",
            "x",
            [],
            {},
            [forge.claims()[name]],
            {"a": 1},
            "\0",
        )
        for value in wrong:
            refusal = METHOD if name == "amr" and value == [["pwd"]] else reason
            yield Case(f"{name} {value!r:.30}", forge.token(claims=forge.claims(**{name: value})), refusal)
        if reason is not DATE:
            yield Case(f"{name} 7", forge.token(claims=forge.claims(**{name: 7})), reason)
    for name in ("iat", "exp", "auth_time"):
        date = forge.claims()[name]
        text = compact(forge.claims()).decode()
        for number, refusal in (
            (f"{date}.0", FLOAT),
            (f"{date}.5", FLOAT),
            ("1e30", FLOAT),
            ("1E9", FLOAT),
            ("1e400", FLOAT),
            ("-0.0", FLOAT),
            ("NaN", CONSTANT),
            ("9" * 5000, LARGE),
            ("9" * 17, LARGE),
            ("9" * 16, DATE),
            ("253402300800", DATE),
            ("-1", DATE),
            (f'"{date}"', DATE),
            (f"0{date}", JSON),
            (f"+{date}", JSON),
            (f"0x{date}", JSON),
        ):
            token = forge.token(claims=text.replace(f'"{name}":{date}', f'"{name}":{number}').encode())
            yield Case(f"{name} {number:.20}", token, refusal)
    for name, extra in (
        ("nbf", 0),
        ("scope", "admin"),
        ("role", "admin"),
        ("email", "a@b.example"),
        ("cnf", {}),
        ("", 1),
    ):
        yield Case(f"and {name!r}", forge.token(claims=forge.claims(**{name: extra})), CLAIMS)
    yield Case(
        "a name in capitals", forge.token(claims=forge.claims(sub=ABSENT, Sub=str(forge.user_id))), CLAIMS
    )


def claims_moved(forge: Forge) -> Iterator[Case]:
    """Claims of the right type with a value that is almost right."""
    for name, own in (("iss", forge.issuer), ("aud", forge.audience)):
        near = [
            own[:-1],
            own[1:],
            own + "x",
            own + "/",
            own.upper(),
            f" {own}",
            f"{own} ",
            f"{own}\0",
            f"{own}\n",
        ]
        for value in (
            *near,
            f"{own},{own}",
            own.replace("a", "\u0430") + "\u200b",
            [own, "another"],
            [own, own],
        ):
            yield Case(f"{name} {value!r:.40}", forge.token(claims=forge.claims(**{name: value})), PARTY)
    for name, identifier in (("sub", forge.user_id), ("sid", forge.session_id)):
        text = str(identifier)
        for value in (
            text.upper(),
            identifier.hex,
            f"{{{text}}}",
            f"urn:uuid:{text}",
            f" {text}",
            f"{text}\n",
            f"{text}\0",
            text[:-1],
            text.replace("-", "\u2010"),
            text.replace("7", "\uff17"),
            text.replace("7", "\u0667"),
            "admin",
            "%00",
            "a" * 3000,
        ):
            yield Case(f"{name} {value!r:.50}", forge.token(claims=forge.claims(**{name: value})), ID)
    for methods in (["pwd"] * 9, []):
        yield Case(f"amr of {len(methods)}", forge.token(claims=forge.claims(amr=methods)), METHODS)
    for method in ("", "PWD", "p d", "pwd\0", "pwd\n", "\u0440wd", "a" * 33, 1, None, {"pwd": 1}):
        yield Case(f"amr [{method!r:.30}]", forge.token(claims=forge.claims(amr=[method])), METHOD)
    for name, iat, exp, reason in (
        ("expired this second", -600, 0, EXPIRED),
        ("expired long ago", -86_400, -85_800, EXPIRED),
        ("issued 31 seconds ahead", 31, 600, FUTURE),
        ("issued tomorrow", 86_400, 87_000, FUTURE),
        ("lives for 601 seconds", -1, 600, DATES),
        ("lives for a year", -1, 31_536_000, DATES),
        ("ends as it begins", 5, 5, DATES),
        ("ends before it begins", 5, 4, DATES),
    ):
        yield Case(name, forge.token(claims=_life(forge, iat, exp)), reason)
    late = int(forge.now.timestamp())
    yield Case("logged in after it was issued", forge.token(claims=forge.claims(auth_time=late)), DATES)


def _life(forge: Forge, iat: int, exp: int) -> dict[str, object]:
    now = int(forge.now.timestamp())
    return forge.claims(iat=now + iat, exp=now + exp, auth_time=now - 90_000)


def signatures(forge: Forge) -> Iterator[Case]:
    """Signatures that are missing, zero, re-encoded, malleated, or another token's."""
    signed, _, signature = forge.token().rpartition(".")
    example = Example(forge.pair.algorithm, signed.encode(), public_half(forge.pair.key), unb64(signature))
    for name, forged in forgeries(example):
        yield Case(f"signature: {name}", f"{signed}.{b64(forged)}", SHAPE if not forged else SIGNATURE)
    another = forge.token(claims=forge.claims(sid="0197a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2e"))
    yield Case("signature: another token's", f"{signed}.{another.rpartition('.')[2]}", SIGNATURE)
    yield Case(
        "signature: of the payload alone",
        f"{signed}.{b64(forge.sign(signed.split('.')[1].encode()))}",
        SIGNATURE,
    )
    yield Case(
        "signature: of the decoded parts", f"{signed}.{b64(forge.sign(compact(forge.claims())))}", SIGNATURE
    )
    yield Case("header of one, payload of another", _spliced(forge.token(), another), SIGNATURE)


def _spliced(one: str, another: str) -> str:
    header, _, signature = one.split(".")
    return f"{header}.{another.split('.')[1]}.{signature}"


def sizes(forge: Forge) -> Iterator[Case]:
    """Too much of anything. Spaces in the JSON make them sound in every other way."""
    yield Case("8 KiB and one byte", forge.token(claims=_padded(forge, 8193)), SIZE)
    yield Case("1 MiB of payload", forge.token(claims=_padded(forge, 1_048_576)), SIZE)
    yield Case("1 MiB of header", forge.token(compact(forge.header()) + b" " * 786_432), SIZE)
    yield Case("1 MiB of signature", f"{forge.token()}{'A' * 1_048_576}", SIZE)
    yield Case("10,000 dots", "." * 10_000, SIZE)
    yield Case("8,000 dots", "." * 8_000, SHAPE)
    yield Case("8,192 letters", "A" * 8_192, SHAPE)
    yield Case("a refresh token", f"dsr1_{'A' * 70}", SHAPE)
    yield Case("a mailed token", f"dot1_{'A' * 43}", SHAPE)


def _padded(forge: Forge, length: int) -> bytes:
    """Claims that make the token this long: the nearest length that base64url can make, from the inside."""
    header, payload, signature = forge.token().split(".")
    room = length - len(header) - len(signature) - 2
    plain = room * 3 // 4 if length <= 8192 else room * 3 // 4 + 1
    return compact(forge.claims()) + b" " * (plain - len(unb64(payload)))
