"""A short faulty day of one seed, as `benchmarks/faulty_day.py` lives through long ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
# At 120 times the speed of time a fault comes every 2.5 seconds of wall-clock time.
DAY = ["--seeds", "7", "--hours", "1.5", "--markets", "3", "--speed", "120", "--kills", "1"]


@pytest.mark.long
def test_a_short_faulty_day_loses_nothing(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.faulty_day", *DAY, "--keep", str(tmp_path / "day")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    print(found.stdout)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 missing, 0 wrong, 0 extra" in found.stdout.splitlines()[-1]
    assert "270 candles compared" in found.stdout
