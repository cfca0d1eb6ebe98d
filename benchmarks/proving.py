"""What dbparity takes beside isolation: the gate, a led checkout, an exact expectation, a look at many modules."""

import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

from sqlalchemy import Connection, MetaData, create_engine, func, select
from sqlalchemy.engine import URL, make_url

from benchmarks.databases import Place
from benchmarks.figure import Figure, Target, ratios
from benchmarks.schema import models
from dbparity.committed import Committed
from dbparity.config import Config, Schema
from dbparity.isolation.routing import RedirectTo, Router
from dbparity.observer import Observer, background_loop_in_use
from dbparity.provision.database import TestDatabase
from dbparity.provision.gate import open_gate
from dbparity.schema import compare
from dbparity.sessions.state import LeftBehind
from dbparity.targets import identity_of
from dbparity.watch import RunningTest, Watch

TABLES = 50
GATE_MS = 300.0
EXPECT_MS = 150.0
CHECKOUT_US = 10.0
CHECKOUTS = 50
MODULES = 200
LARGE_MS = 2.0
DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}


def proving(place: Place, seconds: float) -> list[Figure]:
    """A gate that finds 50 tables ready, `expect` over them, a led checkout, and a test of a large application."""
    base = make_url(str(place.settings.database))
    url = base.set(drivername=DRIVERS[base.get_backend_name()])
    metadata, config = models(TABLES), Config(root=place.folder, schema=Schema.CREATE)
    with background_loop_in_use():
        open_gate(url, metadata, config)
        observer = Observer(url)
        database = TestDatabase(url, url, metadata, config, observer, "bench", "main")
        try:
            return [
                _gate(place.database, database, seconds / 4),
                _expect(place.database, database, seconds / 4),
                _checkout(place.database, url, seconds / 4),
                _large(place, seconds / 4),
            ]
        finally:
            observer.close()


def _gate(name: str, database: TestDatabase, seconds: float) -> Figure:
    def gate() -> None:
        open_gate(database.url, database.metadata, database.config)

    def compared() -> None:
        database.observer.call(lambda connection: compare(connection, database.metadata))

    opened, floor = _in_turns(gate, compared, seconds, unit=1e3)
    ratio, spread = ratios(opened, floor)
    row = ("proving", name, f"gate, {TABLES} tables ready", "ms", median(opened), median(floor))
    return Figure(*row, "compare()", ratio, spread, _how(opened), Target("ms", median(opened), GATE_MS))


def _expect(name: str, database: TestDatabase, seconds: float) -> Figure:
    committed = Committed(database)

    def expect() -> None:
        with committed.expect():
            pass

    spent, floor = _in_turns(
        expect, lambda: database.observer.call(lambda it: _counted(it, database.metadata)), seconds, unit=1e3
    )
    committed.close()
    ratio, spread = ratios(spent, floor)
    row = ("proving", name, f"expect over {TABLES} tables", "ms", median(spent), median(floor))
    return Figure(
        *row, "counting each once", ratio, spread, _how(spent), Target("ms", median(spent), EXPECT_MS)
    )


def _checkout(name: str, url: URL, seconds: float) -> Figure:
    engine, router = create_engine(url), Router(Watch([], {}))

    def checkouts() -> None:
        for _ in range(CHECKOUTS):
            engine.raw_connection().close()

    def led() -> None:
        router.install()
        router.lead(identity_of(url), route)
        checkouts()  # connections are made before the clock starts

    route = RedirectTo(url)
    try:
        one, other = _led_in_turns(led, checkouts, router, seconds)
    finally:
        engine.dispose()
    added = [(first - second) * 1e6 / CHECKOUTS for first, second in zip(one, other, strict=True)]
    one, other = ([each * 1e6 / CHECKOUTS for each in spent] for spent in (one, other))
    ratio, spread = ratios(one, other)
    row = ("proving", name, "a checkout that is led", "µs", median(one), median(other))
    target = Target("added µs", median(added), CHECKOUT_US)
    return Figure(*row, "the same, not led", ratio, spread, _how(one), target)


def _large(place: Place, seconds: float) -> Figure:
    """A test that leaves nothing behind, in an application of many modules."""
    package = place.folder / "large_application"
    package.mkdir()
    body = "".join(f"def f{n}(): ...\n" for n in range(40)) + "class C:\n    def m(self): ...\n"
    for number in range(MODULES):
        (package / f"m{number}.py").write_text(body)
    sys.path.insert(0, str(place.folder))
    watches = [Watch([LeftBehind(Config(root=place.folder))], {}), Watch([], {})]
    try:
        names = [f"large_application.m{number}" for number in range(MODULES)]
        for each in names:
            importlib.import_module(each)
        watched, plain = (partial(_tested, watch) for watch in watches)
        watches[0].start()
        spent, floor = _in_turns(watched, plain, seconds, unit=1e3)
        watches[0].stop()
    finally:
        sys.path.remove(str(place.folder))
        for each in [name for name in sys.modules if name.partition(".")[0] == "large_application"]:
            del sys.modules[each]
    ratio, spread = ratios(spent, floor)
    row = ("proving", place.database, f"left-behind, {MODULES} modules", "ms", median(spent), median(floor))
    return Figure(*row, "not watched", ratio, spread, _how(spent), Target("ms", median(spent), LARGE_MS))


def _tested(watch: Watch) -> None:
    watch.begin_test(RunningTest("bench"))
    watch.test_calling()
    watch.test_called()
    watch.end_test()
    watch.forget_test()


def _led_in_turns(
    warm: Callable[[], None], work: Callable[[], None], router: Router, seconds: float
) -> tuple[list[float], list[float]]:
    led: list[float] = []
    plain: list[float] = []
    until = time.perf_counter() + seconds
    while not led or time.perf_counter() < until:
        warm()
        led.append(_timed(work))
        router.uninstall()
        work()
        plain.append(_timed(work))
    return led, plain


def _in_turns(
    one: Callable[[], None], other: Callable[[], object], seconds: float, unit: float
) -> tuple[list[float], list[float]]:
    first: list[float] = []
    second: list[float] = []
    until = time.perf_counter() + seconds
    while not first or time.perf_counter() < until:
        first.append(_timed(one) * unit)
        second.append(_timed(other) * unit)
    return first, second


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _counted(connection: Connection, metadata: MetaData) -> None:
    for table in metadata.tables.values():
        connection.scalar(select(func.count()).select_from(table))


def _how(spent: list[float]) -> str:
    return f"median of {len(spent)}"
