"""The start-up test of the cryptography that is installed (CVE-2022-21449 and its kin).

Published examples must verify; the same examples with zero, oversize, re-encoded or malleated signatures must
not. It costs a millisecond or two, and a library that fails it never gets to judge a token.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from dashtam.core.signatures import ED25519_ORDER, P256_ORDER, SCHEMES, Key, Scheme

_CLAIMS = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

_REMEDY = "Do not run on it: install the locked versions of cryptography and joserfc."


class CryptoUnsoundError(Exception):
    """The installed cryptography accepts what it must refuse, or refuses what it must accept."""


@dataclass(frozen=True)
class Example:
    """A published signature: what was signed, with which key, and the signature in its raw form."""

    algorithm: str
    signed: bytes
    key: Key
    signature: bytes


def _example(algorithm: str, signed: str, key: Key, signature: str) -> Example:
    return Example(algorithm, signed.encode(), key, urlsafe_b64decode(signature.encode()))


def es256() -> Example:
    """RFC 7515 appendix A.3, whose signature has the higher s and is given here with the lower one."""
    example = _example(
        "ES256",
        "eyJhbGciOiJFUzI1NiJ9." + _CLAIMS,
        ECKey.import_key(
            {
                "kty": "EC",
                "crv": "P-256",
                "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            }
        ),
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    )
    return Example(example.algorithm, example.signed, example.key, _other_s(example.signature))


def ed25519() -> Example:
    """RFC 8037 appendix A.4."""
    return _example(
        "EdDSA",
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        OKPKey.import_key(
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        ),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    )


def rs256() -> Example:
    """RFC 7515 appendix A.2."""
    return _example(
        "RS256",
        "eyJhbGciOiJSUzI1NiJ9." + _CLAIMS,
        RSAKey.import_key(
            {
                "kty": "RSA",
                "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJ"
                "PMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0"
                "LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD"
                "Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2"
                "PAcDTW9gb54h4FRWyuXpoQ",
                "e": "AQAB",
            }
        ),
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb"
        "F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383"
        "LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy"
        "wlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    )


def _other_s(signature: bytes) -> bytes:
    return signature[:32] + (P256_ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


def forged_es256(sound: bytes) -> Iterator[tuple[str, bytes]]:
    """Signatures that ES256 must refuse, by name, made from one that it must accept."""
    r, s = int.from_bytes(sound[:32], "big"), int.from_bytes(sound[32:], "big")
    one, order = (1).to_bytes(32, "big"), P256_ORDER.to_bytes(32, "big")
    zero, most = bytes(32), b"\xff" * 32
    yield "r = s = 0", zero + zero
    yield "r = 0", zero + sound[32:]
    yield "s = 0", sound[:32] + zero
    yield "r = n", order + sound[32:]
    yield "s = n", sound[:32] + order
    yield "r = s = n", order + order
    yield "r = s = 1", one + one
    yield "r = n, s = 1", order + one
    yield "r = s = 2^256 - 1", most + most
    yield "higher s", _other_s(sound)
    yield "DER", encode_dss_signature(r, s)


def forged_ed25519(sound: bytes) -> Iterator[tuple[str, bytes]]:
    """The same for Ed25519 (RFC 8032 section 5.1.7: S is below the order)."""
    s = int.from_bytes(sound[32:], "little")
    yield "zero", bytes(64)
    yield "S + L", sound[:32] + (s + ED25519_ORDER).to_bytes(32, "little")
    yield "S = 0", sound[:32] + bytes(32)
    yield "S = L", sound[:32] + ED25519_ORDER.to_bytes(32, "little")
    yield "R neutral, S = 0", (1).to_bytes(32, "little") + bytes(32)


def forged_rs256(sound: bytes, modulus: int) -> Iterator[tuple[str, bytes]]:
    """The same for RS256."""
    size = len(sound)
    yield "zero", bytes(size)
    yield "one", (1).to_bytes(size, "big")
    yield "modulus", modulus.to_bytes(size, "big")
    yield "modulus - 1", (modulus - 1).to_bytes(size, "big")


def forgeries(example: Example) -> Iterator[tuple[str, bytes]]:
    """What must be refused in place of this example's signature."""
    sound = example.signature
    yield "empty", b""
    yield "short", sound[:-1]
    yield "long", sound + b"\0"
    yield "led by a zero", b"\0" + sound
    yield "doubled", sound + sound
    yield "a flipped bit", sound[:-1] + bytes([sound[-1] ^ 1])
    if isinstance(example.key, ECKey):
        yield from forged_es256(sound)
    elif isinstance(example.key, OKPKey):
        yield from forged_ed25519(sound)
    else:
        yield from forged_rs256(sound, example.key.public_key.public_numbers().n)


def prove_sound(schemes: Mapping[str, Scheme] = SCHEMES) -> None:
    """Raise CryptoUnsoundError unless every algorithm accepts its published example and no forgery of it."""
    for example in (es256(), ed25519(), rs256()):
        algorithm = schemes[example.algorithm].algorithm
        if not algorithm.verify(example.signed, example.signature, example.key):
            raise CryptoUnsoundError(
                f"The installed cryptography refuses a sound {example.algorithm} signature. {_REMEDY}"
            )
        for name, forged in forgeries(example):
            if algorithm.verify(example.signed, forged, example.key):
                forgery = f"a forged {example.algorithm} signature ({name})"
                raise CryptoUnsoundError(f"The installed cryptography accepts {forgery}. {_REMEDY}")
