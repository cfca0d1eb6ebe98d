"""A fingerprint of here and now, put together from what interpreter, machine, packages and databases say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from dbparity.asking import asked
from dbparity.fingerprint.connections import as_the_application
from dbparity.fingerprint.database import database_facts, metadata_or_none
from dbparity.fingerprint.file import Facts, sealed
from dbparity.fingerprint.interpreter import process, python
from dbparity.fingerprint.machine import machine
from dbparity.fingerprint.packages import imported_packages, packages
from dbparity.fingerprint.sessions import application_session, engine_of, sessions
from dbparity.fingerprint.variables import variables
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy.engine import URL

    from dbparity.config import Config


def collect(config: Config, urls: Sequence[str | URL] = ()) -> Facts:
    """What there is here; of the databases those at `urls`, each asked through its own driver."""
    made = [make_url(url) for url in urls]
    metadata = metadata_or_none(config) if made else None
    databases = [
        asked(url, partial(database_facts, url=url, config=config, metadata=metadata)) for url in made
    ]
    session_facts = sessions(config)
    engine = engine_of(application_session(config))
    if engine is not None and identity_of(engine.url) in {identity_of(url) for url in made}:
        session_facts["connection"] = as_the_application(engine)
    return around(
        config,
        databases,
        sessions=session_facts,
        imported=imported_packages(),
        urls=[url.render_as_string(hide_password=False) for url in made],
    )


def around(
    config: Config,
    databases: Iterable[Facts],
    *,
    imported: Collection[str],
    urls: Collection[str] = (),
    **further: Facts,
) -> Facts:
    """The fingerprint that these databases belong into; sections without a fact are left out."""
    named = by_backend(databases)
    drivers = [str(each["driver"]) for each in named.values()]
    facts: Facts = {
        "about": {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": f"dbparity {version('dbparity')}",
        },
        "python": python(),
        "process": process(),
        "machine": machine(),
        "packages": packages(config, imported=imported, drivers=drivers),
        "environment": variables(config),
        "databases": named,
        **further,
    }
    return sealed({name: value for name, value in facts.items() if value}, [config.url, *urls])


def _spelled(database: Facts) -> str:
    return json.dumps({name: each for name, each in database.items() if name != "place"}, sort_keys=True)


def by_backend(databases: Iterable[Facts]) -> dict[str, Facts]:
    """Each database under its backend's name; a second one that differs is numbered, one that does not is the same.

    By what they are: which worker of a run tells first is chance.
    """
    named: dict[str, Facts] = {}
    for _, each in sorted({_spelled(each): each for each in databases}.items()):
        backend = "postgresql" if "server_version" in each else "sqlite"
        number = sum(name.partition(" ")[0] == backend for name in named)
        named[f"{backend} {number + 1}" if number else backend] = each
    return named
