"""Common passwords and the user's own words are refused in every form the docstrings name, no others."""

import gzip
import random
import string
import subprocess
import sys
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashtam.core.blocklist import LONGEST_TRIVIAL_UNIT, context_reason, fold, is_common

POLICY_LENGTH = 15
ENTRIES = (
    gzip.decompress((files("dashtam.core") / "data" / "common_passwords.txt.gz").read_bytes())
    .decode()
    .partition("\n\n")[2]
    .splitlines()
)
LISTED = frozenset(ENTRIES)
LONG_ENTRIES = [entry for entry in ENTRIES if len(entry) >= POLICY_LENGTH]
entries = st.sampled_from(ENTRIES)


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def refusal(password: str) -> str | None:
    return context_reason(
        password, email="alice.smith@harbour-mail.example", name="Alice Smith", service="dashtam"
    )


def test_list_holds_the_three_thousand_that_asvs_asks_for() -> None:
    assert len(LONG_ENTRIES) >= 3_000
    assert sum(8 <= len(entry) < POLICY_LENGTH for entry in ENTRIES) >= 3_000


def test_list_is_sorted_folded_and_without_duplicates() -> None:
    assert sorted(LISTED, key=str.encode) == ENTRIES
    assert [entry for entry in ENTRIES if fold(entry) != entry] == []


def test_packed_list_is_small_and_carries_no_time_stamp() -> None:
    packed = (files("dashtam.core") / "data" / "common_passwords.txt.gz").read_bytes()
    assert len(packed) < 300_000
    assert packed[4:8] == bytes(4)
    assert gzip.decompress(packed).startswith(b"# Common passwords")


def test_two_hundred_random_entries_are_refused_and_their_twins_pass() -> None:
    draw = random.Random(20260106)  # noqa: S311 - a sample, not a secret
    for entry in draw.sample(LONG_ENTRIES, 200):
        assert is_common(entry), entry
        assert not is_common(f"tulips {entry} ketchup"), entry


def test_first_and_last_entry_are_found() -> None:
    assert is_common(ENTRIES[0])
    assert is_common(ENTRIES[-1])


@given(entries)
def test_case_and_compatibility_forms_do_not_hide_an_entry(entry: str) -> None:
    assert is_common(entry.upper()) or fold(entry.upper()) not in LISTED
    assert is_common(full_width(entry))


@given(st.text(min_size=1, max_size=80))
def test_lookup_agrees_with_a_plain_set(password: str) -> None:
    text = fold(password)
    repeats = any(text[size:] == text[:-size] for size in range(1, len(text) // 2 + 1))
    assert is_common(password) == (text in LISTED) or repeats


@given(entries, st.integers(0, 60), st.characters(codec="utf-8"))
def test_one_character_more_is_another_password(entry: str, place: int, char: str) -> None:
    near = entry[:place] + char + entry[place:]
    text = fold(near)
    repeats = any(text[size:] == text[:-size] for size in range(1, len(text) // 2 + 1))
    assert is_common(near) == (text in LISTED) or repeats


@given(st.text(min_size=1, max_size=LONGEST_TRIVIAL_UNIT), st.integers(2, 40), st.integers(0, 3))
def test_a_short_block_repeated_is_refused(block: str, times: int, cut: int) -> None:
    unit = fold(block)
    if 0 < len(unit) <= LONGEST_TRIVIAL_UNIT and fold(unit * 2) == unit * 2:
        assert is_common(unit * times + unit[: min(cut, len(unit) - 1)])


@pytest.mark.parametrize(
    "password",
    [
        "Password1234567",
        "PASSWORDPASSWORD",
        "P@ssw0rd1234567",
        "qwertyuiop12345",
        "1qaz2wsx3edc4rfv",
        "abcdefghijklmno",
        "123456789012345",
        "aaaaaaaaaaaaaaa",
        "abcabcabcabcabca",
        "Sunshine-Sunshine-Sunshine",
        "correct horse battery staple",
        "September2024!!",
        full_width("password1234567"),
        "😀" * 15,
        "\ud800" * 15,
    ],
)
def test_known_bad_passwords_are_common(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "\n",
        "# Common passwords",
        "password\n",
        "tulips harbour ketchup",
        "830571926485037",
        "harbour-ketchup-harbour-ketchup",
        "كلمة سر طويلة جدا لا تعرفها",
        "\"'<>\\;-- drop tables",
        "sunshinesunshine over the harbour",
        "\ud800 lone surrogate and more",
        "x7q" + string.ascii_letters * 19,
    ],
)
def test_sound_passwords_are_not_common(password: str) -> None:
    assert not is_common(password)


@pytest.mark.parametrize(
    ("password", "source"),
    [
        ("alice.smith2024!!", "email"),
        ("Alice.Smith19840211", "email"),
        ("ALICE_SMITH_ALICE_SMITH", "email"),
        ("alicealicealice", "email"),
        ("smithalicesmithal", "email"),
        ("@l1c3 $m1th 2024", "email"),
        ("a.l.i.c.e.s.m.i.t.h", "email"),
        ("xXalice.smithXx", "email"),
        ("htimsecila12345", "email"),
        ("alice.smith@harbour-mail.example", "email"),
        ("harbour-mail2024", "email"),
        ("Álice Smíth 2024", "email"),
        ("alicesmithpassword1", "email"),
        ("DashtamDashtam!", "service"),
        ("dashtam12345678", "service"),
        ("alicesmithqwerty", "email"),
        ("d4sht4m-2024-2025", "service"),
        ("!!!!dashtam!!!!!!", "service"),
    ],
)
def test_own_words_with_a_trivial_decoration_are_refused(password: str, source: str) -> None:
    assert refusal(password) == source


@pytest.mark.parametrize(
    "password",
    [
        "alice keeps 4 tulips in the harbour",
        "my dashtam tulips 2024",
        "smithereens everywhere",
        "alice8305729164",
        "tulips harbour ketchup",
        "830571926485037",
        "!!!!!!!!2024!!!!!!!!",
        "malice and smithy",
        "",
    ],
)
def test_a_password_that_says_more_than_the_own_words_passes(password: str) -> None:
    assert refusal(password) is None


@pytest.mark.parametrize(
    ("email", "name", "password", "source"),
    [
        ("x@y.example", "Zoë Müller-Lüdenscheidt", "mullerludenscheidt!", "name"),
        ("x@y.example", "王小明", "王小明123456789!!!!", "name"),
        ("x@y.example", "Li Wu", "liwuliwuliwu2024", "name"),
        ("79161234567@y.example", "", "79161234567!!!!", "email"),
        ("bob1984+news@y.example", "", "Bob1984Bob1984!", "email"),
        ("x@y.example", "", "tulips harbour ketchup", None),
        ("x@y.example", "Al", "al fresco tulips", None),
        ("me@me.example", "", "meme tulips harbour", None),
        ("", "", "tulips harbour ketchup", None),
        (
            "oilom@y.example",
            "",
            "2024OilomOilomOilom!",
            "email",
        ),  # backwards it is "molio", which is in there too
        ("leo@y.example", "", "130130830571926", None),
        ("no-at-sign", "  ", "tulips harbour ketchup", None),
        ("q@-._", "", "tulips harbour ketchup", None),
    ],
)
def test_words_come_from_address_and_name(email: str, name: str, password: str, source: str | None) -> None:
    assert context_reason(password, email=email, name=name) == source


def test_service_name_is_a_setting() -> None:
    assert context_reason("AcmeBank-2024!!!", email="x@y.example", name="", service="Acme Bank") == "service"
    assert context_reason("AcmeBank-2024!!!", email="x@y.example", name="", service="dashtam") is None


@given(
    st.text(string.ascii_lowercase, min_size=5, max_size=12),
    st.sampled_from(["", "1", "2024", "!!", "123456", "19840211", "_01_"]),
    st.sampled_from(["", "!", "!!!", "2025", "-7"]),
    st.integers(1, 3),
)
def test_any_local_part_decorated_is_refused(local: str, before: str, after: str, times: int) -> None:
    password = before + local.title() * times + after
    assert context_reason(password, email=f"{local}@y.example", name="") is not None


@given(st.text(max_size=300), st.text(max_size=80), st.text(max_size=80))
def test_context_words_that_are_no_part_of_the_password_never_refuse_it(
    password: str, email: str, name: str
) -> None:
    found = context_reason(f"{password} ketchup over harbour", email="q@y.example", name="")
    assert found is None
    assert context_reason(password, email=email, name=name) in {None, "email", "name", "service"}


def test_loaded_list_is_thin() -> None:
    """Measured by the allocator in a fresh interpreter, so it is the same on every machine."""
    script = (
        "import tracemalloc; from dashtam.core.blocklist import is_common; tracemalloc.start()\n"
        "is_common('tulips harbour ketchup'); print(*tracemalloc.get_traced_memory())"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    held, peak = map(int, answer.stdout.split())
    assert held < 2_000_000
    assert peak < 4_000_000
