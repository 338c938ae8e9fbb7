"""The settings tree: what can be set, what it means, and what follows from it.

Each field carries a `msgspec.Meta` with its description and what it expects. Error sentences,
`--help` and `docs/configuration.md` are all made from these.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from engine.settings_files import holds_recording
from engine.settings_tables import (
    TINY,
    DiskSettings,
    ForecastSettings,
    MailSettings,
    RecordSettings,
    ReportSettings,
    RetentionSettings,
    TerminalSettings,
    meta,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REST_URL = "https://data-api.binance.vision"
STREAM_URL = "wss://data-stream.binance.vision"
DEMO_SEED = 7
DEMO_EDITION = 2  # as engine.simulator.generated counts them
DEMO_SPEED = 20.0
KLINE_REPLAY_SPEED = 60.0
DEFAULT_SYMBOLS = (
    "BTCUSDT",
    "ETHUSDT",
    "BNBUSDT",
    "SOLUSDT",
    "XRPUSDT",
    "DOGEUSDT",
    "ADAUSDT",
    "TRXUSDT",
    "AVAXUSDT",
    "LINKUSDT",
    "DOTUSDT",
    "LTCUSDT",
)
_BINANCE_DOMAINS = ("binance.vision", "binance.com")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one run. Build it with `engine.settings.load_settings`."""

    data_dir: Annotated[
        Path | None,
        meta(
            "the directory of database, models and log; unset, each source has one of its own",
            "the path of a directory",
        ),
    ] = None
    rest_url: Annotated[
        str, meta("the address of the exchange's REST interface", "an http:// or https:// address")
    ] = REST_URL
    stream_url: Annotated[
        str, meta("the address of the exchange's streams", "a ws:// or wss:// address")
    ] = STREAM_URL
    symbols: Annotated[
        tuple[str, ...],
        meta("the markets of the watchlist", "a list of symbols such as BTCUSDT"),
    ] = DEFAULT_SYMBOLS
    markets: Annotated[
        tuple[str, ...],
        meta(
            "the markets that are captured beside the watchlist, day and night",
            "all, quote assets such as USDT, symbols, or patterns such as BTC*",
        ),
    ] = ()
    intervals: Annotated[
        tuple[str, ...],
        meta(
            "the intervals that are streamed and stored of every captured market",
            "a list of intervals from 1s to 1M, such as 1m,1h",
        ),
    ] = ("1m",)
    interval: Annotated[
        str, meta("the interval that chart and forecast start with", "an interval such as 1m")
    ] = "1m"
    demo: Annotated[
        bool,
        meta("whether to run on a generated market, without any network", "true or false"),
    ] = False
    speed: Annotated[
        float | None,
        meta(
            "exchange seconds per second of a demo, a replay or a simulated exchange; "
            "a replay may also run at max",
            "a number above 0, or max for a replay",
            low=TINY,
        ),
    ] = None
    replay: Annotated[
        tuple[Path, ...],
        meta("files to replay: kline CSV or recordings", "a list of paths of files"),
    ] = ()
    replay_from: Annotated[
        str | None,
        meta(
            "the exchange time at which a replay starts; what came before is history",
            "a date and time such as 2024-12-20 or '20 Dec, 2024'",
        ),
    ] = None
    seed: Annotated[
        int,
        meta("the seed of the generated market", "a whole number, 0 or above", low=0, high=2**53),
    ] = DEMO_SEED
    history_days: Annotated[
        float | None,
        meta(
            "days of 1m history to fetch for each market of the watchlist; unset, 3 of a live"
            " market, 7 of a demo, 60 of a replay; a market that only `markets` names is captured"
            " from then on, and `klinetop backfill` fetches what was before",
            "a number above 0",
            low=TINY,
            high=20_000,
        ),
    ] = None
    auto_train: Annotated[
        bool | None,
        meta(
            "whether a first model is trained without a key press; unset, only in a demo",
            "true or false",
        ),
    ] = None
    terminal: TerminalSettings = TerminalSettings()
    forecast: ForecastSettings = ForecastSettings()
    report: ReportSettings = ReportSettings()
    mail: MailSettings = MailSettings()
    retention: RetentionSettings = RetentionSettings()
    disk: DiskSettings = DiskSettings()
    record: RecordSettings = RecordSettings()

    @property
    def source(self) -> Literal["live", "demo", "replay"]:
        """Where market data come from."""
        if self.demo:
            return "demo"
        return "replay" if self.replay else "live"

    @property
    def is_binance(self) -> bool:
        """Whether market data come from Binance's own hosts."""
        return self.source == "live" and not self.source_note

    @property
    def source_note(self) -> str:
        """Tell this source from others of its kind: seed and edition, files, or a foreign host.

        Empty for Binance's own hosts, which all serve the same market.
        """
        if self.demo:
            return f"seed {self.seed}, edition {DEMO_EDITION}"
        if self.replay:
            return ", ".join(path.name for path in self.replay)
        host = urlsplit(self.rest_url).hostname or ""
        is_binance = any(host == name or host.endswith(f".{name}") for name in _BINANCE_DOMAINS)
        return "" if is_binance else host

    @property
    def directory(self) -> Path:
        """The data directory: the one that was set, else one in the user's data directory.

        There each source has its own (`live`, `demo`, `replay-…`), so that they never mix.
        """
        if self.data_dir is not None:
            return self.data_dir
        import platformdirs

        return Path(platformdirs.user_data_dir("klinetop", appauthor=False)) / self._own_name()

    @property
    def effective_speed(self) -> float:
        """Exchange seconds per wall second; `inf` stands for as fast as can be.

        Unless set: 1 live and for recordings, 20 in the demo, 60 for kline files.
        """
        if self.is_binance:
            return 1.0
        if self.speed is not None:
            return self.speed
        if self.source == "live":
            return 1.0
        if self.demo:
            return DEMO_SPEED
        return 1.0 if self.is_recording else KLINE_REPLAY_SPEED

    @property
    def is_recording(self) -> bool:
        """Whether a recording is replayed, which plays once and from its beginning."""
        return any(map(holds_recording, self.replay))

    @property
    def speed_word(self) -> str:
        """The effective speed as the simulated exchange takes it: a number, or `max`."""
        speed = self.effective_speed
        return "max" if math.isinf(speed) else f"{speed:g}"

    @property
    def trains_by_itself(self) -> bool:
        """Whether a first model is trained without a key press."""
        return self.demo if self.auto_train is None else self.auto_train

    def with_symbols(self, symbols: Sequence[str]) -> Settings:
        """Return these settings with the watchlist `symbols`."""
        return msgspec.structs.replace(self, symbols=tuple(symbols))

    def to_json(self) -> str:
        """Return the settings as JSON, as the engine's process takes them."""
        plain = msgspec.to_builtins(self, enc_hook=str)
        if self.speed is not None and math.isinf(self.speed):
            plain["speed"] = "max"
        return msgspec.json.encode(plain).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Settings:
        """Return the settings that `to_json` wrote; raises `msgspec.ValidationError`."""
        plain = msgspec.json.decode(text)
        if isinstance(plain, dict) and plain.get("speed") == "max":
            plain["speed"] = math.inf
        return msgspec.convert(plain, cls, dec_hook=decode_path)

    def _own_name(self) -> str:
        if self.demo:
            name = f"demo-edition-{DEMO_EDITION}"
            return name if self.seed == DEMO_SEED else f"{name}-seed-{self.seed}"
        if self.replay:
            import hashlib

            names = "\n".join(path.name for path in self.replay)
            return f"replay-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
        return f"live-{self.source_note}" if self.source_note else "live"


class Key(msgspec.Struct, frozen=True):
    """One setting: its dotted name, type, default, meaning, and the values it takes.

    `low` and `high` bound a number, both inclusive.
    """

    name: str
    type: Any
    default: Any
    description: str
    expects: str
    low: float
    high: float

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "KLINETOP_" + self.name.upper().replace(".", "_")


@cache
def setting_keys() -> Mapping[str, Key]:
    """Return every setting by its dotted name, in the order of the tree."""
    return {key.name: key for key in _keys_of(Settings, "")}


def decode_path(kind: type, value: Any) -> Any:
    """Decode hook of msgspec for paths."""
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise TypeError(f"{value!r} is no {kind.__name__}")


def _keys_of(struct: type[msgspec.Struct], prefix: str) -> list[Key]:
    found: list[Key] = []
    for field in msgspec.structs.fields(struct):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += _keys_of(field.type, f"{prefix}{field.name}.")
            continue
        meta = next(item for item in field.type.__metadata__ if isinstance(item, msgspec.Meta))
        name, description = prefix + field.name, meta.description or ""
        found.append(Key(name, field.type, field.default, description, **(meta.extra or {})))
    return found
