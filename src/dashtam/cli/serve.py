"""`dashtam serve`: the service itself, under uvicorn with uvloop and httptools.

Settings are checked before anything is imported that takes time. What this process imports, every worker
carries along for ever, so it is kept to the service and the server.
"""

import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated

import typer

from dashtam.cli.address import Host, Port, listen, own_url, settings_at
from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.trouble import Refusal

if TYPE_CHECKING:
    from uvicorn import Config

_GRACE_SECONDS = 15
_KEEP_ALIVE_SECONDS = 5
STDIN = 0
_READ_BYTES = 64

Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes that serve; they share the port.")]
Reload = Annotated[bool, typer.Option("--reload", help="Start again when the code changes; for development.")]
UntilEof = Annotated[bool, typer.Option("--until-eof", hidden=True)]


def serve(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 1,
    reload: Reload = False,
    until_eof: UntilEof = False,
) -> None:
    """Serve the API until stopped. The database must have been migrated; until then /health/ready says so."""
    os.umask(0o077)  # what the service makes in VAR_DIR is its own
    signal.signal(signal.SIGTERM, _end)  # once it has stopped in good order, uvicorn raises the signal again
    settings = settings_at(host, port)
    if reload and (workers > 1 or settings.environment == "prod"):
        raise Refusal("--reload is for one worker, and not for production.", ExitCode.USAGE)
    listener = listen(host, port)
    if until_eof:
        threading.Thread(target=_stop_at_eof, daemon=True).start()

    from dashtam.core.logs import configure

    configure(settings)
    logging.getLogger("dashtam.serve").info("listening on %s", own_url(host, port))
    raise typer.Exit(_run_reloading(listener) if reload else _run(listener, workers))


def _run_reloading(listener: socket) -> ExitCode:
    from uvicorn import Server
    from uvicorn.supervisors import ChangeReload

    import dashtam

    config = _config(1)
    config.reload = True
    config.reload_dirs = [Path(dashtam.__file__).parent]
    ChangeReload(config, target=Server(config).run, sockets=[listener]).run()
    return ExitCode.OK


def _run(listener: socket, workers: int) -> ExitCode:
    from uvicorn import Server

    config = _config(workers)
    try:
        if workers > 1:
            from uvicorn.supervisors import Multiprocess

            Multiprocess(config, sockets=[listener]).run()
            return ExitCode.OK
        _load(config)
        server = Server(config)
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # Ctrl-C, after the same good order
        return ExitCode.OK
    return ExitCode.OK if server.started else ExitCode.FAILED


def _load(config: "Config") -> None:
    """Import the service. What is made meanwhile stays for good: looking for garbage in it is lost time."""
    gc.disable()
    config.load()
    gc.freeze()
    gc.enable()


def _config(workers: int) -> "Config":
    from uvicorn import Config

    return Config(
        "dashtam.app:from_environment",
        factory=True,
        workers=workers,
        loop="uvloop",
        http="dashtam.http.wire:PatientProtocol",  # httptools, with limits on a head still arriving
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # it would log raw paths; ours leaves queries out
        proxy_headers=False,  # believed by our own rule alone: TRUSTED_PROXIES
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _end(_signal: int, _frame: object) -> None:
    sys.exit(ExitCode.OK)


def _stop_at_eof() -> None:
    """Stop when whoever started us is gone, even killed: then nobody holds the other end of our stdin."""
    while os.read(STDIN, _READ_BYTES):  # not sys.stdin, whose lock an ending interpreter would wait for
        pass
    os.kill(os.getpid(), signal.SIGTERM)
