"""A process that commits a mail and then waits to be killed: before delivery claims it, or while it is being sent."""

import asyncio
import sys

from dashtam.core.mail import MemoryTransport
from dashtam.settings import load
from tests.core.mail_rig import rigged


class Endless(MemoryTransport):
    async def send(self, message: object) -> None:
        await wait_for_the_end()


async def wait_for_the_end() -> None:
    print("now", flush=True)  # noqa: T201
    await asyncio.Event().wait()


async def main(when: str) -> None:
    async with rigged(load()) as rig:
        await rig.queue("ada@example.org")
        if when == "after-the-claim":
            await rig.delivery(Endless()).run()
        await wait_for_the_end()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
