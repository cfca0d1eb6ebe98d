"""What is there for browsers: the pages behind mailed links, the headers that protect them, and nothing else."""

import asyncio
import re
from http import HTTPStatus

from dashtam.doctor.check import Answer, Check, failure, ok, warning
from dashtam.doctor.remote import Remote

_PAGES = {
    "/verify-email": "text/html",
    "/confirm-email": "text/html",
    "/reset-password": "text/html",
    "/static/landing.js": "text/javascript",
    "/static/pages.css": "text/css",
}
_PROTECTING = (
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
)
_TELLING = ("Server", "X-Powered-By")
_ORIGIN = "https://doctor-asks.invalid"


async def _links(server: Remote) -> Answer:
    answers = await asyncio.gather(*(server.get(path) for path in _PAGES))
    missing = [
        f"{path} answers {answer.status_code}"
        for (path, kind), answer in zip(_PAGES.items(), answers, strict=True)
        if answer.status_code != HTTPStatus.OK or not answer.headers.get("Content-Type", "").startswith(kind)
    ]
    if not missing:
        return ok("the pages behind mailed links, their script and their style are there")
    return failure(
        "; ".join(missing),
        "Mailed links lead there: let the proxy pass on these paths too, not those of the API alone.",
    )


async def _mailbox(server: Remote) -> Answer:
    answer = await server.get("/dev/mailbox")
    if answer.status_code != HTTPStatus.OK:
        return ok(f"/dev/mailbox answers {answer.status_code}")
    if not server.is_public:
        return ok("open, as it is for development; this address is nobody else's")
    return failure(
        "/dev/mailbox is open: whoever can reach it reads every reset link, and so owns every account",
        "Set ENVIRONMENT=prod and MAIL_TRANSPORT=smtp, or close the path in the proxy.",
    )


async def _protecting(server: Remote) -> Answer:
    page = await server.get("/verify-email")
    missing = [name for name in _PROTECTING if name not in page.headers]
    if not missing:
        return ok(f"{len(_PROTECTING)} headers that protect browsers arrive")
    return warning(
        f"missing on pages: {', '.join(missing)}",
        "The service sends them: a proxy takes them off, or sets its own in their place.",
    )


async def _origins(server: Remote) -> Answer:
    headers = {"Origin": _ORIGIN, "Access-Control-Request-Method": "POST"}
    answers = await asyncio.gather(
        server.get("/health/live", headers={"Origin": _ORIGIN}),
        server.ask("OPTIONS", f"{server.prefix}/auth/login", headers=headers),
    )
    allowed = {answer.headers.get("Access-Control-Allow-Origin") for answer in answers} & {"*", _ORIGIN}
    if not allowed:
        return ok("a web site that we made up may not call the API from browsers")
    return warning(
        f"Access-Control-Allow-Origin: {' and '.join(sorted(map(str, allowed)))}, for an origin that we made up",
        "A proxy lets every web site use the API from its visitors' browsers. Name the origins of your own clients.",
    )


async def _software(server: Remote) -> Answer:
    answer = await server.get("/health/live")
    shown = {name: answer.headers.get(name, "") for name in _TELLING}
    telling = [f"{name}: {value}" for name, value in shown.items() if re.search(r"/\d", value)]
    if not telling:
        return ok("no header names the version of a program")
    return warning(
        f"headers name versions: {'; '.join(telling)}",
        "Let the proxy keep them to itself (nginx: `server_tokens off;`): they tell which known holes to try.",
    )


CHECKS = (
    Check("pages.links", "Mailed links lead to their pages", _links, needs=("server.prompt",)),
    Check(
        "pages.mailbox", "The development mailbox is not open to others", _mailbox, needs=("server.prompt",)
    ),
    Check("headers.protecting", "Browsers are told what to refuse", _protecting, needs=("server.prompt",)),
    Check("headers.origins", "Not every web site may call the API", _origins, needs=("server.prompt",)),
    Check("headers.software", "No header names versions of programs", _software, needs=("server.prompt",)),
)
