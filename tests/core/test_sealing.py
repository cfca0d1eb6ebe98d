"""SECRET_KEY and what is derived from it: one key a purpose, and ciphertexts that open only where they belong."""

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from dashtam.core.sealing import CannotOpenError, SecretKey

SECRET = b"Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5e"


@given(plain=st.binary(max_size=200), purpose=st.text(max_size=20), row=st.text(max_size=20))
def test_what_is_sealed_opens_for_its_purpose_and_row(plain: bytes, purpose: str, row: str) -> None:
    key = SecretKey(SECRET)
    assert SecretKey(SECRET).open(purpose, key.seal(purpose, plain, row), row) == plain


def test_it_opens_for_no_other_purpose_row_or_key_and_not_when_touched() -> None:
    sealed = SecretKey(SECRET).seal("mail", b"plain", "row 1")
    assert SecretKey(SECRET).open("mail", sealed, "row 1") == b"plain"
    wrong = [
        (SecretKey(SECRET), "keys", sealed, "row 1"),
        (SecretKey(SECRET), "mail", sealed, "row 2"),
        (SecretKey(SECRET[::-1]), "mail", sealed, "row 1"),
        *((SecretKey(SECRET), "mail", sealed[:cut], "row 1") for cut in range(len(sealed))),
        *(
            (SecretKey(SECRET), "mail", sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :], "row 1")
            for i in range(len(sealed))
        ),
        (SecretKey(SECRET), "mail", sealed + b"\0", "row 1"),
    ]
    for key, purpose, ciphertext, row in wrong:
        with pytest.raises(CannotOpenError):
            key.open(purpose, ciphertext, row)


def test_the_same_plain_text_never_seals_alike() -> None:
    key = SecretKey(SECRET)
    assert len({key.seal("mail", b"plain", "row") for _ in range(500)}) == 500


def test_each_purpose_has_a_key_of_its_own_by_rfc_5869_and_the_secret_is_none_of_them() -> None:
    keys = {
        purpose: SecretKey(SECRET).subkey(purpose) for purpose in ("refresh-token", "throttle", "mail", "")
    }
    assert len({*keys.values(), SECRET}) == 5
    assert {len(key) for key in keys.values()} == {32}
    expected = HKDF(SHA256(), 32, salt=None, info=b"dashtam/v1/throttle").derive(SECRET)
    assert keys["throttle"] == expected


def test_the_secret_does_not_show() -> None:
    key = SecretKey(SECRET)
    key.seal("mail", b"", "")
    assert SECRET.decode() not in repr(key) + str(key) + f"{key!r:>80}"
