"""The cursor that a facade gives out: it fetches at once, so that nothing is left open between two sessions."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbparity.isolation.facade import Facade

_OWN = frozenset({"arraysize", "description", "rowcount", "lastrowid"})


class FacadeCursor:
    """A DBAPI cursor over the real connection; a server-side one stays on the server."""

    def __init__(self, facade: Facade, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.arraysize = 1
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._facade = facade
        self._arguments = arguments
        self._options = options
        self._settings: dict[str, Any] = {}
        self._streams = facade.streams(arguments, options)
        self._real: Any = None
        self._rows: deque[Any] = deque()

    @property
    def connection(self) -> Facade:
        return self._facade

    @property
    def streams(self) -> bool:
        """Whether the rows are fetched when they are asked for."""
        return self._streams

    def execute(self, operation: Any, *parameters: Any, **options: Any) -> Self:  # noqa: ANN401 - the DBAPI's
        self._facade.perform(self, operation, partial(self._fill, "execute", operation, parameters, options))
        return self

    def executemany(self, operation: Any, *parameters: Any, **options: Any) -> Self:  # noqa: ANN401 - the same
        fill = partial(self._fill, "executemany", operation, parameters, options)
        self._facade.perform(self, operation, fill, is_many=True)
        return self

    def executescript(self, script: str) -> Self:
        self._facade.executescript(script)
        return self

    def _fill(
        self, method: str, operation: object, parameters: tuple[Any, ...], options: dict[str, Any]
    ) -> int:
        """Execute on the real connection, while nobody else uses it; return the rows it met, -1 if unknown."""
        if self._real is None:
            self._real = self._facade.open(self._arguments, self._options)
        real = self._real
        for name, value in self._settings.items():
            setattr(real, name, value)
        self._rows.clear()
        getattr(real, method)(operation, *parameters, **options)
        self.description = real.description
        if self.description is not None and not self._streams and method == "execute":
            self._rows.extend(real.fetchall())
        self.rowcount = real.rowcount
        self.lastrowid = getattr(real, "lastrowid", None)
        return len(self._rows) or self.rowcount

    def forget(self) -> None:
        """Have no result, as after a statement that has none."""
        self.description, self.rowcount = None, -1
        self._rows.clear()

    def fetchone(self) -> Any:  # noqa: ANN401 - a row
        if self._streams:
            return self._stream("fetchone")
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        wanted = self.arraysize if size is None else size
        if self._streams:
            return list(self._stream("fetchmany", wanted))
        return [self._rows.popleft() for _ in range(min(wanted, len(self._rows)))]

    def fetchall(self) -> list[Any]:
        if self._streams:
            return list(self._stream("fetchall"))
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._rows.clear()
        real, self._real = self._real, None
        if real is not None and self._streams:
            self._facade.run(real.close)

    async def _async_soft_close(self) -> None:
        """Keep the rows; there is nothing on the server to close."""

    def nextset(self) -> None:
        """Have one result set only."""

    def setinputsizes(self, *sizes: object) -> None:
        """Do nothing, as most drivers."""

    def setoutputsize(self, *sizes: object) -> None:
        """Do nothing, as most drivers."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OWN or name.startswith(("_rows", "_facade", "_arg", "_opt", "_set", "_str", "_real")):
            object.__setattr__(self, name, value)
        else:
            self._settings[name] = value

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the driver's own cursors have
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._settings:
            return self._settings[name]
        if self._real is None:
            # It may write (psycopg's copy), so it is taken for a write.
            self._facade.touch()
            self._real = self._facade.run(lambda: self._facade.open(self._arguments, self._options))
        return getattr(self._real, name)

    def _stream(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - rows
        if self._real is None:
            return None if method == "fetchone" else []
        rows = self._facade.run(lambda: getattr(self._real, method)(*arguments))
        self.description = self._real.description  # psycopg2's has none before
        return rows
