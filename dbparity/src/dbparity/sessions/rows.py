"""The rows that the ORM meets while it loads, beside the objects it matches them to.

No public event tells of a row that matches an object which is present already: the ORM throws the row away.
So the one function that makes SQLAlchemy's row processors is wrapped. Where a later version has moved it,
nothing is wrapped, and `Rows.missing` says so; and where looking fails, nobody looks any more.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy.orm import context as orm_context
from sqlalchemy.orm import loading

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Mapper

NAME = "_instance_processor"
PARAMETERS = ["query_entity", "mapper", "context", "result", "path", "adapter"]


class Loading:
    """One entity of one SELECT that is being loaded."""

    __slots__ = ("adapter", "context", "mapper", "refreshing", "result")

    def __init__(
        self,
        mapper: Mapper[Any],
        context: Any,  # noqa: ANN401
        result: Any,  # noqa: ANN401
        adapter: Any,  # noqa: ANN401
        *,
        refreshing: bool,
    ) -> None:
        self.mapper = mapper
        self.context = context
        """The QueryContext: session, runid, populate_existing."""
        self.result = result
        """The CursorResult."""
        self.adapter = adapter
        self.refreshing = refreshing
        """Whether the rows are applied to the objects, so that nothing can be thrown away."""

    def getter(self, column: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401 - a Column or an alias' one
        """Reads this column from a row; None where the SELECT does not have it."""
        if self.adapter is not None:
            column = self.adapter.columns[column]
            if column is None:
                return None
        found: Callable[[Any], Any] | None = self.result._getter(column, False)  # noqa: SLF001
        return found


Subscriber: TypeAlias = "Callable[[Loading], Callable[[Any, object], None] | None]"


class Rows:
    """Tells subscribers of every row and its object: `subscribe(loading)` returns what wants them, or None."""

    def __init__(self) -> None:
        self.missing = _what_moved()
        """Why nothing can be seen, in words; empty where all is well."""
        self._subscribers: list[Subscriber] = []
        self._original: Callable[..., Any] | None = None

    def add(self, subscriber: Subscriber) -> None:
        """The first one makes the wrapping."""
        self._subscribers.append(subscriber)
        if self._original is None and not self.missing:
            self._original = getattr(loading, NAME)
            setattr(loading, NAME, self._wrapped(self._original))

    def remove(self, subscriber: Subscriber) -> None:
        """The last one undoes it."""
        self._subscribers.remove(subscriber)
        if not self._subscribers and self._original is not None:
            setattr(loading, NAME, self._original)
            self._original = None

    def _wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def processor(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's own
            instance = original(*arguments, **options)
            wanting = self._wanting(arguments, options) if not self.missing else []
            return self._telling(instance, wanting) if wanting else instance

        return processor

    def _wanting(
        self, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> list[Callable[[Any, object], None]]:
        try:
            _, mapper, context, result, _, adapter, *_ = arguments
            refreshing = bool(
                options.get("refresh_state") or context.populate_existing or mapper.always_refresh
            )
            about = Loading(mapper, context, result, adapter, refreshing=refreshing)
            return [seen for each in self._subscribers if (seen := each(about)) is not None]
        except Exception as error:  # noqa: BLE001 - whoever only looks must not break what is looked at
            self.missing = f"looking at a SELECT failed: {error!r}"
            return []

    def _telling(
        self, instance: Callable[[Any], Any], wanting: list[Callable[[Any, object], None]]
    ) -> Callable[[Any], Any]:
        def tell(row: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's own
            found = instance(row)
            if found is not None:
                try:
                    for seen in wanting:
                        seen(row, found)
                except Exception as error:  # noqa: BLE001 - the same
                    self.missing = f"looking at a row failed: {error!r}"
                    wanting.clear()
            return found

        return tell


def _what_moved() -> str:
    function = getattr(loading, NAME, None)
    if function is None or list(inspect.signature(function).parameters)[: len(PARAMETERS)] != PARAMETERS:
        return f"sqlalchemy.orm.loading.{NAME} is not what it was"
    entity = getattr(orm_context, "_MapperEntity", None)
    if NAME not in getattr(getattr(entity, "row_processor", None), "__code__", _what_moved.__code__).co_names:
        return f"SQLAlchemy's entities no longer load through {NAME}"
    return ""


rows = Rows()
"""The ones of this process."""
