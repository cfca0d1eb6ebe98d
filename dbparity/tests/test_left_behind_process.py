"""Environment variables and replaced attributes that a test leaves behind."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from left_behind import Suite, suite

from dbparity.config import Config
from dbparity.sessions.state import LeftBehind
from dbparity.watch import RunningTest

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "DBPARITY_TEST_LEFT_BEHIND"
SECRET = "the-value-nobody-prints"
MAIL = """
from collections import Counter

LIMIT = 3
SENDER = "shop@example.org"
sent = Counter()
count = 0
_pool = None

def send(to):
    global count, _pool
    count += 1
    sent[to] += 1
    _pool = _pool or object()

class Mailbox:
    limit = 5
    def deliver(self): return "delivered"

class BaseSettings: pass
class Settings(BaseSettings):
    def __init__(self): self.debug = False; self.token = "x"
settings = Settings()
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Suite]:
    with suite(LeftBehind(Config(root=tmp_path))) as running:
        yield running


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the application, imported before the first test."""
    (tmp_path / "shop_mail.py").write_text(MAIL)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("shop_mail")
    del sys.modules["shop_mail"]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "gone after each of these tests")
    monkeypatch.delenv(NAME)


def test_a_variable_is_reported_at_the_first_test_that_runs_with_it(running: Suite) -> None:
    with running.test("test_a"):
        os.environ[NAME] = SECRET
    assert not running.findings
    for name in ("test_b", "test_c"):
        with running.test(name):
            pass
    (found,) = running.findings
    assert found.test == "test_b"
    assert found.message.startswith(f"environment variable {NAME}, set by test_a (")
    assert "test_left_behind_process.py:" in found.message
    assert found.message.endswith(", still has that value in test_b.")
    assert SECRET not in found.render()


def test_a_variable_that_is_gone_is_reported_too(running: Suite) -> None:
    os.environ[NAME] = "1"
    with running.test("test_a"):
        del os.environ[NAME]
    with running.test("test_b"):
        pass
    assert running.messages[0].startswith(f"environment variable {NAME}, removed by test_a (")
    assert running.messages[0].endswith(", is still gone in test_b.")


def test_variables_that_are_put_back_are_no_findings(running: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    with running.test("test_a"), pytest.MonkeyPatch.context() as patch:
        patch.setenv(NAME, "1")
        patch.delenv("PATH")
    with running.test("test_b"):
        saved = dict(os.environ)
        os.environ.clear()
        os.environ.update(saved)
    for name in ("test_c", "test_d"):
        with running.test(name):
            os.environ[NAME] = "1"  # never put back, but each sets it for itself
    assert not running.findings


def test_a_shared_fixtures_variable_is_for_those_who_ask(running: Suite) -> None:
    with running.test("test_a", "settings"), running.fixture("settings", "session"):
        os.environ[NAME] = "1"
    with running.test("test_b", "settings"):
        pass
    assert not running.findings
    with running.test("test_c"):
        pass
    assert "set by the session-scoped fixture `settings` (" in running.messages[0]


def test_a_variable_that_an_import_sets_is_the_applications(running: Suite, tmp_path: Path) -> None:
    (tmp_path / "sets_a_variable.py").write_text(f'import os\nos.environ["{NAME}"] = "1"\n')
    with running.test("test_a"), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        importlib.import_module("sets_a_variable")
    with running.test("test_b"):
        assert os.environ[NAME] == "1"
    assert not running.findings


def test_os_environ_is_itself_again(running: Suite) -> None:
    kind = type(os.environ)
    running.watch.stop()
    assert kind.__setitem__.__module__ == kind.__delitem__.__module__ == "os"
    running.watch.start()
    with running.test("test_a"):
        os.environb[NAME.encode()] = b"1"
        seen = subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True).stdout
        assert f"{NAME}=1" in seen


def test_a_function_that_stays_replaced_is_reported(mail: Any, running: Suite) -> None:
    def fake_send(to: str) -> None: ...

    with running.test("test_a") as test:
        mail.send = fake_send
    assert test.notes["left-behind"] == ["shop_mail.send, replaced by test_a"]
    with running.test("test_b"):
        pass
    (found,) = running.findings
    assert found.message == "shop_mail.send, replaced by test_a, is still replaced in test_b."
    assert "fake_send (" in found.evidence[0]
    assert "test_left_behind_process.py:" in found.evidence[0]


def test_methods_classes_and_settings_are_watched_and_told_together(mail: Any, running: Suite) -> None:
    with running.test("test_a"):
        mail.Mailbox.deliver = print
        mail.LIMIT, mail.SENDER = 4, SECRET
        mail.settings.debug = True
    with running.test("test_b"):
        pass
    assert sorted(running.messages) == [
        "shop_mail.LIMIT, shop_mail.SENDER, replaced by test_a, are still replaced in test_b.",
        "shop_mail.Mailbox.deliver, replaced by test_a, is still replaced in test_b.",
        "shop_mail.settings.debug, replaced by test_a, is still replaced in test_b.",
    ]
    assert SECRET not in "".join(each.render() for each in running.findings)


def test_what_changes_by_itself_is_no_finding(mail: Any, running: Suite) -> None:
    with running.test("test_a"):
        mail.send("somebody@example.org")
        mail.Mailbox.limit = 6
    with running.test("test_b"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(mail, "send", print)
        patch.setattr(mail.Mailbox, "deliver", print)
    with running.test("test_c"):
        pass
    assert not running.findings


def test_each_test_replacing_for_itself_is_no_finding(mail: Any, running: Suite) -> None:
    for name in ("test_a", "test_b", "test_c"):
        with running.test(name):
            mail.send = lambda _: None
    assert not running.findings


def test_a_shared_fixtures_replacement_is_for_those_who_ask(mail: Any, running: Suite) -> None:
    with running.test("test_a", "no_mail"), running.fixture("no_mail", "module"):
        mail.send = print
    with running.test("test_b", "no_mail"):
        pass
    assert not running.findings
    with running.test("test_c"):
        pass
    assert "replaced by the module-scoped fixture `no_mail` during test_a" in running.messages[0]


def test_a_large_application_is_compared_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "large_shop"
    package.mkdir()
    body = "".join(f"def f{n}(): ...\n" for n in range(40)) + "class C:\n" + "    def m(self): ...\n"
    (package / "__init__.py").write_text("")
    for number in range(200):
        (package / f"m{number}.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with suite(LeftBehind(Config(root=tmp_path))) as running:
        modules = [importlib.import_module(f"large_shop.m{number}") for number in range(200)]
        with running.test("test_a"):
            modules[7].f3 = print  # type: ignore[attr-defined]
        for number in range(100):
            with running.test(f"test_after_{number}"):
                pass
    for module in modules:
        del sys.modules[module.__name__]
    assert len(running.findings) == 1
    assert running.messages[0].startswith("large_shop.m7.f3, replaced by test_")


def test_a_test_whose_setup_fails_is_told_what_was_left_too(running: Suite) -> None:
    with running.test("test_a"):
        os.environ[NAME] = "1"
    running.watch.begin_test(RunningTest("test_b"))
    with pytest.raises(RuntimeError), running.fixture("broken", "session"):
        raise RuntimeError
    running.watch.end_test()
    assert [each.test for each in running.findings] == ["test_b"]
    with running.test("test_c"):
        os.environ[NAME] = "2"
    with running.test("test_d"):
        pass
    assert "set by test_c (" in running.messages[1]  # and not by the fixture that broke
