"""`python -m dashtam.ready`: is the server of this machine ready? The health check of the container image.

It asks /health/ready on PORT under the host name of PUBLIC_URL, which is the one that production answers to. It
starts in a fraction of a command's time, because it is run every few seconds: the standard library and no more.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

_SECONDS = 4
_READY = 200
_SHOWN_BYTES = 1000


def why_not(port: int, host: str) -> str:
    """Why the server on the port is not ready, or nothing."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/health/ready", headers={"Host": host})
        answer = connection.getresponse()
        said = answer.read(_SHOWN_BYTES).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return f"no answer on port {port}: {type(error).__name__} {error}"
    finally:
        connection.close()
    return "" if answer.status == _READY else f"{answer.status} {said}"


def main() -> int:
    """Say why not, if so, and end with 1."""
    port = int(os.environ.get("PORT") or 8000)
    reason = why_not(port, urlsplit(os.environ.get("PUBLIC_URL", "")).netloc or "127.0.0.1")
    if reason:
        sys.stderr.write(f"{reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
