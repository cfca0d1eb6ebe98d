"""`app.dependency_overrides` and `app.state` of every FastAPI or Starlette application, watched where they stand.

Both are plain attributes of an application that may have been made long before. A descriptor on the class hands
out a watched twin of the dict behind each. FastAPI asks `dependency_overrides` for every dependency that it
solves, so an override that another test left is met at the very request that it answers.
"""

from __future__ import annotations

import sys
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from dbparity.origin import Origin, caller, module_here
from dbparity.sessions.shared import Shared
from dbparity.sessions.watched import NOTHING, Watched, tell_differences

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from dbparity.sessions.scene import Scene

OVERRIDES = ("fastapi.applications", "FastAPI", "dependency_overrides")
STATE = ("starlette.applications", "Starlette", "state")
_SAVING = ("_pytest.", "unittest.mock")


class Overrides(Shared):
    """The overrides of one application."""

    remedy = (
        "Remove it where it was set, behind the fixture's yield: app.dependency_overrides.pop(...). The override of "
        "a shared fixture holds for every test that runs before its end."
    )

    def identify(self, key: Any) -> Hashable:  # noqa: ANN401 - any callable
        return id(key)

    def named(self, key: Any) -> str:  # noqa: ANN401 - the same
        return f"override of {_called(key)}"

    def evidence(self, key: Any) -> tuple[str, ...]:  # noqa: ANN401 - the same
        twin = self.twin() if self.twin else None
        stand_in = dict.get(twin, key) if twin is not None else None
        return (f"{_called(key)} is answered by {_place(stand_in)}",) if stand_in is not None else ()

    twin: weakref.ref[Watched] | None = None

    def is_reading(self) -> bool:
        """FastAPI asks in order to call; anybody else looks, saves or restores."""
        return module_here().startswith("fastapi.")


class State(Shared):
    """`app.state` of one application."""

    remedy = (
        "Delete it where it was set (behind the fixture's yield), set it with monkeypatch, or run the "
        "application's lifespan for each test that needs it."
    )

    def named(self, key: Any) -> str:  # noqa: ANN401 - a name
        return f"app.state.{key}"

    def is_reading(self) -> bool:
        """Starlette's State asks on behalf of its caller; whoever saves a value to restore it does not use it."""
        return not module_here("starlette.datastructures").startswith(_SAVING)


class WatchedAttribute(ABC):
    """A descriptor in place of one attribute of the applications, whose value stays in their own `__dict__`."""

    def __init__(self, scene: Scene, place: tuple[str, str, str]) -> None:
        self.scene = scene
        self.module, self.owner, self.name = place
        self.shared: weakref.WeakKeyDictionary[Any, Shared] = weakref.WeakKeyDictionary()
        self._on: Any = None
        self._seen = scene.guarded(self.seen)
        self._was_set = scene.guarded(self.was_set)

    def install(self) -> None:
        """Stand on the class, once its library is imported."""
        found = getattr(sys.modules.get(self.module), self.owner, None) if self._on is None else None
        if found is not None and self.name not in vars(found):
            self._on = found
            setattr(found, self.name, self)

    def uninstall(self) -> None:
        """Leave the class as it was; the values are where they always were."""
        if self._on is not None:
            delattr(self._on, self.name)
            self._on = None
        self.shared.clear()

    def __get__(self, app: Any, owner: type[Any] | None = None) -> Any:  # noqa: ANN401 - optional libraries
        if app is None:
            return self
        try:
            value = app.__dict__[self.name]
        except KeyError:
            msg = f"{type(app).__name__!r} object has no attribute {self.name!r}"
            raise AttributeError(msg) from None
        handed = self._seen(app, value)
        return value if handed is None else handed

    def __set__(self, app: Any, value: Any) -> None:  # noqa: ANN401 - the same
        before = app.__dict__.get(self.name, NOTHING)
        app.__dict__[self.name] = value.plain if isinstance(value, Watched) else value
        self._was_set(app, before, value)

    def __delete__(self, app: Any) -> None:  # noqa: ANN401 - the same
        del app.__dict__[self.name]

    @abstractmethod
    def seen(self, app: Any, value: Any) -> Any:  # noqa: ANN401 - the same
        """What to hand out for a value."""

    @abstractmethod
    def was_set(self, app: Any, before: Any, value: Any) -> None:  # noqa: ANN401 - the same
        """The attribute has another value now; `before` is NOTHING where the application is being made."""

    def all(self) -> Iterator[Shared]:
        """What is known of every application that is alive."""
        yield from list(self.shared.values())


class OverridesAttribute(WatchedAttribute):
    """`dependency_overrides`: the user's own dict stays where it is, and its twin is handed out."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene, OVERRIDES)
        self._twins: weakref.WeakKeyDictionary[Any, Watched] = weakref.WeakKeyDictionary()

    def uninstall(self) -> None:
        super().uninstall()
        self._twins.clear()

    def seen(self, app: Any, value: Any) -> Any:  # noqa: ANN401 - optional libraries
        twin = self._twins.get(app)
        if twin is None or twin.plain is not value:
            return self._twin(app, value)
        if twin != value:
            twin.take_over()
        return twin

    def was_set(self, app: Any, before: Any, value: Any) -> None:  # noqa: ANN401 - the same
        plain = app.__dict__[self.name]
        if before is NOTHING:
            self.shared[app] = Overrides(self.scene, caller())
        elif type(before) is dict and type(plain) is dict:
            tell_differences(before, plain, self._shared_of(app).changed)
        if isinstance(value, Watched):
            self._twins[app] = value

    def _twin(self, app: Any, value: Any) -> Any:  # noqa: ANN401 - the same
        if type(value) is not dict:  # a mapping of the user's own kind is left to them
            return value
        shared = self._shared_of(app)
        twin = self._twins[app] = Watched(value, shared)
        shared.twin = weakref.ref(twin)
        return twin

    def _shared_of(self, app: Any) -> Overrides:  # noqa: ANN401 - the same
        shared = self.shared.get(app)
        if not isinstance(shared, Overrides):
            shared = self.shared[app] = Overrides(self.scene)
        return shared


class StateAttribute(WatchedAttribute):
    """`state`: Starlette's State stays what it is, and the dict inside it is watched."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene, STATE)

    def seen(self, app: Any, value: Any) -> Any:  # noqa: ANN401 - optional libraries
        if type(getattr(value, "__dict__", {}).get("_state")) is dict:
            if app not in self.shared:
                self.shared[app] = State(self.scene)
            value.__dict__["_state"] = Watched(value.__dict__["_state"], self.shared[app])
        return value

    def was_set(self, app: Any, before: Any, value: Any) -> None:  # noqa: ANN401 - the same
        if before is NOTHING:
            self.shared[app] = State(self.scene, caller())
        else:
            shared = self.shared.setdefault(app, State(self.scene))
            tell_differences(_inside(before), _inside(value), shared.changed)


def _inside(state: Any) -> dict[Any, Any]:  # noqa: ANN401 - the same
    inside = getattr(state, "__dict__", {}).get("_state", {})
    return dict(inside) if isinstance(inside, dict) else {}


def _called(key: Any) -> str:  # noqa: ANN401 - any callable
    return getattr(key, "__qualname__", None) or type(key).__qualname__


def _place(function: Any) -> str:  # noqa: ANN401 - the same
    code = getattr(function, "__code__", None)
    if code is None:
        return _called(function)
    return f"{_called(function)} ({Origin(code.co_filename, code.co_firstlineno, code.co_name)})"
