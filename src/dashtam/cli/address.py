"""Where the service listens: the options, the settings that follow from them, and the socket itself."""

import errno
import os
import socket
from typing import Annotated
from urllib.parse import urlsplit

import typer

from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.trouble import Refusal
from dashtam.settings import Settings, load

Host = Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for every one.")]
Port = Annotated[int, typer.Option(envvar="PORT", min=1, max=65535, help="The port to listen on.")]

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared with, not bound to
_BACKLOG = 2048


def own_url(host: str, port: int) -> str:
    """How this machine reaches a server that listens there."""
    host = _EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def base_url(url: str) -> str:
    """The URL of a server without its last slash; refused unless it is one."""
    if not _is_base_url(url):
        raise Refusal(f"{url} is not a base URL such as http://127.0.0.1:8000.", ExitCode.USAGE)
    return url.rstrip("/")


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and not (parts.query or parts.fragment)


def settings_at(host: str, port: int) -> Settings:
    """The settings of the environment; an unset PUBLIC_URL follows the port, here and in children."""
    os.environ.setdefault("PUBLIC_URL", own_url(host, port))
    return load()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, or a refusal that says why there can be none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise _no_socket(error, host, port) from None


def _no_socket(error: OSError, host: str, port: int) -> Refusal:
    if error.errno == errno.EADDRINUSE:
        return Refusal(
            f"Port {port} is in use by another program: end that one, or choose another port, as in "
            f"`dashtam up --port {port + 1 if port < 65535 else port - 1}`.",  # noqa: PLR2004
            ExitCode.PORT_BUSY,
        )
    if error.errno == errno.EACCES:
        return Refusal(f"Port {port} may not be opened by this user: choose one above 1023.", ExitCode.USAGE)
    return Refusal(f"Cannot listen on {host}: it is not an address of this machine.", ExitCode.USAGE)
