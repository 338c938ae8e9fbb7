"""Makes docs/pictures/dashboard.svg: the dashboard on a running demo, drawn by the program itself.

Run as `python -m benchmarks.picture [FILE.svg]`. A real engine runs the demo; the terminal runs
without a display at 160x48 on it until forecasts have resolved, and exports its screen.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.desk import ask, engine, scratch
from engine.service.client import EngineClient
from engine.service.places import find_socket
from engine.settings import Settings
from tui.app import KlinetopApp

SIZE = (160, 48)
OUTCOMES = 30
LIMIT_S = 300.0
SPEED = "60"
TARGET = Path("docs/pictures/dashboard.svg")
FONT_PX = 20.26  # makes a cell of DejaVu Sans Mono as wide as Textual's, 12.2
FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"


def own_fonts(svg: str) -> str:
    """Return the picture with fonts of the reader's machine, and with its spaces kept.

    Textual names a font on a host far away, and leaves leading spaces to the reader's mercy.
    """
    svg = re.sub(r"@font-face\s*\{[^}]*\}|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"Fira Code(, monospace)?", FONTS, svg)
    svg = svg.replace("font-size: 20px", f"font-size: {FONT_PX}px")
    svg = svg.replace("&#160;", "\N{NO-BREAK SPACE}")
    return re.sub(r"<svg ", '<svg xml:space="preserve" ', svg, count=1)


async def resolved(directory: Path) -> int:
    """Return how many forecasts have resolved."""
    models = (await asyncio.to_thread(ask, directory, "status"))["forecast"]["models"]
    return models[0]["record"]["resolved"] if models else 0


async def drawn(directory: Path) -> str:
    """Run the terminal without a display and return its picture."""

    async def connect() -> Any:
        return await EngineClient.connect(find_socket(directory))

    settings = Settings()
    app = KlinetopApp(
        connect=connect,
        settings=settings.terminal,
        focused="BTCUSDT",
        interval="1m",
        environ={"LANG": "C.UTF-8"},
    )
    async with app.run_test(size=SIZE) as pilot, asyncio.timeout(LIMIT_S):
        while await resolved(directory) < OUTCOMES:
            await pilot.pause(1.0)
        await pilot.press("5")
        await pilot.pause(1.0)
        return app.export_screenshot(title="klinetop --demo")


def main() -> None:
    """Write the picture and print its size."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    with scratch() as directory, engine(directory, "--demo", "--speed", SPEED):
        svg = own_fonts(asyncio.run(drawn(directory)))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(svg, encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\"' )]+", svg)) - {"http://www.w3.org/2000/svg"}
    print(f"{target}: {len(svg.encode()) / 1000:.0f} kB, addresses in it: {addresses or 'none'}")


if __name__ == "__main__":
    main()
