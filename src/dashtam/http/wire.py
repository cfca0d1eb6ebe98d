"""What must hold before there is a request: limits on a head still arriving, and problems in place of text.

uvicorn reads a head of any size and waits for it for ever; the front door sees it only once it is complete.
Hand `PatientProtocol` to uvicorn as its `http`.
"""

import asyncio

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from dashtam.core.audit import Client
from dashtam.core.ids import new_id
from dashtam.core.problems import HEADERS_TOO_LARGE, MALFORMED_REQUEST, Problem
from dashtam.http.head import HEADER_BYTES, TARGET_BYTES
from dashtam.http.refusals import MEDIA_TYPE, refusal
from dashtam.http.security_headers import SecurityHeaders

HEAD_SECONDS = 10.0
HEAD_BYTES = 2 * (HEADER_BYTES + TARGET_BYTES)
"""More than any head that the front door lets pass; beyond it there is nobody to be precise with."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol, with patience for a head of so many bytes and so many seconds."""

    head_seconds = HEAD_SECONDS
    _head_bytes = 0
    _reading_head = True
    _head_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._reading_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)
        super().data_received(data)
        if self._reading_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HEADERS_TOO_LARGE())

    @override
    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._reading_head = False
        self._stop_timer()

    @override
    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_bytes, self._reading_head = 0, True

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(MALFORMED_REQUEST())

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer on the connection itself and close it, unless an earlier request is still being answered."""
        self._stop_timer()
        cycle: RequestResponseCycle | None = self.cycle
        if self._reading_head:
            is_free = cycle is None or cycle.response_complete
        else:  # the body went wrong: this is the answer to the request that waits for it
            is_free = cycle is not None and not cycle.response_started and not self.pipeline
        if is_free and not self.transport.is_closing():
            self.transport.write(_answer(problem))
        self.transport.close()


def _answer(problem: Problem) -> bytes:
    request_id = str(new_id())
    body = bytes(refusal(problem, Client(request_id=request_id)).body)
    own = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    headers = SecurityHeaders(request_id, https=False).put_on(own)
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[problem.type.status] + lines + b"\r\n" + body
