"""The file that a fingerprint is kept in: JSON with a format's number, the same facts always in the same order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dbparity.veil import Veil

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FORMAT = 1
KIND = "dbparity fingerprint"

Facts = dict[str, Any]
"""What JSON can say, by names."""


class BadFingerprintError(ValueError):
    """What was to be read is no fingerprint, or one of a later dbparity."""


def sealed(facts: Facts, urls: Iterable[str] = ()) -> Facts:
    """The facts as a document of this format; the passwords of these URLs stand nowhere in it."""
    document: Facts = {"kind": KIND, "format": FORMAT, **facts}
    hidden: Facts = Veil(urls).over(document)
    return hidden


def written(fingerprint: Facts) -> str:
    """The file's text."""
    return json.dumps(fingerprint, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: Path) -> Facts:
    """A fingerprint from its file; BadFingerprintError says in a sentence what is wrong with it."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise BadFingerprintError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not JSON."
        raise BadFingerprintError(msg) from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        msg = f"{path} is no fingerprint. One is made by: dbparity fingerprint -o {path.name}"
        raise BadFingerprintError(msg)
    _check(found, path)
    return found


def _check(found: Facts, path: Path) -> None:
    version = found.get("format")
    if not isinstance(version, int) or version > FORMAT:
        msg = f"{path} has the format {version!r}, and this dbparity reads {FORMAT}: take the newer dbparity for both."
        raise BadFingerprintError(msg)
    sections = [
        name
        for name, value in found.items()
        if name not in {"kind", "format"} and not isinstance(value, dict)
    ]
    if sections:
        msg = f"{path} is damaged: {', '.join(sorted(sections))} should be a table of facts."
        raise BadFingerprintError(msg)
