"""What environments.md shows is done, and the files and secrets that it names are those that there are."""

from pathlib import Path

from dashtam import secret_files
from dashtam.contract import contract_path
from dbparity.environment import load_contract
from tests.docs.reading import ROOT, codes, rows
from tests.docs.shell import Shell, commands, tree

PAGE = "docs/environments.md"
TEXT = (ROOT / PAGE).read_text("utf-8")


def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    folder = tree(tmp_path, "env", "pyproject.toml")
    compare, set_up, hand_over = commands(PAGE)
    with Shell(folder) as shell:
        assert [line.split(":")[0] for line in shell.run(compare).splitlines()] == ["As declared"] * 2
        assert shell.run(set_up).startswith("As declared: env/.env.prod against env/contract.toml (")
        assert (folder / "env" / ".env.prod").stat().st_mode & 0o777 == 0o600
        assert shell.run(hand_over).startswith("As declared: this process against env/contract.toml (")
        assert "as they should be" in shell.run("export VAR_DIR=var; dashtam migrate up")


def test_the_service_refuses_what_is_not_filled_in(tmp_path: Path) -> None:
    folder = tree(tmp_path, "env", "pyproject.toml")
    _, set_up, hand_over = commands(PAGE)
    emptied = {"$(openssl rand -base64 48)": "", "https://auth.example.org": "", "=no-reply@example.org": "="}
    with Shell(folder) as shell:
        shell.run(set_up.replace("dbparity env", "! dbparity env"), replace=emptied)
        said = shell.run(hand_over.replace("dbparity env --process", "! dashtam migrate up"))
    assert "2 settings are wrong" in said
    assert "PUBLIC_URL" in said
    assert "MAIL_FROM" in said


def test_the_files_and_the_secrets_are_those_that_there_are() -> None:
    contract = load_contract(contract_path())
    files = [f"`env/{Path(each.path).name}`" for each in contract.environments.values()]
    assert [row[0] for row in rows(TEXT, "file")] == files
    section = TEXT.split("## Secrets")[1].split("\n\n")[1]
    assert {code for code in codes(section) if code in contract.variables} == {
        *secret_files.SECRETS,
        "SECRET_KEY_FILE",
    }
