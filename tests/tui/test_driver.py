"""The driver reads a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import pty

import pytest
from textual.app import App

from tui.driver import metered_driver
from tui.pace import LinkMeter
from tui.screen_diff import ScreenDiff


@pytest.fixture
async def driver():
    app: App[None] = App()
    left = asyncio.Event()
    app.exit = left.set  # type: ignore[method-assign]
    made = metered_driver(LinkMeter(), ScreenDiff())(app, size=(80, 24))
    made.left = left
    main, made.fileno = pty.openpty()
    made.hang_up = lambda: os.close(main)
    yield made
    made.exit_event.set()
    os.close(made.fileno)


async def test_a_terminal_that_hangs_up_ends_the_app_and_its_reading(driver):
    driver.hang_up()
    async with asyncio.timeout(60):
        await asyncio.to_thread(driver.run_input_thread)
        await driver.left.wait()
    assert driver.left.is_set()
