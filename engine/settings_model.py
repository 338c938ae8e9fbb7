"""The settings tree: what can be set, what it means, and what follows from it.

Each field carries a `msgspec.Meta` with its description and what it expects. Error sentences,
`--help` and `docs/configuration.md` are all made from these.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from engine.settings_files import holds_recording

if TYPE_CHECKING:
    from collections.abc import Sequence

REST_URL = "https://data-api.binance.vision"
STREAM_URL = "wss://data-stream.binance.vision"
TINY = 1e-9
DEMO_SEED = 7
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


def _meta(
    description: str, expects: str, *, low: float = -math.inf, high: float = math.inf
) -> msgspec.Meta:
    extra = {"expects": expects, "low": low, "high": high}
    return msgspec.Meta(description=description, extra=extra)


class TerminalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the terminal looks and how often it asks the engine."""

    frames_per_s: Annotated[
        float,
        _meta(
            "how often a second the terminal asks the engine for changes at most",
            "a number above 0, at most 60",
            low=TINY,
            high=60,
        ),
    ] = 10.0
    ascii: Annotated[
        bool | None,
        _meta("whether to draw with ASCII only; unset, the locale decides", "true or false"),
    ] = None
    palette: Annotated[
        Literal["default", "okabe-ito", "mono"],
        _meta(
            "the set of colours; okabe-ito is safe for colour-blind eyes",
            "one of default, okabe-ito, mono",
        ),
    ] = "default"
    up_color: Annotated[
        Literal["green", "red"],
        _meta("the colour of rising prices", "green or red"),
    ] = "green"


class ForecastSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the forecast looks at and how it is trained."""

    lookahead: Annotated[
        int,
        _meta(
            "how many candles ahead the forecast looks",
            "a whole number from 1 to 1000",
            low=1,
            high=1000,
        ),
    ] = 5
    window: Annotated[
        int,
        _meta(
            "how many candles the network sees at once",
            "a whole number from 2 to 1000",
            low=2,
            high=1000,
        ),
    ] = 10
    train_rows: Annotated[
        int,
        _meta(
            "how many candles a training job uses",
            "a whole number from 500 to 10000000",
            low=500,
            high=10_000_000,
        ),
    ] = 20_000
    networks: Annotated[
        int,
        _meta(
            "how many networks, each with a seed of its own, make one model",
            "a whole number from 1 to 50",
            low=1,
            high=50,
        ),
    ] = 3
    epochs: Annotated[
        int,
        _meta(
            "how many epochs a network is trained at most",
            "a whole number from 1 to 10000",
            low=1,
            high=10_000,
        ),
    ] = 12
    threads: Annotated[
        int,
        _meta(
            "how many processor threads a training job may use",
            "a whole number from 1 to 256",
            low=1,
            high=256,
        ),
    ] = 2


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one run. Build it with `engine.settings.load_settings`."""

    data_dir: Annotated[
        Path | None,
        _meta(
            "the directory of database, models and log; unset, each source has one of its own",
            "the path of a directory",
        ),
    ] = None
    rest_url: Annotated[
        str, _meta("the address of the exchange's REST interface", "an http:// or https:// address")
    ] = REST_URL
    stream_url: Annotated[
        str, _meta("the address of the exchange's streams", "a ws:// or wss:// address")
    ] = STREAM_URL
    symbols: Annotated[
        tuple[str, ...],
        _meta("the markets of the watchlist", "a list of symbols such as BTCUSDT"),
    ] = DEFAULT_SYMBOLS
    interval: Annotated[
        str, _meta("the interval that chart and forecast start with", "an interval such as 1m")
    ] = "1m"
    demo: Annotated[
        bool,
        _meta("whether to run on a generated market, without any network", "true or false"),
    ] = False
    speed: Annotated[
        float | None,
        _meta(
            "exchange seconds per second of a demo, a replay or a simulated exchange; "
            "a replay may also run at max",
            "a number above 0, or max for a replay",
            low=TINY,
        ),
    ] = None
    replay: Annotated[
        tuple[Path, ...],
        _meta("files to replay: kline CSV or recordings", "a list of paths of files"),
    ] = ()
    replay_from: Annotated[
        str | None,
        _meta(
            "the exchange time at which a replay starts; what came before is history",
            "a date and time such as 2024-12-20 or '20 Dec, 2024'",
        ),
    ] = None
    seed: Annotated[
        int,
        _meta("the seed of the generated market", "a whole number, 0 or above", low=0, high=2**53),
    ] = DEMO_SEED
    history_days: Annotated[
        float | None,
        _meta(
            "days of 1m history to hold for each market; unset, the source decides",
            "a number above 0",
            low=TINY,
            high=20_000,
        ),
    ] = None
    auto_train: Annotated[
        bool | None,
        _meta(
            "whether a first model is trained without a key press; unset, only in a demo",
            "true or false",
        ),
    ] = None
    terminal: TerminalSettings = TerminalSettings()
    forecast: ForecastSettings = ForecastSettings()

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
        """Tell this source from others of its kind: the seed, the files, or a foreign host.

        Empty for Binance's own hosts, which all serve the same market.
        """
        if self.demo:
            return f"seed {self.seed}"
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
            return "demo" if self.seed == DEMO_SEED else f"demo-{self.seed}"
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


def setting_keys() -> dict[str, Key]:
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
