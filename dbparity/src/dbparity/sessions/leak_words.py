"""How a leak is told: what was left, where it was taken, by whom, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.sessions.backends import is_in_transaction

if TYPE_CHECKING:
    from dbparity.sessions.checkouts import Checkout
    from dbparity.watch import RunningTest

NAME = "leak"


def begin_finding(test: RunningTest, checkout: Checkout) -> Finding:
    """A transaction left open on a connection that is not the test's own."""
    line = f" at {checkout.begin.origin}" if checkout.begin and checkout.begin.origin else ""
    return Finding(
        NAME,
        f"{test.nodeid} leaves a transaction open that it began{line}, on a connection that outlives it",
        (f"the connection was{_where(checkout)} by {_taker(checkout)}",),
        "end it with the test: `with connection.begin():`, or roll back in a fixture",
        Strictness.WARN if test.failed else Strictness.FAIL,
        test.nodeid,
    )


def server_finding(who: str, line: str) -> Finding:
    """A transaction that the server still has open after the last test."""
    return Finding(
        NAME,
        f"after the last test a transaction is open on a connection that {who} opened: {line}",
        ("no pool knows of it any more: it was detached, or its engine is gone",),
        "close what was detached from its pool; dispose of engines",
        Strictness.WARN,
    )


def orphan_finding(checkout: Checkout) -> Finding:
    """A connection left by a fixture that several tests have shared."""
    name, scope = checkout.fixture or ("", "")
    return Finding(
        NAME,
        f"the {scope}-scoped fixture {name} was torn down and leaves a connection{_where(checkout)}",
        (f"it was set up for {_taker(checkout)}",),
        "give it back in the fixture: `with engine.connect() as connection: yield connection`",
        Strictness.WARN,
        checkout.test.nodeid if checkout.test else "",
    )


def left_finding(test: RunningTest, checkout: Checkout, server: str, now: float) -> Finding:
    """A connection that the test has taken and not given back; `now`: when the test was over."""
    evidence = [f"held for {now - checkout.since:.2f} s when the test was over"]
    if checkout.session is not None:
        evidence.append(f"held by {checkout.session}{_older(checkout, test)}")
    if server:
        evidence.append(server)
    return Finding(
        NAME,
        f"{test.nodeid} leaves {_what(checkout)}{_where(checkout)}",
        tuple(evidence),
        _remedy(checkout, test),
        Strictness.WARN if test.failed else Strictness.FAIL,
        test.nodeid,
    )


def _what(checkout: Checkout) -> str:
    if checkout.connection is None:
        return "a connection to the garbage collector, which cannot give an async one back to its pool,"
    if checkout.in_transaction or is_in_transaction(checkout.connection):
        return "a transaction open, on a connection"
    return "a connection out of its pool,"


def _where(checkout: Checkout) -> str:
    line = f" taken at {checkout.origin}" if checkout.origin else ""
    request = f" in {checkout.request}" if checkout.request else ""
    fixture = f" while the fixture {checkout.fixture[0]} was set up" if checkout.fixture else ""
    return f"{line}{request or fixture}"


def _older(checkout: Checkout, test: RunningTest) -> str:
    session = checkout.session
    if session is None or session.test is test:
        return ""
    made = f"made in {session.test.nodeid}" if session.test else "made outside of any test"
    return f", which is older than this test ({made})"


def _remedy(checkout: Checkout, test: RunningTest) -> str:
    session = checkout.session
    if checkout.request is not None:
        return "close it when the request ends: a dependency that yields within `with` or `async with`"
    if session is not None and session.test is not test:
        return "end its transaction in the test, by commit() or rollback(): the session outlives the test"
    if session is not None or checkout.fixture is not None:
        return "close it where it is made: `with Session(...) as session:`, in a fixture with `yield` within"
    return (
        "take it with `with` or `async with`; and wait for background tasks and threads, or cancel them, before "
        "the test ends"
    )


def _taker(checkout: Checkout) -> str:
    return checkout.test.nodeid if checkout.test else "code outside of any test"
