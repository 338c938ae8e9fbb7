"""The terminal's process stays light: none of the heavy libraries is imported at its start."""

from __future__ import annotations

import subprocess
import sys

import pytest

FORBIDDEN = {
    *("pandas", "numpy", "scipy", "sklearn", "ta", "tensorflow", "keras", "plotext"),
    *("binance", "aiohttp", "sqlite_utils", "dateparser"),
    *("engine.binance", "engine.store", "engine.forecast", "engine.capture", "engine.simulator"),
    *("engine.commands.db", "engine.commands.life", "engine.commands.exporting"),
}


@pytest.mark.parametrize("module", ["tui.cli", "tui.app", "tui.screens.find", "tui.screens.help"])
def test_a_start_imports_nothing_heavy(module):
    code = f"import {module}, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not loaded & FORBIDDEN
