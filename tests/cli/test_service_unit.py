"""The systemd unit: what stands in it, where it goes, and what the user is told."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.commands import service_unit


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(service_unit, "SYSTEM_UNITS", tmp_path / "system")
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path


def keys(text: str) -> dict[str, str]:
    lines = [line.partition("=") for line in text.splitlines() if "=" in line]
    return {name: value for name, _, value in lines}


def test_a_users_unit_is_written_shown_and_removed(
    klinetop: Any, units: Path, directory: Path
) -> None:
    options = ("--markets", "USDT,BTC*", "--intervals", "1m,1h")
    found = klinetop("service", "install", *options)
    assert (found.status, found.out) == (0, "")
    path = units / "config" / "systemd" / "user" / "klinetop.service"
    text = path.read_text()
    assert "systemctl --user enable --now klinetop" in found.err
    assert "loginctl enable-linger" in found.err
    assert "All candles are kept: about 51 MB a year for each market. retention.days" in found.err
    assert keys(text)["ExecStart"] == (
        f"{sys.executable} -m engine.cli serve --data-dir {directory.resolve()} "
        f'--markets "USDT,BTC*" --intervals 1m,1h'
    )
    assert keys(text)["Restart"] == "always"
    assert "User" not in keys(text)
    assert directory.is_dir()
    assert klinetop("service", "show", *options).out == text
    assert klinetop("service", "install", *options).status == 0
    found = klinetop("service", "install")
    assert found.status == 2
    assert "--force" in found.err
    assert klinetop("service", "install", "--force").status == 0
    assert klinetop("service", "uninstall").status == 0
    assert not path.exists()
    assert directory.is_dir()
    assert klinetop("service", "uninstall").status == 1


def test_a_systems_unit_is_walled_in(
    klinetop: Any, units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "carla")
    found = klinetop("service", "install", "--system", data_dir=None)
    assert found.status == 0
    unit = keys((units / "system" / "klinetop.service").read_text())
    assert unit["User"] == "carla"
    assert "sudo useradd --system carla" in found.err
    monkeypatch.setenv("SUDO_USER", "root")
    found = klinetop("service", "install", "--system", "--force", data_dir=None)
    assert "useradd" not in found.err
    assert unit["StateDirectory"] == "klinetop"
    assert unit["ReadWritePaths"] == "/var/lib/klinetop"
    assert unit["ProtectSystem"] == "strict"
    assert unit["WantedBy"] == "multi-user.target"
    assert "--data-dir /var/lib/klinetop" in found.err
    assert klinetop("service", "show", "--user", "carla").status == 2


def test_paths_are_quoted_as_systemd_wants_it(klinetop: Any, units: Path, tmp_path: Path) -> None:
    strange = tmp_path / 'my "50%" $data'
    found = klinetop("service", "show", "--system", "--user", "root", data_dir=strange)
    assert keys(found.out)["ExecStart"].endswith(f'--data-dir "{tmp_path}/my \\"50%%\\" $$data"')
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not there")
    strange.mkdir()
    path = tmp_path / "klinetop.service"
    path.write_text(found.out)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert "klinetop.service" not in done.stderr


def test_a_mac_is_told_of_launchd(
    klinetop: Any, units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = klinetop("service", "install")
    assert found.status == 1
    assert "launchd" in found.err


def test_what_a_year_costs_and_what_is_pruned_are_told(
    klinetop: Any, units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del units
    found = klinetop("service", "install", "--symbols", "BTCUSDT,ETHUSDT")
    assert "50 MB a year for each market, 101 MB for the 2 of the watchlist" in found.err
    monkeypatch.setenv("KLINETOP_RETENTION_DAYS", "90")
    monkeypatch.setenv("KLINETOP_RETENTION_MAX_GB", "5")
    found = klinetop("service", "install", "--symbols", "BTCUSDT,ETHUSDT", "--force")
    words = (
        "Old candles are pruned once a day, for good: retention.days = 90, retention.max_gb = 5."
    )
    assert words in found.err
