"""Everything that is derived from SECRET_KEY: one sub-key a purpose, and encryption at rest.

Sub-keys come from HKDF-SHA-256 (RFC 5869), so that a key for one purpose says nothing about another.
Encryption is AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce and the row's own name as associated
data: a ciphertext moved to another row does not open.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12
_KEY_BYTES = 32


class CannotOpenError(Exception):
    """The ciphertext was not made with this SECRET_KEY, for this purpose and this row."""


class SecretKey:
    """SECRET_KEY, which is never used itself: only what is derived from it for a named purpose."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._ciphers: dict[str, AESGCM] = {}

    def __repr__(self) -> str:
        return "SecretKey(***)"

    def subkey(self, purpose: str) -> bytes:
        """32 bytes that belong to this purpose alone."""
        return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"dashtam/v1/" + purpose.encode()).derive(
            self._secret
        )

    def seal(self, purpose: str, plain: bytes, bound_to: str) -> bytes:
        """Nonce and ciphertext of `plain`, which opens only with the same purpose and `bound_to`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(purpose).encrypt(nonce, plain, bound_to.encode())

    def open(self, purpose: str, sealed: bytes, bound_to: str) -> bytes:
        """The plain bytes that `seal` was given; CannotOpenError for anything else."""
        try:
            return self._cipher(purpose).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode()
            )
        except (InvalidTag, ValueError) as error:
            raise CannotOpenError from error

    def _cipher(self, purpose: str) -> AESGCM:
        if purpose not in self._ciphers:
            self._ciphers[purpose] = AESGCM(self.subkey(purpose))
        return self._ciphers[purpose]
