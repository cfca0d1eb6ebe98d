"""The API behind the URL: at its prefix, with its database, and the keys that others verify its tokens with."""

import asyncio
import re
from http import HTTPStatus
from typing import Any

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from dashtam.doctor.check import Answer, Check, FoundError, failure, ok, warning
from dashtam.doctor.outside.problems import is_problem
from dashtam.doctor.remote import Remote

_KEYS = "/.well-known/jwks.json"
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k", "oth"})
_ALGORITHMS = {"EC": "ES256", "OKP": "EdDSA", "RSA": "RS256"}
_KEPT_SECONDS = 300  # what the service allows; KEY_PUBLISH_SECONDS is never less than 360
# Of the right form, and nobody's.
_MADE_UP_TOKEN = "dot1_" + "doctor" * 7 + "x"


async def _prefix(server: Remote) -> Answer:
    answer = await server.get(f"{server.prefix}/auth/me")
    if is_problem(answer, HTTPStatus.UNAUTHORIZED, "token-invalid"):
        return ok(f"{server.prefix}/auth/me refuses who sends no token")
    page = await server.get("/verify-email")
    told = re.search(r'data-send="(?P<prefix>[\w./-]+)/auth/verify-email"', page.text)
    if told and f"/{told['prefix']}" != server.prefix:
        return failure(
            f"{server.prefix}/auth/me answers {answer.status_code}; its pages send to /{told['prefix']}",
            f"Ask with `--prefix /{told['prefix']}`, or set API_V1_PREFIX to what clients use.",
        )
    return failure(
        f"{server.prefix}/auth/me answers {answer.status_code} in place of 401",
        "See that the proxy passes the API's paths on unchanged, and that API_V1_PREFIX is what clients use.",
    )


async def _tokens(server: Remote) -> Answer:
    answer = await server.ask(
        "POST", f"{server.prefix}/password-resets/check", json={"token": _MADE_UP_TOKEN}
    )
    if is_problem(answer, HTTPStatus.BAD_REQUEST, "token-invalid"):
        return ok("a made-up reset token was looked up in the database, and refused")
    return failure(
        f"a made-up reset token is answered with {answer.status_code} in place of 400",
        "See what the server's log says of it, and that the proxy passes bodies on unchanged.",
    )


async def _no_store(server: Remote) -> Answer:
    answers = await asyncio.gather(
        server.get(f"{server.prefix}/auth/me"),
        server.ask("POST", f"{server.prefix}/password-resets/check", json={"token": _MADE_UP_TOKEN}),
    )
    said = {answer.headers.get("Cache-Control", "missing") for answer in answers}
    if all("no-store" in each for each in said):
        return ok("answers about accounts and tokens say no-store")
    return failure(
        f"answers about accounts and tokens say Cache-Control: {', '.join(sorted(said))}",
        "Browsers and proxies may keep them. Let the proxy leave Cache-Control as the service sets it.",
    )


async def _keys(server: Remote) -> Answer:
    keys = _listed(await server.get(_KEYS))
    if any(_PRIVATE & key.keys() for key in keys):
        return failure(
            "a published key holds its private members: anyone can sign tokens",
            "Take this server off the net now; then `DELETE FROM signing_keys` and start it again.",
        )
    if faults := _faults(keys, server):
        return failure(
            "; ".join(faults),
            "See that this address is the service's own, not a copy; `dashtam keys list` shows its keys.",
        )
    return ok(f"{len(keys)} published, {', '.join(sorted({str(key['alg']) for key in keys}))}")


def _listed(answer: httpx2.Response) -> list[dict[str, Any]]:
    try:
        keys = answer.json()["keys"]
        if keys and all(isinstance(key, dict) for key in keys):
            return list(keys)
    except (ValueError, LookupError, TypeError):
        pass
    raise FoundError(
        failure(
            f"{_KEYS} answers {answer.status_code} without a key: nobody can verify tokens",
            "See that the proxy passes this path on, and that /health/ready answers 200.",
        )
    )


def _faults(keys: list[dict[str, Any]], server: Remote) -> list[str]:
    try:
        named = [key.kid == key.thumbprint() for key in KeySet.import_key_set({"keys": keys}).keys]
    except (JoseError, ValueError, LookupError, TypeError):
        return ["a published key cannot be read"]
    algorithms = {str(key.get("alg")) for key in keys}
    faults = [] if all(named) else ["a key's kid is not its thumbprint"]
    if any(_ALGORITHMS.get(str(key.get("kty"))) != key.get("alg") for key in keys):
        faults.append(f"algorithms {', '.join(sorted(algorithms))} are not all of those that sign here")
    elif server.settings is not None and server.settings.signing_algorithm not in algorithms:
        faults.append(f"no key is for {server.settings.signing_algorithm}, which SIGNING_ALGORITHM asks for")
    return faults


async def _keys_kept(server: Remote) -> Answer:
    said = (await server.get(_KEYS)).headers.get("Cache-Control", "")
    ages = [int(age) for age in re.findall(r"(?:^|[\s,])(?:max-age|s-maxage)=(\d+)", said)]
    if ages and max(ages) <= _KEPT_SECONDS:
        return ok(f"others may keep them for {max(ages)} s")
    if ages:
        return failure(
            f"others may keep the published keys for {max(ages)} s: after a rotation they refuse good tokens that long",
            "Let the proxy leave Cache-Control as the service sets it: 300 s.",
        )
    return warning(
        f"the published keys come with Cache-Control: {said or 'missing'}, so they are fetched for every token",
        "Let the proxy leave Cache-Control as the service sets it: public, max-age=300.",
    )


CHECKS = (
    Check("api.prefix", "The API is where clients ask for it", _prefix, needs=("server.prompt",)),
    Check("api.tokens", "The API looks tokens up", _tokens, needs=("api.prefix",)),
    Check("api.no_store", "Nobody keeps what is secret", _no_store, needs=("api.prefix",)),
    Check("api.keys", "The published keys are sound", _keys, needs=("server.prompt",)),
    Check(
        "api.keys_kept", "The published keys are kept as long as they may be", _keys_kept, needs=("api.keys",)
    ),
)
