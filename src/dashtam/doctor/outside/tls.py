"""TLS as strangers meet it: the certificate, old versions, and what is left without it."""

import asyncio
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2

from dashtam.doctor.check import Answer, Check, failure, ok, skipped, warning
from dashtam.doctor.outside.answers import health
from dashtam.doctor.remote import Remote

_HTTPS_PORT = 443
_SECONDS = 1.5
_LONGEST_NOTICE = timedelta(days=14)
_SHORTEST_HSTS = 86_400
_CANNOT = "this machine's own TLS library cannot speak the old versions"
# What OpenSSL says before anything is sent.
_OURS = frozenset({"NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE"})


async def _certificate(server: Remote) -> Answer:
    shown = certificate(await server.get("/health/live"))
    if not shown:
        return skipped("its certificate cannot be seen from here")
    begins, ends = (_moment(shown[name]) for name in ("notBefore", "notAfter"))
    left = ends - server.clock.now()
    evidence = f"good until {ends:%Y-%m-%d}, {max(left, timedelta()).days} days from now"
    # Those that are renewed by themselves are renewed when a third of their life is left.
    if left > min(_LONGEST_NOTICE, (ends - begins) / 4):
        return ok(evidence)
    return warning(
        evidence, "Renew the certificate, and find out why that has not happened by itself by now."
    )


def certificate(answer: httpx2.Response) -> dict[str, Any]:
    """The certificate that this answer's connection was made with, as the ssl module tells it; or nothing."""
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream else None
    return dict(tls.getpeercert() or {}) if tls else {}


def _moment(text: Any) -> datetime:  # noqa: ANN401  as the ssl module types it
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC)


async def _versions(server: Remote) -> Answer:
    old = _only_old_versions()
    if old is None:
        return skipped(_CANNOT)
    parts = urlsplit(server.url)
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(server.host, parts.port or _HTTPS_PORT, ssl=old)
    except (OSError, ssl.SSLError, TimeoutError) as error:
        if isinstance(error, ssl.SSLError) and error.reason in _OURS:
            return skipped(_CANNOT)
        return ok("TLS 1.0 and 1.1 are refused")
    version = writer.get_extra_info("ssl_object").version()
    writer.close()
    return failure(
        f"a connection with {version} is accepted",
        "Let the proxy speak TLS 1.2 and 1.3 alone (RFC 8996), as in nginx's `ssl_protocols TLSv1.2 TLSv1.3;`.",
    )


def _only_old_versions() -> ssl.SSLContext | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is said on this connection
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    except (ValueError, ssl.SSLError):
        return None
    return context


async def _plain_http(server: Remote) -> Answer:
    parts = urlsplit(server.url)
    if parts.port not in {None, _HTTPS_PORT}:
        return skipped(f"port {parts.port} has no twin without TLS")
    plain = f"http://{parts.netloc.removesuffix(':443')}{parts.path}/health/live"
    try:
        answer = await server.client.get(plain, timeout=_SECONDS)
    except httpx2.TransportError as error:
        return ok(f"{plain} does not answer ({type(error).__name__})")
    to = answer.headers.get("Location", "")
    if answer.is_redirect and to.startswith("https://"):
        return ok(f"{plain} leads to https://")
    if health(answer):
        return failure(
            f"{plain} answers {answer.status_code}: passwords and tokens can be sent there in the clear",
            "Let the proxy redirect http:// to https://, and keep the service's own port closed to others.",
        )
    return ok(f"{plain} answers {answer.status_code}, and not as Dashtam does")


async def _hsts(server: Remote) -> Answer:
    said = (await server.get("/health/live")).headers.get("Strict-Transport-Security", "")
    if _max_age(said) >= _SHORTEST_HSTS:
        return ok(said)
    if not said:
        return warning(
            "Strict-Transport-Security is missing",
            "The service sends it when its PUBLIC_URL is https://: set that, for mailed links are made of it too. "
            "If it is set, a proxy takes the header off: let it pass.",
        )
    return warning(f"Strict-Transport-Security is {said}", "Let the proxy pass on the service's own header.")


def _max_age(header: str) -> int:
    for part in header.lower().split(";"):
        name, _, value = part.strip().partition("=")
        if name == "max-age" and value.strip('"').isdigit():
            return int(value.strip('"'))
    return 0


def _by_tls(server: Remote) -> bool:
    return server.https


_NEEDS = ("server.prompt",)
CHECKS = (
    Check("tls.certificate", "The certificate is good for a while", _certificate, _NEEDS, _by_tls),
    Check("tls.versions", "Old versions of TLS are refused", _versions, ("tls.certificate",), _by_tls),
    Check("tls.plain_http", "Nothing is served without TLS", _plain_http, _NEEDS, _by_tls),
    Check("tls.hsts", "Browsers are told to come by TLS alone", _hsts, _NEEDS, _by_tls),
)
