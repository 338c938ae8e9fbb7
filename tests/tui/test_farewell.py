"""The line on the shell after the terminal: what goes on, where, and how to stop it."""

from __future__ import annotations

from pathlib import Path

from engine.settings import Settings
from tui.farewell import farewell


def test_an_engine_that_goes_on_is_told_with_how_to_stop_it() -> None:
    said = farewell(Settings(data_dir=Path("/my data"), demo=True), 42, stops=False)
    assert said == (
        "The engine (pid 42) goes on and stores into /my data: `klinetop --data-dir '/my data'` "
        "shows it again, `klinetop stop --data-dir '/my data'` stops it."
    )
    usual = farewell(Settings(), 42, stops=None)
    assert "`klinetop` shows it again, `klinetop stop` stops it." in usual
    assert "`klinetop stop --data-dir" in farewell(Settings(demo=True), 42, stops=False)


def test_an_engine_that_ends_is_told_with_where_its_data_are() -> None:
    where = Settings(data_dir=Path("/d"))
    assert farewell(where, 42, stops=True) == "The engine stops; what it stored is in /d."
    assert farewell(where, None, stops=None) == "No engine runs any more; what it stored is in /d."
