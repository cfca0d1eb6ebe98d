"""The catalogue of refusals (RFC 9457). Every answer that is not a success is one of these.

A `ProblemType` is an entry of the catalogue; a `Problem` is one occurrence of it. An operation *raises* a
problem when its writes must go, and *returns* it when they must stay (a counted failure, an audit row).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TYPE_PREFIX = "urn:problem-type:dashtam:"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with what was sent: where (JSON Pointer, RFC 6901) and what. Never the value."""

    pointer: str
    message: str


class Problem(Exception):  # noqa: N818  RFC 9457 calls it a problem; it is a value as often as it is raised
    """One refusal: an entry of the catalogue, what to say about this case, and headers that belong to it."""

    def __init__(
        self,
        type_: "ProblemType",
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        super().__init__(f"{type_.slug}: {detail}")
        self.type = type_
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """An entry of the catalogue: a stable name, the status it is answered with, and its usual words."""

    slug: str
    status: int
    title: str
    detail: str

    @property
    def urn(self) -> str:
        """The stable identifier that clients may compare: the `type` member."""
        return TYPE_PREFIX + self.slug

    def __call__(
        self,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldError] = (),
    ) -> Problem:
        """An occurrence of this problem."""
        return Problem(self, detail or self.detail, headers=headers, errors=errors)


def retry_after(type_: ProblemType, seconds: float) -> Problem:
    """A problem that says when to come back, in whole seconds, at least one (RFC 9110 section 10.2.3)."""
    return type_(headers={"Retry-After": str(max(1, round(seconds)))})


MALFORMED_REQUEST = ProblemType(
    "malformed-request", 400, "Malformed request", "The request is not well-formed HTTP or JSON."
)
TOKEN_INVALID = ProblemType(
    "token-invalid", 400, "Token invalid", "The token is unknown, expired, or was already used."
)
SESSION_INVALID = ProblemType(
    "token-invalid", 401, "Token invalid", "The token is missing, malformed, expired or revoked."
)
INVALID_CREDENTIALS = ProblemType(
    "invalid-credentials", 401, "Invalid credentials", "The e-mail address or the password is wrong."
)
EMAIL_NOT_VERIFIED = ProblemType(
    "email-not-verified",
    403,
    "E-mail address not verified",
    "The password is right, but its registration has not been verified: follow the link that was mailed.",
)
WRONG_PASSWORD = ProblemType("wrong-password", 403, "Wrong password", "The current password is wrong.")
NOT_FOUND = ProblemType("not-found", 404, "Not found", "There is nothing here.")
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed", 405, "Method not allowed", "This resource does not answer that method; see Allow."
)
EMAIL_TAKEN = ProblemType(
    "email-taken", 409, "E-mail address taken", "Another account has this address by now."
)
BODY_TOO_LARGE = ProblemType(
    "body-too-large", 413, "Body too large", "The request body is larger than allowed."
)
URI_TOO_LONG = ProblemType("uri-too-long", 414, "URI too long", "The request target is longer than allowed.")
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "Send JSON in UTF-8 as application/json, uncompressed.",
)
MISDIRECTED_REQUEST = ProblemType(
    "misdirected-request", 421, "Misdirected request", "This server does not answer for the requested host."
)
INVALID_REQUEST = ProblemType(
    "invalid-request",
    422,
    "Invalid request",
    "Some of what was sent is missing or not as it must be; see errors.",
)
PASSWORD_TOO_SHORT = ProblemType(
    "password-too-short",
    422,
    "Password too short",
    "The password is shorter than allowed; any words will do.",
)
PASSWORD_TOO_LONG = ProblemType(
    "password-too-long", 422, "Password too long", "The password is longer than 1,024 bytes of UTF-8."
)
PASSWORD_BLOCKED = ProblemType(
    "password-blocked",
    422,
    "Password blocked",
    "This password is among the commonest, or is made of your own name or address. Choose another.",
)
TOO_MANY_REQUESTS = ProblemType(
    "too-many-requests", 429, "Too many requests", "Too many tries; wait as long as Retry-After says."
)
HEADERS_TOO_LARGE = ProblemType(
    "headers-too-large", 431, "Headers too large", "The request headers are larger or more than allowed."
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "Internal error",
    "Something went wrong on our side; the request id finds it in the log.",
)
SERVICE_BUSY = ProblemType(
    "service-busy", 503, "Service busy", "The server has more to do than it can; try again after Retry-After."
)
NOT_READY = ProblemType(
    "not-ready", 503, "Not ready", "The service cannot do its work now; GET /health/ready says why."
)

CATALOGUE: tuple[ProblemType, ...] = tuple(
    value for value in tuple(globals().values()) if isinstance(value, ProblemType)
)
