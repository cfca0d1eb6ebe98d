"""The event loop that dbparity's own connections live on ends with its last user, and not before."""

from __future__ import annotations

import asyncio

from dbparity.observer import background_loop, background_loop_in_use


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_a_use_within_a_use_leaves_the_loop_to_the_outer_one() -> None:
    with background_loop_in_use():
        outer = background_loop()
        with background_loop_in_use():
            assert background_loop() is outer
        assert outer.run(answer()) == 42
    assert outer.loop.is_closed()
    with background_loop_in_use():
        assert background_loop() is not outer
        assert background_loop().run(answer()) == 42
