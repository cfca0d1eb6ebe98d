"""The types of variables: which texts are of one, which of them mean the same, and when a variable is not set."""

from __future__ import annotations

import pytest

from dbparity.environment import Variable
from dbparity.environment.values import WRITTEN, Type, shown


def variable(kind: str, **more: object) -> Variable:
    return Variable("NAME", Type(kind), "What it is.", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("string", ["a b"]),
        ("integer", ["16", " 16 ", "+16", "016"]),
        ("number", ["0.5", ".5", "5e-1"]),
        ("boolean", ["true", "TRUE", "1", "yes", "on", "t", "Y"]),
        ("boolean", ["false", "False", "0", "no", "OFF", "f", "n"]),
        ("url", ["https://host/path", "https://host/path/"]),
        ("url", ["sqlite:///var/app.db"]),
        ("url", ["postgresql://u:pa/ss#w?rd@host:5432/name"]),
        ("path", ["var/app"]),
        ("list", ["a, b", "a,b", ",a,,b,"]),
    ],
)
def test_texts_that_mean_the_same(kind: str, texts: list[str]) -> None:
    assert [variable(kind).type_fault(text) for text in texts] == [""] * len(texts)
    assert len({variable(kind).effective(text) for text in texts}) == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", ""),
        ("integer", "1.0"),
        ("integer", "1_000"),
        ("integer", "٣"),
        ("integer", "9" * 5000),
        ("number", "half"),
        ("number", "nan"),
        ("number", "inf"),
        ("boolean", "maybe"),
        ("boolean", ""),
        ("url", "host/path"),
        ("url", "mailto:somebody"),
        ("url", "http://host:port/"),
        ("url", "http://user:word@host:port/"),
        ("url", "http://[::1/"),
        ("url", "://"),
        ("path", "a\0b"),
    ],
)
def test_texts_that_are_none_of_the_type(kind: str, text: str) -> None:
    assert variable(kind).type_fault(text) == f"must be {WRITTEN[Type(kind)]}"


def test_an_empty_text_can_mean_that_the_variable_is_not_set() -> None:
    assert variable("url").means_unset("")
    assert variable("list", default=()).effective("") == ()
    assert not variable("string", default="text").means_unset("")
    assert not variable("boolean").means_unset("")
    assert variable("string", default="text").effective(None) == "text"


def test_values_out_of_range() -> None:
    half = variable("number", minimum=0.5, maximum=1.5)
    assert [half.range_fault(text) for text in ("0.4", "0.5", "1.6")] == [
        "must be at least 0.5",
        "",
        "must be at most 1.5",
    ]
    assert variable("integer", choices=(1, 2)).range_fault("3") == "must be one of 1, 2"
    assert variable("boolean", choices=(True,)).range_fault("no") == "must be one of true"


def test_values_for_people() -> None:
    assert [shown(each) for each in (None, True, "", 3, ("a", "b"), ())] == [
        "not set",
        "true",
        "empty",
        "3",
        "a,b",
        "empty",
    ]
