"""What is not as declared is found in files and processes; what is, is not; and no secret is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from declared import CANARY, CONTRACT, FILES, found, written

from dbparity.environment import BadEnvFileError, Kind, check, check_files, load_contract

if TYPE_CHECKING:
    from pathlib import Path

    from dbparity.environment import Violation

TEST, CI, EXAMPLE = FILES.values()


def said(violations: list[Violation], folder: Path) -> list[tuple[str, str, str]]:
    return [(each.place.removeprefix(f"{folder}/"), each.variable, str(each.kind)) for each in violations]


def of_process(folder: Path, stage: str = "ci", **values: str) -> list[Violation]:
    return list(check(load_contract(written(folder)), stage, {"STAGE": stage, "PATH": "/bin", **values}))


def test_files_that_are_as_declared_have_nothing_to_be_said_of_them(tmp_path: Path) -> None:
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("ci", "place", "variable", "kind", "words"),
    [
        (CI.replace("API_PREFIX=/api\n", ""), ".env.ci", "API_PREFIX", Kind.MISSING, "is not set here, and is in"),
        (CI.replace("no", "true"), ".env.ci:3", "DEBUG", Kind.DIFFERS, "is true, and false in"),
        (CI.replace("/api", "/v2"), ".env.ci:4", "API_PREFIX", Kind.DIFFERS, "is /v2, and /api in"),
        (CI + "POOL_SIZE=5\n", ".env.test", "POOL_SIZE", Kind.MISSING, "is not set here, and is in"),
        (CI + "POOL_SIZE=9\n", ".env.test", "POOL_SIZE", Kind.MISSING, "(9; here 5); no reason is stated for test"),
        (CI + "SHOP_FOLDER=/srv\n", ".env.ci:5", "SHOP_FOLDER", Kind.DIFFERS, "is set here, and not in"),
        (CI + "POOL_SIZES=9\n", ".env.ci:5", "POOL_SIZES", Kind.UNDECLARED, "is not declared; POOL_SIZE is"),
        (CI + "PATH=/bin\n", ".env.ci:5", "PATH", Kind.UNDECLARED, "is not declared"),
        (CI.replace("no", "maybe"), ".env.ci:3", "DEBUG", Kind.ILL_TYPED, "must be true or false"),
        (CI.replace("no", ""), ".env.ci:3", "DEBUG", Kind.ILL_TYPED, "must be true or false"),
        (CI.replace("/api", "api"), ".env.ci:4", "API_PREFIX", Kind.OUT_OF_RANGE, "must match (/[a-z0-9]+)+"),
        (CI + "SECRET=canary-of-a-secret\n", ".env.ci:5", "SECRET", Kind.SECRET, "has a value in a committed"),
        (CI + "DEBUG=no\n", ".env.ci:5", "DEBUG", Kind.TWICE, "is set in line 3, too"),
        (CI.replace("=ci", "=test"), ".env.ci:2", "STAGE", Kind.OTHER_ENVIRONMENT, "says test, and this is ci"),
        (CI.replace("STAGE=ci\n", ""), ".env.ci", "STAGE", Kind.MISSING, "is not set and this is ci"),
    ],
)  # fmt: skip
def test_what_is_not_as_declared_is_found_by_name_and_line(
    tmp_path: Path, ci: str, place: str, variable: str, kind: Kind, words: str
) -> None:
    violations = found(tmp_path, ci=ci)
    assert (place, variable, str(kind)) in said(violations, tmp_path)
    assert {each.variable for each in violations} == {variable}
    assert words in " ".join(each.message for each in violations)
    assert not any(CANARY in each.render() for each in violations)


def test_values_that_mean_the_same_do_not_differ(tmp_path: Path) -> None:
    assert found(tmp_path, ci=CI.replace("=no", "=OFF"), test=TEST.replace("=false", "=0")) == []


def test_of_two_files_alone_the_second_deviates(tmp_path: Path) -> None:
    contract = load_contract(written(tmp_path, ci=CI.replace("/api", "/v2")))
    files = [tmp_path / ".env.test", tmp_path / ".env.ci"]
    assert said(list(check_files(contract, files)), tmp_path) == [(".env.ci:4", "API_PREFIX", "differs")]
    assert check_files(contract, files[1:]) == ()


def test_with_a_reason_a_difference_is_none_and_the_others_are_held_to_each_other(tmp_path: Path) -> None:
    assert found(tmp_path, prod=EXAMPLE.replace("POOL_SIZE=20", "POOL_SIZE=50")) == []
    assert found(tmp_path, prod=EXAMPLE.replace("POOL_SIZE=20\n", "")) == []
    violations = found(tmp_path, prod=EXAMPLE, ci=f"{CI}POOL_SIZE=6\n", test=f"{TEST}POOL_SIZE=7\n")
    assert said(violations, tmp_path) == [(".env.ci:5", "POOL_SIZE", "differs")]


@pytest.mark.parametrize("value", ["0", "51"])
def test_a_reason_is_none_for_a_value_out_of_range(tmp_path: Path, value: str) -> None:
    violations = found(tmp_path, prod=EXAMPLE.replace("POOL_SIZE=20", f"POOL_SIZE={value}"))
    assert said(violations, tmp_path) == [(".env.prod.example:4", "POOL_SIZE", "out-of-range")]


def test_an_example_names_what_is_required_and_leaves_it_empty(tmp_path: Path) -> None:
    violations = found(tmp_path, prod=EXAMPLE.replace("SECRET=\n", ""))
    assert said(violations, tmp_path) == [(".env.prod.example", "SECRET", "missing")]
    assert "prod requires it" in violations[0].message
    assert found(tmp_path, prod=EXAMPLE.replace("SECRET=", "SECRET_FILE=")) == []
    violations = found(tmp_path, prod=f"{EXAMPLE}SECRET={CANARY}\n")
    assert ("SECRET", "secret") in {each[1:] for each in said(violations, tmp_path)}


def test_a_filled_in_copy_may_hold_secrets_and_must(tmp_path: Path) -> None:
    contract = load_contract(written(tmp_path))
    copy = tmp_path / "prod.env"
    copy.write_text(EXAMPLE)
    assert said(list(check_files(contract, [copy])), tmp_path) == [("prod.env:5", "SECRET", "missing")]
    copy.write_text(EXAMPLE.replace("SECRET=", f"SECRET={CANARY}"))
    assert check_files(contract, [copy]) == ()
    copy.write_text(f"{EXAMPLE}SECRET_FILE=/run/secrets/key\n")
    assert check_files(contract, [copy]) == ()
    copy.write_text(EXAMPLE.replace("SECRET=", f"SECRET={CANARY}") + "SECRET_FILE=/run/secrets/key\n")
    assert said(list(check_files(contract, [copy])), tmp_path) == [
        ("prod.env:6", "SECRET_FILE", "both-forms")
    ]


def test_a_file_of_no_environment_is_refused_by_name(tmp_path: Path) -> None:
    contract = load_contract(written(tmp_path))
    (tmp_path / "other.env").write_text("STAGE=staging\n")
    with pytest.raises(
        BadEnvFileError, match=r"other.env: which environment is this\? It is named like none"
    ):
        check_files(contract, [tmp_path / "other.env"])


def test_a_process_that_is_as_its_file_says_is_sound(tmp_path: Path) -> None:
    assert of_process(tmp_path) == []
    assert of_process(tmp_path, DEBUG="off", API_PREFIX="/api", SHOP_FOLDER="/srv", SECRET=CANARY) == []


@pytest.mark.parametrize(
    ("values", "variable", "kind"),
    [
        ({"API_PREFIX": "/canary"}, "API_PREFIX", Kind.DIFFERS),
        ({"API_PREFIX": "canary-of-a-secret"}, "API_PREFIX", Kind.OUT_OF_RANGE),
        ({"DEBUG": "canary"}, "DEBUG", Kind.ILL_TYPED),
        ({"SHOP_FLODER": "canary"}, "SHOP_FLODER", Kind.UNDECLARED),
        ({"debug": "canary"}, "debug", Kind.UNDECLARED),
        ({"SECRET": "canary"}, "SECRET", Kind.OUT_OF_RANGE),
        ({"SECRET": CANARY, "SECRET_FILE": "/canary"}, "SECRET_FILE", Kind.BOTH_FORMS),
    ],
)
def test_what_a_process_has_otherwise_is_named_and_never_shown(
    tmp_path: Path, values: dict[str, str], variable: str, kind: Kind
) -> None:
    (violation,) = of_process(tmp_path, **values)
    assert (violation.variable, violation.kind, violation.place) == (variable, kind, "this process")
    assert "canary" not in str(violation.as_dict())


def test_variables_of_other_programs_are_nobodys_business(tmp_path: Path) -> None:
    assert of_process(tmp_path, HOME="/home/ada", LS_COLORS="", AWS_SECRET="canary") == []


def test_what_kubernetes_tells_of_a_service_with_the_name_of_the_project_is_no_slip(tmp_path: Path) -> None:
    told = {
        "SHOP_SERVICE_HOST": "10.1.2.3",
        "SHOP_SERVICE_PORT": "80",
        "SHOP_SERVICE_PORT_HTTP": "80",
        "SHOP_PORT": "tcp://10.1.2.3:80",
        "SHOP_PORT_80_TCP": "tcp://10.1.2.3:80",
        "SHOP_PORT_80_TCP_PROTO": "tcp",
        "SHOP_PORT_80_TCP_PORT": "80",
        "SHOP_PORT_80_TCP_ADDR": "10.1.2.3",
    }
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert of_process(tmp_path, **told, **pod) == []
    assert [each.variable for each in of_process(tmp_path, SHOP_PORT="80", **pod)] == ["SHOP_PORT"]
    assert [each.variable for each in of_process(tmp_path, **told)] == sorted(told)


def test_a_process_must_have_what_its_environment_requires(tmp_path: Path) -> None:
    (violation,) = of_process(tmp_path, "prod", POOL_SIZE="9")
    assert (violation.variable, violation.kind) == ("SECRET", Kind.MISSING)
    assert violation.message == "is not set, and so is SECRET_FILE; prod requires it"
    assert of_process(tmp_path, "prod", SECRET_FILE="/run/secrets/key") == []


def test_a_process_of_an_environment_that_is_not_declared(tmp_path: Path) -> None:
    (violation,) = of_process(tmp_path, "staging")
    assert violation.render() == "this process: STAGE is none of test, ci, prod"
    (violation,) = of_process(tmp_path, "")
    assert violation.render() == "this process: STAGE is not set: which of test, ci, prod is this?"


def test_where_the_files_are_not_at_hand_a_process_is_held_to_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT)
    contract = load_contract(path)
    assert check(contract, "ci", {"STAGE": "ci", "API_PREFIX": "/api"}) == ()
    (violation,) = check(contract, "ci", {"STAGE": "ci", "API_PREFIX": "/v2"})
    assert violation.message == "is not the default; no reason is stated for ci"
