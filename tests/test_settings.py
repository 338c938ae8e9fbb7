"""Layers, sentences and derived values of the settings."""

from __future__ import annotations

import gzip
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engine import settings_doc
from engine.settings import Settings, SettingsError, load_settings
from engine.settings_model import DEFAULT_SYMBOLS, setting_keys

KLINE = "1733007600000,1,2,0.5,1.5,10,1733007659999,15,3,,,\n"
RECORDED = '1723161255030314667 {"stream":"btcusdt@trade"}\n'


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, place in (("config", "config"), ("data", "share")):
        directory = str(tmp_path / place / "klinetop")
        monkeypatch.setattr(f"platformdirs.user_{kind}_dir", lambda *_, d=directory, **__: d)


def toml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    return file


def refusal(file: Path | None = None, environ: Any = None, **overrides: Any) -> str:
    with pytest.raises(SettingsError) as error:
        load_settings(file, environ or {}, overrides)
    return str(error.value)


def test_defaults() -> None:
    found = load_settings(None, {"HOME": "/x", "KLINETOP_RECORDINGS": "/y"}, {})
    assert found == Settings()
    assert found.symbols == DEFAULT_SYMBOLS
    assert (found.source, found.source_note, found.effective_speed) == ("live", "", 1.0)


def test_each_layer_beats_the_one_below(tmp_path: Path) -> None:
    file = toml(tmp_path, 'interval = "5m"\nseed = 1\n[terminal]\nframes_per_s = 4\n')
    environ = {"KLINETOP_SEED": "2", "KLINETOP_TERMINAL_FRAMES_PER_S": "6"}
    assert load_settings(file, {}, {}).terminal.frames_per_s == 4.0
    found = load_settings(file, environ, {"demo": True, "seed": "3"})
    assert (found.interval, found.terminal.frames_per_s, found.seed) == ("5m", 6.0, 3)


def test_the_file_comes_from_argument_variable_or_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "config" / "klinetop" / "settings.toml"
    own.parent.mkdir(parents=True)
    own.write_text('interval = "1h"')
    named = toml(tmp_path, 'interval = "2h"')
    assert load_settings(None, {}, {}).interval == "1h"
    assert load_settings(None, {"KLINETOP_SETTINGS": str(named)}, {}).interval == "2h"
    assert load_settings(own, {"KLINETOP_SETTINGS": str(named)}, {}).interval == "1h"


def test_every_setting_can_be_set_by_file_and_variable(tmp_path: Path) -> None:
    replay = tmp_path / "k.csv"
    replay.write_text(KLINE)
    samples: dict[str, tuple[Any, str, Any]] = {
        "data_dir": (str(tmp_path), str(tmp_path), tmp_path),
        "rest_url": ("http://h:1", "http://h:1/", "http://h:1"),
        "stream_url": ("ws://h:1", "ws://h:1/", "ws://h:1"),
        "symbols": (["a1", "b2", "A1"], "a1, b2 A1", ("A1", "B2")),
        "markets": (["all", "usdt", "Btc*"], "all,usdt Btc*", ("all", "USDT", "BTC*")),
        "intervals": (["1m", "1M"], "1m,1M,1m", ("1m", "1M")),
        "interval": ("1M", "1M", "1M"),
        "demo": (True, "true", True),
        "speed": (2, "2", 2.0),
        "replay": (["k.csv"], str(replay), (replay,)),
        "replay_from": ("2024-12-20", "2024-12-20", "2024-12-20"),
        "seed": (9, "9", 9),
        "history_days": (1.5, "1.5", 1.5),
        "auto_train": (False, "false", False),
        "terminal.frames_per_s": (5, "5", 5.0),
        "terminal.ascii": (True, "1", True),
        "terminal.palette": ("mono", "mono", "mono"),
        "terminal.up_color": ("red", "red", "red"),
        "forecast.lookahead": (7, "7", 7),
        "forecast.window": (20, "20", 20),
        "forecast.train_rows": (1000, "1000", 1000),
        "forecast.networks": (1, "1", 1),
        "forecast.epochs": (2, "2", 2),
        "forecast.threads": (1, "1", 1),
        "report.at": ("23:59", "23:59", "23:59"),
        "report.format": ("csv", "csv", "csv"),
        "report.directory": (str(tmp_path), str(tmp_path), tmp_path),
        "mail.host": ("mail.example", "mail.example", "mail.example"),
        "mail.port": (465, "465", 465),
        "mail.security": ("tls", "tls", "tls"),
        "mail.user": ("me", "me", "me"),
        "mail.password_file": ("k.csv", str(replay), replay),
        "mail.ca_file": ("k.csv", str(replay), replay),
        "mail.sender": ("a@b.example", "a@b.example", "a@b.example"),
        "mail.to": (
            ["a@b.example", "c@d.example"],
            "a@b.example,c@d.example",
            ("a@b.example", "c@d.example"),
        ),
        "retention.days": (0, "0", 0.0),
        "retention.max_gb": (2, "2", 2.0),
        "disk.warn_mb": (10, "10", 10.0),
        "disk.floor_mb": (1, "1", 1.0),
        "record.directory": (str(tmp_path), str(tmp_path), tmp_path),
        "record.keep_hours": (24, "24", 24.0),
    }
    keys = setting_keys()
    assert samples.keys() == keys.keys()
    for name, (in_file, in_variable, wanted) in samples.items():
        table, _, key = name.rpartition(".")
        written = str(in_file).lower() if isinstance(in_file, bool) else repr(in_file)
        head = f"[{table}]\n" if table else ""
        file = toml(tmp_path, f"{head}{key} = {written}\n")
        for found in (
            load_settings(file, {}, {}),
            load_settings(None, {keys[name].variable: in_variable}, {}),
        ):
            part = getattr(found, table) if table else found
            assert getattr(part, key) == wanted, name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[report]\nat = '24:00'", ("report.at", "'24:00'", "a time such as 00:10")),
        ("intervals = ['1x']", ("intervals", "no interval '1x'")),
        ("symbls = []", ("no setting symbls", "did you mean symbols?")),
        ("[terminal]\npalete = 'mono'", ("terminal.palete", "did you mean terminal.palette?")),
        ("interval = 5", ("interval in", "is 5", "interval that chart")),
        ("interval = '7m'", ("interval in", "no interval '7m'", "15m")),
        ("speed = 'fast'", ("speed in", "'fast'", "a number above 0")),
        ("speed = 0", ("speed in", "is 0")),
        ("speed = nan", ("speed in", "is nan")),
        ("speed = true", ("speed in", "is true")),
        ("seed = 1.5", ("seed in", "a whole number")),
        ("history_days = inf", ("history_days in", "is inf")),
        ("symbols = 'BTCUSDT'", ("symbols in", "a list of symbols")),
        ("symbols = []", ("symbols in", "a list of symbols")),
        ("symbols = ['BTC USDT']", ("symbols in", "a list of symbols")),
        ("rest_url = 'ftp://x'", ("rest_url in", "http:// or https://")),
        ("rest_url = 'https://x:99999'", ("rest_url in", "99999")),
        ("stream_url = 'https://x'", ("stream_url in", "ws:// or wss://")),
        ("terminal = 3", ("[terminal]", "table")),
        ("[forcast]\nwindow = 3", ("no table [forcast]", "did you mean [forecast]?")),
        ("[x]\ny = 3", ("no table [x]",)),
        ("data_dir = 3", ("data_dir in", "is 3", "the path of a directory")),
        ("replay = [3]", ("replay in", "is [3]")),
        ("[forecast]\nlookahead = 0", ("forecast.lookahead in", "is 0", "candles ahead")),
        ("replay = ['nothere.csv']", ("replay in", "no file nothere.csv")),
        ("a = 1\nb = x\n", ("not valid TOML", "line 2")),
        ("demo = true\nreplay = ['settings.toml']", ("--demo", "--replay")),
        ("demo = true\nspeed = 'max'", ("Only a replay",)),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    sentence = refusal(toml(tmp_path, text))
    for word in words:
        assert word in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"KLINETOP_SPED": "2"}, ("KLINETOP_SPED", "did you mean KLINETOP_SPEED?")),
        ({"KLINETOP_DEMO": "maybe"}, ("KLINETOP_DEMO is 'maybe'", "true or false")),
        ({"KLINETOP_FORECAST_EPOCHS": "1.5"}, ("KLINETOP_FORECAST_EPOCHS", "a whole number")),
        ({"KLINETOP_SETTINGS": "/no/such.toml"}, ("no settings file /no/such.toml",)),
    ],
)
def test_mistakes_in_the_environment_are_named(
    environ: dict[str, str], words: tuple[str, ...]
) -> None:
    sentence = refusal(None, environ)
    for word in words:
        assert word in sentence


def test_options_without_meaning_are_refused(tmp_path: Path) -> None:
    replay = tmp_path / "k.csv"
    replay.write_text(KLINE)
    assert "--speed works only together with --demo, --replay" in refusal(speed="2")
    foreign = {"rest_url": "http://127.0.0.1:1", "stream_url": "ws://127.0.0.1:1"}
    assert load_settings(None, {}, {"speed": "2", **foreign}).effective_speed == 2.0
    assert "--seed works only together with --demo" in refusal(seed="2", replay=(replay,))
    assert "--from works only together with --replay" in refusal(replay_from="x", demo=True)
    assert "no setting intervall; did you mean interval?" in refusal(intervall="1m")
    assert load_settings(None, {"KLINETOP_SPEED": "2"}, {}).effective_speed == 1.0


def test_empty_variables_count_as_unset() -> None:
    assert load_settings(None, {"KLINETOP_SPEED": "", "KLINETOP_DATA_DIR": " "}, {}) == Settings()


def test_unreadable_files_are_sentences(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in refusal(file)
    assert "can not be read" in refusal(tmp_path)


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = toml(tmp_path, "data_dir = 'here'")
    assert load_settings(file, {}, {}).data_dir == tmp_path / "here"
    assert load_settings(None, {}, {"data_dir": "here"}).data_dir == tmp_path / "sub" / "here"
    assert load_settings(None, {}, {"data_dir": "~/x"}).data_dir == tmp_path / "home" / "x"


def test_each_source_has_a_directory_of_its_own(tmp_path: Path) -> None:
    share = tmp_path / "share" / "klinetop"
    one, two = Path("/a/k.csv"), Path("/a/l.csv")
    found = [
        Settings(),
        Settings(demo=True),
        Settings(demo=True, seed=8),
        Settings(replay=(one,)),
        Settings(replay=(one, two)),
        Settings(rest_url="http://127.0.0.1:9000"),
    ]
    names = [str(item.directory.relative_to(share)) for item in found]
    assert len(set(names)) == len(names)
    assert names[:3] == ["live", "demo-edition-2", "demo-edition-2-seed-8"]
    assert names[5] == "live-127.0.0.1"
    assert Settings(replay=(Path("/b/k.csv"),)).directory == found[3].directory
    assert Settings(data_dir=Path("/d"), demo=True).directory == Path("/d")
    assert Settings(rest_url="https://api.binance.com").directory == share / "live"


def test_source_notes_tell_sources_apart() -> None:
    assert Settings(demo=True, seed=3).source_note == "seed 3, edition 2"
    assert Settings(replay=(Path("/a/b.csv"), Path("c.gz"))).source_note == "b.csv, c.gz"
    assert Settings(rest_url="https://api.binance.com").source_note == ""
    assert Settings(rest_url="https://notbinance.com").source_note == "notbinance.com"


def test_speed_depends_on_what_is_replayed(tmp_path: Path) -> None:
    contents = {"plain": KLINE.encode(), "rec": RECORDED.encode()}
    contents["packed"] = gzip.compress(KLINE.encode())
    contents["rec.gz"] = gzip.compress(RECORDED.encode())
    contents["address"] = b"wss://stream.binance.com:9443/stream?streams=btcusdt@trade\n"
    contents["broken.gz"] = contents["rec.gz"][:12]
    speeds = {}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        speeds[name] = Settings(replay=(tmp_path / name,)).effective_speed
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("k.csv", "open_time,open\n" + KLINE)
    speeds["z"] = Settings(replay=(tmp_path / "z",)).effective_speed
    assert speeds == {
        "plain": 60,
        "rec": 1,
        "packed": 60,
        "rec.gz": 1,
        "address": 1,
        "broken.gz": 60,
        "z": 60,
    }
    fast = load_settings(None, {}, {"replay": (tmp_path / "plain",), "speed": "max"})
    assert math.isinf(fast.effective_speed)
    assert Settings(demo=True).effective_speed == 20
    assert Settings(demo=True, speed=5.0).effective_speed == 5


def test_only_a_demo_trains_by_itself() -> None:
    assert Settings(demo=True).trains_by_itself
    assert not Settings().trains_by_itself
    assert not Settings(demo=True, auto_train=False).trains_by_itself
    assert Settings(auto_train=True).trains_by_itself


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    demo=st.booleans(),
    speed=st.none() | st.floats(0.001, 1e6) | st.just(math.inf),
    names=st.lists(st.text(min_size=1, max_size=5), max_size=3),
    symbols=st.lists(st.from_regex(r"[A-Z0-9]{1,9}", fullmatch=True), min_size=1, max_size=4),
    history=st.none() | st.floats(0.1, 100),
    ascii_only=st.none() | st.booleans(),
)
def test_json_holds_every_setting(
    demo: bool,
    speed: float | None,
    names: list[str],
    symbols: list[str],
    history: float | None,
    ascii_only: bool | None,
) -> None:
    settings = Settings(
        data_dir=Path("/d") if demo else None,
        demo=demo,
        speed=speed,
        replay=tuple(Path("/r") / name.replace("/", "_") for name in names),
        symbols=tuple(symbols),
        history_days=history,
        terminal=Settings().terminal.__class__(ascii=ascii_only),
    )
    assert Settings.from_json(settings.to_json()) == settings


@hypothesis_settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(name="replay", text="0\n")
@example(name="data_dir", text="\x00")
@given(name=st.sampled_from(sorted(setting_keys())), text=st.text(max_size=30))
def test_any_text_is_either_taken_or_refused_in_one_line(name: str, text: str) -> None:
    key = setting_keys()[name]
    sentence = key.variable
    try:
        load_settings(None, {key.variable: text}, {})
    except SettingsError as error:
        sentence = str(error)
    assert key.variable in sentence
    assert "\n" not in sentence


def test_the_page_lists_all_settings() -> None:
    page = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert settings_doc.with_table(page) == page, "run `make docs`"
    with pytest.raises(ValueError, match="marks"):
        settings_doc.with_table("nothing")
