"""Runs a command under an environment file: `python scripts/under.py env/.env.dev dashtam up`.

What is set already wins over the file.
"""

import os
import sys
from pathlib import Path

from dbparity.environment import BadEnvFileError, apply


def main() -> None:
    """Become the command."""
    if len(sys.argv) <= len(("under.py", "FILE")):
        sys.exit(__doc__)
    file, *command = sys.argv[1:]
    try:
        apply(Path(file), os.environ)
        os.execvp(command[0], command)  # noqa: S606 - that is the purpose
    except BadEnvFileError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
