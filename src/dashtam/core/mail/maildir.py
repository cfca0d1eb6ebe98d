"""The development mailbox: a Maildir that all processes of a deployment share and any mail program opens.

A message is written under `tmp` and renamed into `new`, so that readers see all of it or nothing. File
names are `<UUIDv7>.<hash of the recipient>`: they sort by time of delivery and tell whose mail it is, so that
a journey which asks every few milliseconds opens no file but its own.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from pathlib import Path

from dashtam.core.ids import new_id
from dashtam.core.mail.transports import Delivered, MailDeferredError, delivered, recipient

_KEPT = 500
_FOLDERS = ("tmp", "new", "cur")
_HASH_CHARACTERS = 16


class MaildirTransport:
    """Delivers into a Maildir and reads from it. Keeps the newest 500."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def send(self, message: EmailMessage) -> None:
        """Put the message into the folder. Raises MailDeferredError when it cannot be written to."""
        name = f"{new_id().hex}.{_hash(recipient(message))}"
        try:
            await asyncio.to_thread(self._deliver, name, message.as_bytes())
        except OSError as error:
            raise MailDeferredError(f"the mailbox folder cannot be written to: {error.strerror}") from None

    async def delivered(self, to: str | None = None) -> Sequence[Delivered]:
        """What lies there, newest first; only to that address if one is given."""
        return await asyncio.to_thread(self._read, to)

    def _deliver(self, name: str, content: bytes) -> None:
        for folder in _FOLDERS:
            (self._root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._root / "tmp" / name
        with open(fresh, "xb", opener=_private) as file:
            file.write(content)
        fresh.rename(self._root / "new" / name)
        for old in self._files()[_KEPT:]:
            Path(old).unlink(missing_ok=True)

    def _read(self, to: str | None) -> list[Delivered]:
        wanted = None if to is None else _hash(to)
        files = [path for path in self._files() if wanted is None or _whose(path) == wanted]
        return [one for one in map(_open, files) if one is not None]

    def _files(self) -> list[str]:
        """The messages, newest first. A mail program that reads one moves it to `cur` and adds flags."""
        found: list[tuple[str, str]] = []
        for folder in ("new", "cur"):
            with suppress(FileNotFoundError), os.scandir(self._root / folder) as entries:
                found += [(entry.name, entry.path) for entry in entries]
        return [path for _, path in sorted(found, reverse=True)]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _hash(address: str) -> str:
    return sha256(address.lower().encode()).hexdigest()[:_HASH_CHARACTERS]


def _whose(path: str) -> str:
    return path.rpartition(":2,")[0].rpartition(".")[2] if ":2," in path else path.rpartition(".")[2]


def _open(path: str) -> Delivered | None:
    """The message; None when it is gone by now, or none of ours."""
    with suppress(OSError, ValueError, LookupError):
        message = message_from_bytes(Path(path).read_bytes(), EmailMessage, policy=SMTP)
        return delivered(Path(path).name.partition(".")[0], message)
    return None
