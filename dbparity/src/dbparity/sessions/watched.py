"""A dict that tells who changes it and which of its entries are read, and otherwise is the dict that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING: Any = object()


class Listener(Protocol):
    """Who is told."""

    def changed(self, key: Any, before: Any, after: Any) -> None:  # noqa: ANN401 - whatever the dict holds
        """An entry was set or (`NOTHING`) removed."""

    def read(self, key: Any) -> None:  # noqa: ANN401 - the same
        """An entry is asked for."""


class Watched(dict[Any, Any]):
    """Writes through to `plain`, the dict that its owner holds, so that both are always the same."""

    def __init__(self, plain: dict[Any, Any], listener: Listener) -> None:
        super().__init__(plain)
        self.plain = plain
        self.listener = listener

    def take_over(self) -> None:
        """Follow changes that were made in `plain` itself."""
        before = dict(self)
        super().clear()
        super().update(self.plain)
        tell_differences(before, self.plain, self.listener.changed)

    def get(self, key: Any, default: Any = None) -> Any:  # noqa: ANN401 - as dict's
        self.listener.read(key)
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - as dict's
        self.listener.read(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401 - as dict's
        before = dict.get(self, key, NOTHING)
        super().__setitem__(key, value)
        self.plain[key] = value
        self.listener.changed(key, before, value)

    def __delitem__(self, key: Any) -> None:  # noqa: ANN401 - as dict's
        before = dict.get(self, key, NOTHING)
        super().__delitem__(key)
        self.plain.pop(key, None)
        self.listener.changed(key, before, NOTHING)

    def pop(self, key: Any, *default: Any) -> Any:  # noqa: ANN401 - as dict's
        if key not in self and default:
            return default[0]
        value = dict.__getitem__(self, key)
        del self[key]
        return value

    def popitem(self) -> tuple[Any, Any]:
        key, value = super().popitem()
        self.plain.pop(key, None)
        self.listener.changed(key, value, NOTHING)
        return key, value

    def clear(self) -> None:
        for key in list(self):
            del self[key]

    def update(self, *others: Any, **entries: Any) -> None:  # noqa: ANN401 - as dict's
        for key, value in dict(*others, **entries).items():
            self[key] = value

    def setdefault(self, key: Any, default: Any = None) -> Any:  # noqa: ANN401 - as dict's
        if key not in self:
            self[key] = default
        return dict.__getitem__(self, key)

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc] # noqa: ANN401 - as dict's
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled as the plain dict."""
        return dict, (dict(self),)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:  # noqa: ANN401 - as object's
        return self.__reduce__()


def tell_differences(
    before: dict[Any, Any], after: dict[Any, Any], tell: Callable[[Any, Any, Any], None]
) -> None:
    """Tell of each entry that one dict has and the other has not, or has otherwise."""
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key, NOTHING), after.get(key, NOTHING)
        if old is not new:
            tell(key, old, new)
