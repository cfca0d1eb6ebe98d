"""Ending what a test has left open, without waiting for whoever may still use it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dbparity.isolation.discard import discard
from dbparity.sessions.pools import is_shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbparity.sessions.checkouts import Checkout

DEADLINE_SECONDS = 1.0


def release(checkout: Checkout) -> None:
    """Close the connection; its session, if it lives on, starts anew."""
    proxy = checkout.proxy()
    session = checkout.session.ref() if checkout.session else None
    if proxy is None or proxy.dbapi_connection is None:
        return
    if is_shared(checkout.pool):  # closing it would end the database
        return
    is_async = checkout.is_async
    if is_async:
        discard(checkout.record)
        proxy.invalidate()
    if session is not None and (is_async or checkout.thread == threading.get_ident()):
        session.rollback()  # touches no connection that is gone
    if proxy.is_valid:
        _promptly(proxy.invalidate, checkout)


def _promptly(close: Callable[[], None], checkout: Checkout) -> None:
    """Close what another thread may be using without waiting for that thread to be through."""
    if checkout.thread == threading.get_ident():
        close()
        return
    closing = threading.Thread(target=close, name="dbparity-close", daemon=True)
    closing.start()
    closing.join(DEADLINE_SECONDS)


def roll_back(checkout: Checkout) -> None:
    """End the transaction that a test began on a connection which goes on; an async one cannot be, from here."""
    connection = checkout.begin.connection() if checkout.begin else None
    transaction = connection.get_transaction() if connection is not None else None
    if transaction is not None and not checkout.is_async and checkout.thread == threading.get_ident():
        transaction.rollback()
