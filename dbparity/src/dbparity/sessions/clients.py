"""The requests that a test makes in process: through httpx, httpx2 or Starlette's TestClient.

Their transports call the application. While tests run, each such call is handed an application that is wrapped
in the span of one request, so that the span lies where the application's code runs: in the test's own task with
httpx, in the portal's thread with the TestClient, and by inheritance in the thread pool of sync endpoints.
"""

from __future__ import annotations

import copy
import functools
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

from dbparity.watch import Detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from dbparity.watch import RunningTest, Watch

ASGI = (
    ("httpx", "ASGITransport", "handle_async_request"),
    ("httpx2", "ASGITransport", "handle_async_request"),
    ("starlette.testclient", "_TestClientTransport", "handle_request"),
)
WSGI = (("httpx", "WSGITransport", "handle_request"), ("httpx2", "WSGITransport", "handle_request"))
MODULES = frozenset(module for module, _, _ in (*ASGI, *WSGI))


class Clients(Detector):
    """Makes every request in process a request that `current_request()` knows; finds no fault itself."""

    name = "requests"

    def __init__(self) -> None:
        self._originals: dict[tuple[type[Any], str], Callable[..., Any]] = {}
        self._arrivals = _Arrivals(self.wrap)
        self._watch: Watch | None = None

    def start(self, watch: Watch) -> None:
        """Wrap what is imported already, and wait for the rest."""
        self._watch = watch
        self.wrap()
        sys.meta_path.insert(0, self._arrivals)

    def stop(self) -> None:
        """Leave the libraries as they were."""
        if self._arrivals in sys.meta_path:
            sys.meta_path.remove(self._arrivals)
        for (owner, method), original in self._originals.items():
            setattr(owner, method, original)
        self._originals.clear()
        self._watch = None

    def test_began(self, test: RunningTest) -> None:  # noqa: ARG002 - whichever test it is
        """A library may have come by a way that the import machinery does not see."""
        self.wrap()

    def wrap(self) -> None:
        """Wrap the transports of every library that is here and not wrapped yet."""
        for targets, wrapped in ((ASGI, self._asgi), (WSGI, self._wsgi)):
            for module, owner, method in targets:
                found = getattr(sys.modules.get(module), owner, None)
                if found is not None and (found, method) not in self._originals:
                    original = getattr(found, method)
                    self._originals[found, method] = original
                    setattr(found, method, wrapped(original))

    def _asgi(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Call the transport's method on a copy of the transport, whose application is the wrapped one.

        A copy, because one client may be used by several threads at once.
        """

        @functools.wraps(original)
        def handle(transport: Any, request: Any) -> Any:  # noqa: ANN401 - types of optional libraries
            if (watch := self._watch) is None:
                return original(transport, request)
            spanned = watch.guard(self.name).run(_spanned, watch, transport)
            return original(transport if spanned is None else spanned, request)

        return handle

    def _wsgi(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A WSGI application runs where its transport does."""

        @functools.wraps(original)
        def handle(transport: Any, request: Any) -> Any:  # noqa: ANN401 - types of optional libraries
            if (watch := self._watch) is None:
                return original(transport, request)
            with watch.request(f"{request.method} {request.url.path}"):
                return original(transport, request)

        return handle


def _spanned(watch: Watch, transport: Any) -> Any:  # noqa: ANN401 - types of optional libraries
    """A copy of a transport that calls the same application in the span of one request."""
    spanned, application = copy.copy(transport), transport.app

    async def application_in_span(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has it
        with watch.request(f"{scope.get('method', 'WEBSOCKET')} {scope['path']}"):
            await application(scope, receive, send)

    spanned.app = application_in_span
    return spanned


class _Arrivals(MetaPathFinder):
    """Tells when one of the libraries has been imported, be it in the middle of a test."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the other finders find it, and have the module wrapped once it has run."""
        if fullname not in MODULES:
            return None
        spec = next(self._found(fullname, path, target), None)
        run = getattr(spec.loader, "exec_module", None) if spec else None
        if spec is not None and run is not None:

            def exec_module(module: ModuleType) -> None:
                run(module)
                self._arrived()

            spec.loader.exec_module = exec_module  # type: ignore[union-attr, method-assign]
        return spec

    def _found(self, *wanted: Any) -> Iterator[ModuleSpec]:  # noqa: ANN401 - handed through
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(*wanted)) is not None:
                yield spec
