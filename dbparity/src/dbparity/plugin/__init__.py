"""The pytest plugin: loaded by its entry point, active where pyproject.toml has a `[tool.dbparity]`.

Here are the hooks alone. What a run knows is in `run`, what tests ask for in `fixtures`, what people read in
`output`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dbparity.config import IsolationMode, Schema, load
from dbparity.plugin import environment, fingerprint, output, report
from dbparity.plugin.fixtures import *  # noqa: F403 - fixtures are found by being here
from dbparity.plugin.run import RUN, Run, export, run_of
from dbparity.plugin.stop import naming_what_is_wrong, prove

if TYPE_CHECKING:
    from collections.abc import Generator

MARKERS = (
    "ci_sensitive(reason): passes here and has failed in CI: always validated in full, with its timeline",
    "dbparity(isolation=..., scope=..., reset_sequences=...): how this test is kept from the others",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What can be said for one run."""
    group = parser.getgroup("dbparity", "the database under test")
    group.addoption("--dbparity-isolation", choices=list(IsolationMode), help="for tests that do not say")
    group.addoption("--dbparity-schema", choices=list(Schema), help="how the tables come to be")
    group.addoption("--dbparity-timeline", action="store_true", help="print every test's timeline")
    report.add_options(group)
    fingerprint.add_options(group)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Tell the application which database is meant, before a conftest imports it."""
    with naming_what_is_wrong():
        export(early_config, load(early_config.rootpath))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the configuration and begin to watch."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    with naming_what_is_wrong():
        run = config.stash[RUN] = Run.of(config)
    run.start()
    with naming_what_is_wrong():
        environment.examine(run)
    report.register(config)
    fingerprint.register(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave every library as it was."""
    if run := config.stash.get(RUN, None):
        run.stop()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is configured, and what had to be guessed."""
    return output.header(run_of(config))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist is optional
    """Tell a worker which run it belongs to."""
    node.workerinput["dbparity_run"] = run_of(node.config).id


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - the same
    """Hear what a worker has found."""
    run_of(node.config).hear(getattr(node, "workeroutput", {}))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Prove the schema before the first test, whatever fixtures tests ask for."""
    config, run = session.config, run_of(session.config)
    has_tests = bool(session.items) or config.pluginmanager.hasplugin("dsession")
    if has_tests and not config.option.collectonly:
        environment.stop_if_told(run)
    if run.is_static and has_tests and not config.option.collectonly:
        prove(run)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """The span in which a test is the running one."""
    run = run_of(item.config)
    run.begin_test(item)
    try:
        return (yield)
    finally:
        run.watch.forget_test()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a plugin runs once more, within one protocol, is watched as another test."""
    run = run_of(item.config)
    if run.watch.test is not None and run.watch.test.ended:
        run.begin_test(item)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, object, object]:  # noqa: ANN401
    """Tell which fixture is at work: what it leaves behind is its doing."""
    watch = run_of(request.config).watch
    with watch.fixture(str(fixturedef.argname), str(fixturedef.scope), str(fixturedef.baseid)):
        return (yield)


def pytest_fixture_post_finalizer(fixturedef: Any, request: pytest.FixtureRequest) -> None:  # noqa: ANN401 - no public type
    """Tell that a fixture is torn down."""
    run_of(request.config).watch.fixture_finalized(str(fixturedef.argname), str(fixturedef.scope))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """The test's own code, from its first line to its last."""
    watch = run_of(item.config).watch
    watch.test_calling()
    try:
        yield
    finally:
        watch.test_called()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """After the last fixture: what still stands should not; findings that fail a test fail it here."""
    try:
        yield
    finally:
        run_of(item.config).end_test()
    output.fail_on_findings(run_of(item.config))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],  # noqa: ARG001 - pytest passes by name
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test is told what the database looked like at that moment."""
    made = yield
    run = run_of(item.config)
    if made.failed and run.watch.test is not None:
        run.watch.test.failed = True
    output.add_sections(run, made)
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close what the run opened; a worker hands over what it has found."""
    run_of(session.config).finish(getattr(session.config, "workeroutput", None))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Dbparity's own section."""
    output.summarise(run_of(terminalreporter.config), terminalreporter)
