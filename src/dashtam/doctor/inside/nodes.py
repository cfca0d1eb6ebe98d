"""Nodes: whether those that share the database are of one version."""

from collections import Counter

from dashtam.core.db import APPLICATION_NAME
from dashtam.doctor.check import Answer, Check, ok, warning
from dashtam.doctor.inside import postgresql
from dashtam.doctor.local import Local

OURS = APPLICATION_NAME.removeprefix(postgresql.NODE)


async def _versions(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    others = Counter((peer.version, peer.address) for peer in server.ours if peer.version != OURS)
    if not others:
        seen = postgresql.counted(len(server.ours), "connection")
        return ok(f"{seen} of running nodes, none of another version than this, {OURS}")
    seen = ", ".join(
        f"{version} on {address} ({postgresql.counted(count, 'connection')})"
        for (version, address), count in sorted(others.items())
    )
    return warning(
        f"beside this version, {OURS}, the database is used by: {seen}",
        "If no update is under way, bring every node to one version, and restart it.",
    )


CHECKS = (
    Check(
        "nodes.versions", "Every node is of one version", _versions, ("database.answers",), postgresql.here
    ),
)
