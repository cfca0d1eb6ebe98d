"""Access to the database server: with whose rights we come, and who could read along."""

from ipaddress import ip_address

from dashtam.core.tables import Table
from dashtam.doctor.check import Answer, Check, failure, ok, skipped, warning
from dashtam.doctor.inside import postgresql
from dashtam.doctor.local import Local


async def _role(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    powers = ", ".join(server.powers)
    if not powers:
        return ok(f"role {server.role} has no power beyond its own database")
    if local.settings.environment != "prod":
        return ok(f"role {server.role} has {powers}; as fits {local.settings.environment}, and not prod")
    return warning(
        f"role {server.role} has {powers}: whoever gets into the service would have it too",
        f'Give Dashtam a role of its own that owns its database alone, or: ALTER ROLE "{server.role}" '
        f"{' '.join(f'NO{power}' for power in server.powers)}",
    )


async def _rights(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    if not server.tables:
        return skipped("there are no tables yet")
    denied = [f"{', '.join(table.denied)} on {table.name}" for table in server.tables if table.denied]
    if denied:
        return failure(
            f"role {server.role} lacks {'; '.join(denied)}",
            f"As the tables' owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO "
            f'"{server.role}"',
        )
    return ok(
        f"role {server.role} may read and write {len(server.tables)} of {len(Table.metadata.tables)} tables"
    )


async def _encrypted(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    if server.encrypted:
        return ok("the connection is encrypted")
    if server.address is None:
        return ok("over a Unix socket, which does not leave this machine")
    address = ip_address(server.address)
    if not address.is_global:
        kind = "this machine" if address.is_loopback else "a private network"
        return ok(f"not encrypted, within {kind} ({address})")
    return warning(
        f"the connection to {address} is not encrypted, over a public network",
        "Set up TLS on the server (ssl = on), add ?ssl=verify-full to DATABASE_URL, and name "
        "the file of its authority in PGSSLROOTCERT.",
    )


_NEEDS = ("database.answers",)
CHECKS = (
    Check("access.role", "The role has no power that it does not need", _role, _NEEDS, postgresql.here),
    Check("access.rights", "The role may use every table", _rights, _NEEDS, postgresql.here),
    Check("access.encrypted", "Nobody on the way can read along", _encrypted, _NEEDS, postgresql.here),
)
