"""A body is read as RFC 8259 means it or refused with 400, and never ends in a 500."""

import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashtam.http.strict_json import DEPTH, BadJsonError, loads

HOSTILE = {
    "empty": b" ",
    "not json": b"hello",
    "name twice": b'{"email": "a@b.example", "email": "c@d.example"}',
    "name twice, spelled differently": b'{"email": 1, "\\u0065mail": 2}',
    "name twice, deeper": b'{"a": [{"b": 1, "b": 2}]}',
    "byte order mark": b'\xef\xbb\xbf{"email": "a@b.example"}',
    "utf-16": '{"email": "a@b.example"}'.encode("utf-16"),
    "utf-16 without mark": '{"email": "a@b.example"}'.encode("utf-16-le"),
    "utf-32": "{}".encode("utf-32-be"),
    "latin-1": '{"name": "\xe9"}'.encode("latin-1"),
    "overlong": b'{"name": "\xc0\xaf"}',
    "surrogate in utf-8": b'{"name": "\xed\xa0\x80"}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": Infinity}',
    "-Infinity": b'{"name": -Infinity}',
    "1e400": b'{"name": 1e400}',
    "-1e999": b"[-1e999]",
    "5,000 digits": b'{"name": ' + b"9" * 5000 + b"}",
    "high surrogate": b'{"name": "\\ud800"}',
    "low surrogate": b'{"name": "\\udc00"}',
    "surrogates the wrong way round": b'{"name": "\\udc00\\ud800"}',
    "surrogate in a name": b'{"\\ud800": 1}',
    "surrogate in a list": b'[["\\ud83d"]]',
    "too deep": b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1),
    "too deep, mixed": b'{"a":[' * 9 + b"]}" * 9,
    "ten thousand deep": b"[" * 10_000,
    "trailing comma": b'{"email": "a@b.example",}',
    "trailing data": b'{"email": "a@b.example"} {}',
    "comment": b'{"email": "a@b.example"} // hi',
    "single quotes": b"{'email': 1}",
    "raw newline in a string": b'{"name": "a\nb"}',
    "raw NUL in a string": b'{"name": "a\x00b"}',
    "NUL after the end": b"{}\x00",
    "leading zero": b'{"name": 01}',
    "plus sign": b'{"name": +1}',
    "hexadecimal": b'{"name": 0x1}',
    "other digits": '{"name": \uff11}'.encode(),
    "other space": '\u00a0{"name": 1}'.encode(),
    "form feed": b"\x0c{}",
    "unclosed": b'{"name": "a',
    "bad escape": b'{"name": "\\x41"}',
    "short escape": b'{"name": "\\u12"}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_json_is_malformed_and_not_quoted(client: httpx2.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/things", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:problem-type:dashtam:malformed-request"
    assert "a@b" not in answer.text


def test_nesting_up_to_the_limit_is_read() -> None:
    deepest = b"[" * DEPTH + b"]" * DEPTH
    assert loads(deepest) == json.loads(deepest)


def test_brackets_inside_strings_are_no_nesting() -> None:
    assert loads(json.dumps({"name": "[{" * 50 + '\\"['}).encode()) == {"name": "[{" * 50 + '\\"['}


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values, st.booleans())
def test_every_plain_value_is_read_as_it_was_meant(value: object, ascii_only: bool) -> None:  # noqa: FBT001
    assert loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0123d8ef \n', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_way(raw: bytes) -> None:
    try:
        value = loads(raw)
    except BadJsonError as refusal:
        assert str(refusal).startswith(("The body", "An object"))  # noqa: PT017  both outcomes are sound
    else:
        assert json.dumps(value).encode("utf-8")
