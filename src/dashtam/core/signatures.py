"""The three ways an access token may be signed. joserfc does the cryptography; what it may do is pinned here.

Each algorithm has a registry of its own that knows nothing else: no HMAC, no `none`, no header parameter but
`alg`, `typ` and `kid` (RFC 8725 sections 3.1 and 3.10). ES256 signatures are made and accepted with the lower
`s` alone, because (r, s) and (r, n-s) both verify and a token shall have one form only.
"""

from collections.abc import Callable
from dataclasses import dataclass

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import EdDSAAlgorithm, ESAlgorithm, JWSAlgModel, RSAAlgorithm
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.registry import HeaderParameter
from typing_extensions import override

Key = ECKey | OKPKey | RSAKey

TOKEN_TYPE = "at+jwt"  # noqa: S105  RFC 9068 section 2.1
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_P256_BYTES = 32
_RSA_BITS = 3072


class _LowSES256(ESAlgorithm):
    """ES256 with one signature a message: s is at most half the order of the curve."""

    @override
    def sign(self, msg: bytes, key: ECKey) -> bytes:
        signature = super().sign(msg, key)
        s = int.from_bytes(signature[_P256_BYTES:], "big")
        return signature[:_P256_BYTES] + min(s, P256_ORDER - s).to_bytes(_P256_BYTES, "big")

    @override
    def verify(self, msg: bytes, sig: bytes, key: ECKey) -> bool:
        return int.from_bytes(sig[_P256_BYTES:], "big") <= P256_ORDER // 2 and super().verify(msg, sig, key)


class _Pinned(jws.JWSRegistry):
    """A registry of one algorithm and three header parameters, each of them required."""

    default_header_registry = {  # noqa: RUF012  joserfc declares it so
        "alg": HeaderParameter("Algorithm", "str", required=True),
        "typ": HeaderParameter("Type", "str", required=True),
        "kid": HeaderParameter("Key ID", "str", required=True),
    }

    def __init__(self, algorithm: JWSAlgModel) -> None:
        super().__init__(algorithms=[algorithm.name])
        self._algorithm = algorithm

    @override
    def get_alg(self, name: str) -> JWSAlgModel:
        # joserfc's own would warn about the name EdDSA (RFC 9864 prefers Ed25519), which is the one that
        # verifiers in the field know.
        if name != self._algorithm.name:
            raise UnsupportedAlgorithmError
        return self._algorithm


@dataclass(frozen=True, slots=True)
class Scheme:
    """An algorithm, the class of its keys, how one is made, and the registry that allows nothing else."""

    algorithm: JWSAlgModel
    key_class: type[ECKey] | type[OKPKey] | type[RSAKey]
    generate: Callable[[], Key]
    registry: jws.JWSRegistry


def _scheme(
    algorithm: JWSAlgModel,
    key_class: type[ECKey] | type[OKPKey] | type[RSAKey],
    generate: Callable[[], Key],
) -> Scheme:
    return Scheme(algorithm, key_class, generate, _Pinned(algorithm))


SCHEMES: dict[str, Scheme] = {
    "ES256": _scheme(_LowSES256("ES256", "P-256", 256), ECKey, lambda: ECKey.generate_key("P-256")),
    "EdDSA": _scheme(EdDSAAlgorithm(), OKPKey, lambda: OKPKey.generate_key("Ed25519")),
    "RS256": _scheme(RSAAlgorithm(256), RSAKey, lambda: RSAKey.generate_key(_RSA_BITS)),
}


def private_key(algorithm: str, der: bytes) -> Key:
    """The private key in this PKCS #8 DER, if it is of this algorithm; JoseError or ValueError if not."""
    scheme = SCHEMES.get(algorithm)
    if scheme is None:
        raise UnsupportedAlgorithmError
    key = scheme.key_class.import_key(der)
    scheme.algorithm.check_key(key)
    if isinstance(key, OKPKey) and key.curve_name != "Ed25519":
        raise UnsupportedAlgorithmError
    return key


def public_half(key: Key) -> Key:
    """The same key without its private members, so that verifying can never sign."""
    return type(key).import_key(key.as_dict(private=False))


def sign(payload: bytes, key: Key, *, algorithm: str, kid: str) -> str:
    """The compact JWS of this payload, typed as an access token."""
    header = {"alg": algorithm, "typ": TOKEN_TYPE, "kid": kid}
    return jws.serialize_compact(header, payload, key, registry=SCHEMES[algorithm].registry)


def is_signed(token: str, key: Key, *, algorithm: str) -> bool:
    """Whether this token, which the pre-parser has let through, carries a signature of this key."""
    try:
        jws.deserialize_compact(token, key, registry=SCHEMES[algorithm].registry)
    except (JoseError, ValueError):
        return False
    return True
