"""The driver's own connection, as application code finds it below SQLAlchemy's async adapters.

It is asked for where SQLAlchemy has no word for something: COPY, codecs, notifications, functions. What is done
with it is taken for a write of the connection it was found through.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Self

from dbparity.observer import background_loop

if TYPE_CHECKING:
    from collections.abc import Generator

    from dbparity.isolation.part import Part

_CODECS = "set_type_codec"
_QUIET = ("set_", "reset_type", "add_", "remove_", "reload_", "is_", "get_")


def alike(first: Any, second: Any) -> bool:  # noqa: ANN401 - functions of any kind
    """Whether two functions do the same: one code, over equal values."""
    if first is second or first == second:
        return first is not None
    codes = getattr(first, "__code__", None), getattr(second, "__code__", 1)
    return codes[0] is codes[1] and _closed_over(first) == _closed_over(second)


def _closed_over(function: Any) -> list[Any]:  # noqa: ANN401 - the same
    return [cell.cell_contents for cell in function.__closure__ or ()]


class AsyncView:
    """A sync driver's object, for code that awaits."""

    def __init__(self, part: Part, target: Any) -> None:  # noqa: ANN401 - drivers have no common type
        self._part = part
        self._target = target

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the same
        value = getattr(self._target, name)
        if not callable(value):
            return AsyncView(self._part, value) if hasattr(value, "__enter__") else value

        def call(*arguments: Any, **options: Any) -> AsyncView:  # noqa: ANN401 - the same
            self._part.touch()
            return AsyncView(self._part, value(*arguments, **options))

        return call

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()  # there is nothing to wait for
        return self._target

    def __iter__(self) -> Any:  # noqa: ANN401 - the same
        return iter(self._target)

    async def __aenter__(self) -> Any:  # noqa: ANN401 - a view of whatever is entered
        return AsyncView(self._part, self._target.__enter__())

    async def __aexit__(self, *error: object) -> Any:  # noqa: ANN401 - whether the error is dealt with
        return self._target.__exit__(*error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - a row
        row = self._target.fetchone()
        if row is None:
            raise StopAsyncIteration
        return row

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # noqa: ANN401 - psycopg looks at it to tell its own connections apart
        library = type(self._target).__module__.partition(".")[0]
        if library == "psycopg" and type(self._target).__name__ == "Connection":
            import psycopg  # noqa: PLC0415 - optional

            return psycopg.AsyncConnection
        return AsyncView


class Remote:
    """An object of asyncpg, whose coroutines run on the loop that it lives on."""

    def __init__(self, part: Part, target: Any) -> None:  # noqa: ANN401 - asyncpg has no types
        self._part = part
        self._target = target

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the same
        value = getattr(self._target, name)
        if not callable(value):
            return value
        if inspect.iscoroutinefunction(value):
            return self._known_codec if name == _CODECS else self._bridged(name, value)

        if name == "transaction" and self._target._top_xact is None:  # noqa: SLF001 - it has no public name
            # asyncpg nests its transactions in one that it knows, and it does not know ours.
            self._target._top_xact = value()  # noqa: SLF001 - the same

        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the same
            result = value(*arguments, **options)
            return Remote(self._part, result) if hasattr(result, "__aenter__") else result

        return call

    async def __aenter__(self) -> Any:  # noqa: ANN401 - the same
        return await self._bridged("__aenter__", self._target.__aenter__)()

    async def __aexit__(self, *error: object) -> Any:  # noqa: ANN401 - the same
        return await self._bridged("__aexit__", self._target.__aexit__)(*error)

    def _bridged(self, name: str, method: Any) -> Any:  # noqa: ANN401 - the same
        async def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the same
            if not name.startswith(_QUIET):
                self._part.touch()
            shared: Any = self._part.shared
            work = shared.turned(method(*arguments, **options))
            loop = background_loop().loop
            if asyncio.get_running_loop() is loop:
                return await work
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

        return call

    async def _known_codec(self, typename: str, *, encoder: Any, decoder: Any, **options: Any) -> None:  # noqa: ANN401 - the same
        """Set a codec, unless an engine like this one has set the same."""
        known = self._part.shared.functions
        key = ("codec", typename, *sorted(options.items()))
        before = known.get(key, (None, None))
        if alike(before[0], encoder) and alike(before[1], decoder):
            return
        known[key] = (encoder, decoder)
        await self._bridged(_CODECS, self._target.set_type_codec)(
            typename, encoder=encoder, decoder=decoder, **options
        )
