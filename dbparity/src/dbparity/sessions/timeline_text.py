"""A timeline in words: the telling part of it on one screen, or all of it for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbparity.sessions.recording import Entry, Recording, Statement, sizes
from dbparity.sessions.statements import one_line, parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

LINES = 30
WIDTH = 118
PLACE = 32
"""How much of a database's name is shown beside a statement."""
LAST = 10
"""How many of the last entries are shown whatever they are."""

WEIGHTS = {
    "gone": 9,
    "failed": 8,
    "rolled back": 7,
    "rollback": 7,
    "request": 6,
    "write": 5,
    "committed": 5,
    "commit": 5,
    "opened": 4,
    "flushed": 3,
    "statement": 3,
    "expired": 3,
    "closed": 2,
    "answered": 1,
}
"""What is told first where there is no room for all; what is not named here comes last."""


def rendered(recording: Recording) -> str:
    """At most LINES lines: what is telling, and the end; what is left out is said."""
    entries = list(recording.entries)
    chosen = _chosen(entries)
    lines: list[str] = []
    while True:
        lines = _drawn(recording, entries, chosen)
        if len(lines) <= LINES or len(chosen) <= 1:
            return "\n".join(lines)
        chosen.remove(_least(entries, chosen))


def as_dicts(recording: Recording) -> list[dict[str, Any]]:
    """Every entry that was kept."""
    return [_as_dict(recording, entry) for entry in list(recording.entries)]


def _chosen(entries: Sequence[Entry]) -> list[int]:
    """The entries that might fit, in order."""
    ranked = sorted(range(len(entries)), key=lambda index: (-_rank(entries, index), -index))
    return sorted(ranked[:LINES])


def _least(entries: Sequence[Entry], chosen: list[int]) -> int:
    return min(chosen, key=lambda index: (_rank(entries, index), index))


def _rank(entries: Sequence[Entry], index: int) -> int:
    entry = entries[index]
    weight = WEIGHTS["write"] if _writes(entry) else WEIGHTS.get(entry.kind, 0)
    return weight + (LAST if index >= len(entries) - LAST else 0)


def _writes(entry: Entry) -> bool:
    return entry.kind == "statement" and not entry.detail.text.lstrip()[:6].upper().startswith("SELECT")


def _drawn(recording: Recording, entries: Sequence[Entry], chosen: list[int]) -> list[str]:
    lines: list[str] = []
    before = -1
    for index in chosen:
        left_out = index - before - 1 + (recording.lost if before < 0 else 0)
        lines += _gap(left_out)
        lines += _lines(recording, entries[index])
        before = index
    return lines + _gap(len(entries) - before - 1)


def _gap(count: int) -> list[str]:
    return [f"{'…':>10}    {count} {'entry' if count == 1 else 'entries'} left out"] if count else []


def _lines(recording: Recording, entry: Entry) -> list[str]:
    first, *more = entry.detail if entry.kind == "gone" else [_words(recording, entry)]
    where = f"request {entry.request.number}" if entry.request else entry.phase
    mark = "!!! " if entry.kind in {"gone", "failed"} else ""
    line = f"{entry.at * 1000:8.1f} ms {where:<10} {mark}{first}"
    if entry.kind == "gone":
        return [*_folded(line), *(part for each in more for part in _folded(f"{'':27}{each}"))]
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"]


def _folded(line: str) -> list[str]:
    """What is most important is not cut but continued."""
    lines = []
    while len(line) > WIDTH:
        cut = line.rfind(" ", 40, WIDTH)
        cut = cut if cut > 0 else WIDTH
        lines.append(line[:cut])
        line = f"{'':27}{line[cut:].lstrip()}"
    return [*lines, line]


SAID = {
    "request": "the application is asked: {0}",
    "answered": "the application has answered",
    "checkout": "connection {0} is taken from its pool",
    "checkin": "connection {0} is given back to its pool",
    "commit": "a connection without a session commits",
    "rollback": "a connection without a session rolls back",
}
DONE = {
    "began": "begins",
    "committed": "commits",
    "rolled back": "rolls back",
    "expired": "expires all",
    "closed": "is closed",
}


def _words(recording: Recording, entry: Entry) -> str:
    who, detail = f"session {entry.session}", entry.detail
    if isinstance(detail, Statement):
        return _statement(recording, f"{who}: " if entry.session else "", detail)
    if entry.kind in SAID:
        return SAID[entry.kind].format(detail)
    if entry.kind == "opened":
        return f"{who} is made at {detail}" if detail else f"{who} is made"
    if entry.kind == "flushed":
        counts = sizes(detail[:3], ("new", "changed", "deleted"))
        return f"{who} flushes {counts or 'nothing'} ({_objects(detail[3])})"
    return f"{who} {DONE[entry.kind]} ({_objects(detail)})"


def _objects(count: int) -> str:
    return f"holds {count} object{'' if count == 1 else 's'}"


def _statement(recording: Recording, who: str, detail: Statement) -> str:
    facts = [f"{detail.seconds * 1000:.1f} ms"]
    if detail.rows >= 0:
        facts.append(f"{detail.rows} row{'' if detail.rows == 1 else 's'}")
    if detail.executions > 1:
        facts.append(f"{detail.executions} executions")
    if len(set(recording.engines.values())) > 1:  # each has an engine of its own: test and application
        facts.append(f"on {_end(recording.engines.get(detail.engine, '?'))}")
    if detail.error:
        return (
            f"{who}{_error(detail)} at {one_line(detail.text)} {parameters(detail.text, detail.parameters)}"
        )
    end = f" {parameters(detail.text, detail.parameters)} ({', '.join(facts)})"
    text = one_line(detail.text)
    room = max(WIDTH - 27 - len(who) - len(end), 30)
    return f"{who}{text if len(text) <= room else f'{text[: room - 1]}…'}{end}"


def _end(database: str) -> str:
    """The telling end of a database's name: a file may lie deep, and the line is cut at its own end."""
    return database if len(database) <= PLACE else f"…{database[1 - PLACE :]}"


def _error(detail: Statement) -> str:
    """The first line of what the database said: the later ones may quote the values."""
    return one_line(detail.error.splitlines()[0])


def _as_dict(recording: Recording, entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {
        "at_ms": round(entry.at * 1000, 3),
        "kind": entry.kind,
        "phase": entry.phase,
        "request": entry.request.number if entry.request else None,
        "request_label": entry.request.label if entry.request else None,
        "session": entry.session,
    }
    detail = entry.detail
    if isinstance(detail, Statement):
        told |= {
            "statement": one_line(detail.text),
            "parameters": parameters(detail.text, detail.parameters),
            "executions": detail.executions,
            "ms": round(detail.seconds * 1000, 3),
            "rows": detail.rows if detail.rows >= 0 else None,
            "database": recording.engines.get(detail.engine),
            "error": _error(detail) if detail.error else None,
        }
    elif entry.kind == "gone":
        told["text"] = "\n".join(detail)
    else:
        told["text"] = _words(recording, entry)
        if entry.kind == "flushed":
            told["identity_map"] = detail[3]
        elif isinstance(detail, int) and entry.kind not in {"checkout", "checkin"}:
            told["identity_map"] = detail
    return told
