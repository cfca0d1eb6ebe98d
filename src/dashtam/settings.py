"""The settings: read once, by `app` or `cli`, checked as a whole, frozen, and handed down.

Every variable a user meets is a field here. A bad one stops the start, by name and never with its value.
"""

import os
import re
import secrets
from contextlib import suppress
from email.headerregistry import Address, AddressHeader
from email.policy import SMTP
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from dashtam import secret_files, urls

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SECRET_BYTES = 32
SECRET_FILE = "secret_key"  # noqa: S105  its name
"""In VAR_DIR: the secret of a deployment that was given none."""
_PLACEHOLDER = re.compile(
    r"change.?me|secret.?key|your.?secret|example|placeholder|insert.?here|default|sample", re.IGNORECASE
)
_DISTINCT_CHARACTERS = 10
_RESERVED_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+(invalid|test)")
_SENDER = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,255}")
_UNITS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY}
_RATE = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,5})([smhd])")


class Rate(NamedTuple):
    """At most `tries` in a window of `seconds`. Written as `10/15m`; units are s, m, h and d."""

    tries: int
    seconds: int


class BadSettingsError(Exception):
    """Settings that the service refuses to start with: (variable, what is wrong), without any value."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {fault}" for name, fault in faults))
        self.faults = faults


def _rate(text: object) -> object:
    if not isinstance(text, str):
        return text
    match = _RATE.fullmatch(text.strip())
    if not match:
        msg = "must look like 10/15m: a count, a slash, a duration in s, m, h or d"
        raise ValueError(msg)
    return Rate(int(match[1]), int(match[2]) * _UNITS[match[3]])


def _words(text: object) -> object:
    return tuple(word.strip() for word in text.split(",") if word.strip()) if isinstance(text, str) else text


class _FaultsError(ValueError):
    """Carries named faults out of a validator of the whole."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("the settings do not fit together")
        self.faults = faults


def _prefix_length(network: str) -> int:
    try:
        return ip_network(network, strict=False).prefixlen
    except ValueError:
        return 0


Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """All of the service's settings, by the names of their environment variables in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    environment: Literal["dev", "test", "ci", "prod"] = Field(
        "dev", description="Which kind of deployment this is."
    )
    debug: bool = Field(default=False, description="More logging. Refused in prod.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe log shown."
    )
    var_dir: Path = Field(Path("var"), description="Folder for what the service keeps beside the database.")
    database_url: str = Field(
        "", description="sqlite:///path or postgresql://user:password@host/name; empty: SQLite in VAR_DIR."
    )
    database_pool_size: int = Field(16, ge=1, le=200, description="PostgreSQL connections a worker may open.")
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="At least 32 bytes; what all secrets derive from. Required in prod, else made.",
    )

    api_v1_prefix: str = Field("/api/v1", description="Where the API lives.")
    public_url: str = Field(
        "http://127.0.0.1:8000", description="How the world reaches us: links and issuer."
    )
    allowed_hosts: Words = Field((), description="Further Host names we answer for, comma-separated.")
    trusted_proxies: Words = Field(
        (), description="Networks whose X-Forwarded-For is believed, comma-separated."
    )
    api_docs: bool | None = Field(
        default=None, description="/docs, /redoc, /openapi.json; empty: not in prod."
    )

    mail_transport: Literal["mailbox", "smtp", "memory"] = Field("mailbox", description="Where mail goes.")
    mail_from: str = Field("Dashtam <no-reply@dashtam.invalid>", description="The From of every mail.")
    smtp_url: SecretStr = Field(
        SecretStr(""), description="smtp://user:password@host:587 (STARTTLS required) or smtps://host:465."
    )
    smtp_plaintext: bool = Field(default=False, description="Speak to SMTP without TLS. Refused in prod.")

    signing_algorithm: Literal["ES256", "EdDSA", "RS256"] = Field("ES256", description="Signs access tokens.")
    key_publish_seconds: int = Field(
        10 * MINUTE, ge=6 * MINUTE, le=7 * DAY, description="Published before it signs, s."
    )
    token_audience: str = Field("dashtam", min_length=1, max_length=200, description="aud of access tokens.")
    access_token_seconds: int = Field(10 * MINUTE, ge=30, le=10 * MINUTE, description="Access token life, s.")
    refresh_replay_seconds: int = Field(
        10, ge=0, le=300, description="A spent refresh token may be retried, s."
    )
    session_idle_seconds: int = Field(14 * DAY, ge=MINUTE, le=90 * DAY, description="Session ends unused, s.")
    session_lifetime_seconds: int = Field(30 * DAY, ge=MINUTE, le=365 * DAY, description="Session ends, s.")
    verify_token_seconds: int = Field(DAY, ge=MINUTE, le=DAY, description="Life of a verification link, s.")
    reset_token_seconds: int = Field(HOUR, ge=MINUTE, le=HOUR, description="Life of a reset link, s.")

    password_min_length: int = Field(15, ge=8, le=128, description="Characters a new password needs.")
    argon2_memory_kib: int = Field(19 * 1024, ge=7 * 1024, le=1024 * 1024, description="Memory a hash, KiB.")
    argon2_time_cost: int = Field(2, ge=1, le=64, description="Passes a hash.")
    argon2_parallelism: int = Field(1, ge=1, le=16, description="Lanes a hash.")
    hash_threads: int = Field(0, ge=0, le=64, description="Hashes at once a worker; 0: as many as cores.")
    hash_queue: int = Field(64, ge=1, le=10_000, description="Hashes that may wait; beyond: 503.")

    rate_login_per_account: Annotated[Rate, NoDecode] = Field(
        Rate(10, 15 * MINUTE), description="Password tries an account and source."
    )
    rate_login_account_total: Annotated[Rate, NoDecode] = Field(
        Rate(50, 15 * MINUTE),
        description="Password tries an account from sources it was never logged in from.",
    )
    rate_login_per_source: Annotated[Rate, NoDecode] = Field(
        Rate(300, 15 * MINUTE), description="Failed logins a source."
    )
    rate_register_per_source: Annotated[Rate, NoDecode] = Field(
        Rate(100, HOUR), description="Registrations a source."
    )
    rate_mail_per_address: Annotated[Rate, NoDecode] = Field(
        Rate(5, HOUR), description="Mails of a kind that strangers may cause an address to be sent."
    )
    rate_mail_per_source: Annotated[Rate, NoDecode] = Field(
        Rate(100, HOUR), description="Reset and verification mails a source may ask for."
    )

    smoke_token: SecretStr = Field(
        SecretStr(""), description="Lets the journey read its own mail; ≥ 32 bytes."
    )
    smoke_domain: str = Field(
        "journey.invalid", description="Reserved domain of the journey's addresses, below .invalid or .test."
    )

    _rates = field_validator(
        "rate_login_per_account",
        "rate_login_account_total",
        "rate_login_per_source",
        "rate_register_per_source",
        "rate_mail_per_address",
        "rate_mail_per_source",
        mode="before",
    )(_rate)
    _lists = field_validator("allowed_hosts", "trusted_proxies", mode="before")(_words)

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, url: str) -> str:
        return urls.database_url(url) if url else url

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, url: str) -> str:
        return urls.public_url(url)

    @field_validator("api_v1_prefix")
    @classmethod
    def _prefix(cls, prefix: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", prefix):
            msg = "must start with a slash, end without one, and hold letters, digits, '.', '_' and '-' only"
            raise ValueError(msg)
        return prefix

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            if _prefix_length(network) == 0:
                msg = "must be networks such as 10.0.0.0/8, and must not trust every address"
                raise ValueError(msg)
        return networks

    @field_validator("smoke_domain")
    @classmethod
    def _smoke_domain(cls, domain: str) -> str:
        if not _RESERVED_DOMAIN.fullmatch(domain):
            msg = "must be a name below .invalid or .test (RFC 6761), in lower case: nobody's real domain"
            raise ValueError(msg)
        return domain

    @field_validator("mail_from")
    @classmethod
    def _mail_from(cls, text: str) -> str:
        parse_sender(text)
        return text

    @field_validator("secret_key", "smoke_token")
    @classmethod
    def _strong_secret(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        if text and len(text.encode()) < SECRET_BYTES:
            msg = f"must be at least {SECRET_BYTES} bytes long; make one with: openssl rand -base64 48"
            raise ValueError(msg)
        if text and (len(set(text)) < _DISTINCT_CHARACTERS or _PLACEHOLDER.search(text)):
            msg = "is a sample or too simple; make one with: openssl rand -base64 48"
            raise ValueError(msg)
        return secret

    @model_validator(mode="after")
    def _as_a_whole(self) -> Self:
        faults = [*self._faults_anywhere(), *(self._faults_in_prod() if self.environment == "prod" else [])]
        if faults:
            raise _FaultsError(faults)
        return self

    def _faults_anywhere(self) -> list[tuple[str, str]]:
        faults = []
        if self.mail_transport == "smtp" and not urls.is_smtp(self.smtp_url.get_secret_value()):
            faults.append(
                ("SMTP_URL", "must be smtp://host:port or smtps://host:port when MAIL_TRANSPORT=smtp")
            )
        strong = {(46 * 1024, 1), (19 * 1024, 2), (12 * 1024, 3), (9 * 1024, 4), (7 * 1024, 5)}
        if not any(self.argon2_memory_kib >= m and self.argon2_time_cost >= t for m, t in strong):
            faults.append(
                ("ARGON2_MEMORY_KIB", "with ARGON2_TIME_COST is below the floor: 19456 KiB with 2 passes")
            )
        if self.session_idle_seconds > self.session_lifetime_seconds:
            faults.append(("SESSION_IDLE_SECONDS", "must not be longer than SESSION_LIFETIME_SECONDS"))
        return faults

    def _faults_in_prod(self) -> list[tuple[str, str]]:
        faults = []
        if not self.secret_key.get_secret_value():
            faults.append(("SECRET_KEY", "is required in prod; make one with: openssl rand -base64 48"))
        if self.debug:
            faults.append(("DEBUG", "must be off in prod"))
        if not self.public_url.startswith("https://"):
            faults.append(("PUBLIC_URL", "must be https:// in prod"))
        if self.mail_transport != "smtp":
            faults.append(("MAIL_TRANSPORT", "must be smtp in prod"))
        if self.smtp_plaintext:
            faults.append(("SMTP_PLAINTEXT", "must be off in prod"))
        return faults

    @property
    def database(self) -> str:
        """The database URL with its driver; SQLite in VAR_DIR where none is given."""
        return self.database_url or f"sqlite+aiosqlite:///{self.var_dir / 'dashtam.db'}"

    @property
    def docs_on(self) -> bool:
        """Whether the API's documentation is served."""
        return self.environment != "prod" if self.api_docs is None else self.api_docs

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """TRUSTED_PROXIES as networks."""
        return tuple(ip_network(network, strict=False) for network in self.trusted_proxies)

    @property
    def mailbox_dir(self) -> Path:
        """Where the development mailbox keeps its mail."""
        return self.var_dir / "mailbox"


def parse_sender(text: str) -> Address:
    """MAIL_FROM as one ASCII address with a display name. Raises ValueError for anything else."""
    header = SMTP.header_factory("From", text) if text.isprintable() else None
    addresses = header.addresses if isinstance(header, AddressHeader) else ()
    if len(addresses) != 1 or not _SENDER.fullmatch(addresses[0].addr_spec):
        msg = "must be one address, such as: Dashtam <no-reply@example.org>"
        raise ValueError(msg)
    return Address(display_name=addresses[0].display_name, addr_spec=addresses[0].addr_spec)


def load(**given: object) -> Settings:
    """The settings of the environment, with `given` ones over them. Raises BadSettingsError."""
    settings = _read(given)
    if settings.secret_key.get_secret_value():
        return settings
    return settings.model_copy(update={"secret_key": SecretStr(made_secret(settings.var_dir))})


def look(**given: object) -> Settings:
    """The same, but nothing is made: `secret_key` is empty where it has yet to be made."""
    settings = _read(given)
    path = settings.var_dir / SECRET_FILE
    if settings.secret_key.get_secret_value() or not _is_there(path):
        return settings
    return settings.model_copy(update={"secret_key": SecretStr(_kept_secret(path))})


def _is_there(path: Path) -> bool:
    """Whether something has this name, if only a link to nothing, or what this user may not look at."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(given: dict[str, object]) -> Settings:
    from_files, faults = secret_files.read_all(os.environ)
    try:
        settings = Settings(**{**from_files, **given})  # type: ignore[arg-type]
    except (ValidationError, SettingsError) as error:
        raise BadSettingsError(_beside(faults, _faults(error))) from None
    if faults:
        raise BadSettingsError(faults)
    return settings


def _beside(of_files: list[tuple[str, str]], others: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """All of them; that a secret is missing goes without saying where its file is what is wrong."""
    named = {name for name, _ in of_files}
    return of_files + [fault for fault in others if f"{fault[0]}_FILE" not in named]


def _faults(error: ValidationError | SettingsError) -> list[tuple[str, str]]:
    if isinstance(error, SettingsError):
        named = re.search(r'field "(\w+)"', str(error))
        return [(named[1].upper() if named else "SETTINGS", "cannot be read")]
    faults: list[tuple[str, str]] = []
    for fault in error.errors(include_url=False, include_input=False):
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, _FaultsError):
            faults += cause.faults
        else:
            faults.append(
                (".".join(map(str, fault["loc"])).upper(), fault["msg"].removeprefix("Value error, "))
            )
    return faults


def made_secret(var_dir: Path) -> str:
    """The secret of a development deployment: made on first use, kept in VAR_DIR, readable by its owner only."""
    path = var_dir / SECRET_FILE
    try:
        var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            fresh = var_dir / f"{SECRET_FILE}.{secrets.token_hex(8)}"
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(48), encoding="ascii")
            with suppress(FileExistsError):
                path.hardlink_to(fresh)
            fresh.unlink()
    except OSError as error:
        raise _unkept(path, error) from None
    return _kept_secret(path)


def _kept_secret(path: Path) -> str:
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unkept(path, error) from None
    if len(secret.encode()) < SECRET_BYTES:
        raise BadSettingsError(
            [("SECRET_KEY", f"the one kept in VAR_DIR ({path.name}) is too short; remove the file")]
        )
    return secret


def _unkept(path: Path, error: Exception) -> BadSettingsError:
    return BadSettingsError([("VAR_DIR", f"cannot keep {path.name} there: {type(error).__name__}")])
