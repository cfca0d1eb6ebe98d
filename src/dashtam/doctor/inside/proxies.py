"""How the world reaches us: PUBLIC_URL, and the proxies that are believed.

The service speaks plain HTTP, so where PUBLIC_URL is https:// a proxy stands before it. What that one appends to
X-Forwarded-For is believed if it is in TRUSTED_PROXIES: too few, and all clients are one; too many, and clients
say of themselves who they are.
"""

from collections import Counter
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

from sqlmodel import col, select

from dashtam.core.tables import AuditEvent
from dashtam.doctor.check import Answer, Check, failure, ok, skipped, warning
from dashtam.doctor.inside.reserved import is_own_machine, is_reserved
from dashtam.doctor.local import Local

_WIDEST = {4: 13, 6: 29}
"""Prefix lengths of the widest public networks that content delivery networks publish as their own."""
_LATELY = timedelta(days=1)
_LOOKED_AT = 1000  # rows: their table is never purged, and has no index by kind
_ENOUGH = 20
_PEOPLE = 5

Network = IPv4Network | IPv6Network


async def _public_url(local: Local) -> Answer:
    url, host = local.settings.public_url, urlsplit(local.settings.public_url).hostname or ""
    if local.settings.environment != "prod":
        return ok(f"links lead to {url}")
    if is_own_machine(host) or is_reserved(host):
        return failure(
            f"PUBLIC_URL is {url}: mailed links lead nowhere",
            "Set PUBLIC_URL to the address at which people reach the service.",
        )
    if "." not in host and ":" not in host:
        return warning(
            f"PUBLIC_URL is {url}, a name without a domain",
            "Set PUBLIC_URL to the full name: whoever reads a mail elsewhere cannot follow its link.",
        )
    return ok(f"links lead to {url}")


async def _named(local: Local) -> Answer:
    networks = local.settings.trusted_proxies
    if networks:
        return ok(f"believed: {', '.join(networks)}")
    return warning(
        "PUBLIC_URL is https://, so a proxy stands before the service, and TRUSTED_PROXIES is empty",
        "Set TRUSTED_PROXIES to the network of the proxy, such as 127.0.0.1/32: until then all clients have its "
        "address, and share one limit of failed logins and of registrations.",
    )


async def _narrow(local: Local) -> Answer:
    wide = [network for network in local.settings.proxies if _is_too_wide(network)]
    if not wide:
        return ok("every trusted network is private, or no wider than a provider's own")
    return failure(
        f"TRUSTED_PROXIES believes strangers: {', '.join(map(str, wide))}",
        "Name the addresses of your proxies alone: whoever is in such a network can give himself any address, and "
        "so has no limits.",
    )


def _is_too_wide(network: Network) -> bool:
    return not network.is_private and network.prefixlen < _WIDEST[network.version]


async def _told_apart(local: Local) -> Answer:
    seen = await _lately(local)
    if len(seen) < _ENOUGH or len({user for user, _ in seen}) < _PEOPLE:
        return skipped(f"too few logins to tell ({len(seen)} of the last day looked at)")
    ((address, times),) = Counter(ip for _, ip in seen).most_common(1)
    evidence = f"{len({ip for _, ip in seen})} addresses in the last {len(seen)} logins"
    if times < len(seen) or ip_address(address).is_global:
        return ok(evidence)
    return failure(
        f"the last {len(seen)} logins, of different people, all came from {address}: that is a proxy",
        f"Name it in TRUSTED_PROXIES, as {address}/{ip_address(address).max_prefixlen}, and let it set X-Forwarded-For "
        "(nginx: `proxy_set_header X-Forwarded-For $remote_addr;`): all clients share its limits.",
    )


async def _lately(local: Local) -> list[tuple[object, str]]:
    """Who logged in from where, of the newest logins."""
    newest = select(AuditEvent).order_by(col(AuditEvent.id).desc()).limit(_LOOKED_AT).subquery()
    logins = select(newest.c.user_id, newest.c.ip).where(
        newest.c.kind == "logged-in",
        newest.c.ip.is_not(None),
        newest.c.at > local.clock.now() - _LATELY,
    )
    async with local.service.database.read() as db:
        return [(user, str(ip)) for user, ip in (await db.exec(logins)).all()]


def _behind_one(local: Local) -> bool:
    return local.parts is not None and local.settings.public_url.startswith("https://")


def _believes_some(local: Local) -> bool:
    return local.parts is not None and bool(local.settings.trusted_proxies)


_VALID = ("settings.valid",)
CHECKS = (
    Check("proxies.public_url", "PUBLIC_URL is an address for others", _public_url, _VALID),
    Check("proxies.named", "The proxy is named", _named, _VALID, _behind_one),
    Check("proxies.narrow", "No stranger is taken for a proxy", _narrow, _VALID, _believes_some),
    Check("proxies.told_apart", "Clients are told apart", _told_apart, ("schema.truth",), _behind_one),
)
