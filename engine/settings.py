"""One typed settings tree: defaults < TOML file < environment < command line.

`load_settings` merges the layers and answers every mistake with one sentence that names the
setting, where it stood, what it means and what was found.
"""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from engine.market.interval import UnknownInterval, parse_interval
from engine.settings_model import Key, Settings, decode_path, setting_keys
from engine.settings_tables import ForecastSettings, TerminalSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ForecastSettings",
    "Settings",
    "SettingsError",
    "TerminalSettings",
    "default_settings_file",
    "is_symbol",
    "load_settings",
    "option_name",
]

SETTINGS_VARIABLE = "KLINETOP_SETTINGS"
ENGINE_SETTINGS_VARIABLE = "KLINETOP_ENGINE_SETTINGS"
MAIL_PASSWORD_VARIABLE = "KLINETOP_MAIL_PASSWORD"  # noqa: S105
_OTHER_VARIABLES = frozenset(
    {
        "KLINETOP_RECORDINGS",
        ENGINE_SETTINGS_VARIABLE,
        MAIL_PASSWORD_VARIABLE,
        SETTINGS_VARIABLE,
    }
)
_SYMBOL = re.compile(r"[\w.\-]{1,50}")
_SCHEMES = {"rest_url": ("http", "https"), "stream_url": ("ws", "wss")}
_LISTS = frozenset({"symbols", "markets", "intervals", "mail.to", "replay"})
_PATHS = frozenset(
    {"data_dir", "report.directory", "mail.password_file", "mail.ca_file", "record.directory"}
)
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_NEEDS_SOURCE = {
    "seed": ("demo",),
    "replay_from": ("replay",),
}


class SettingsError(Exception):
    """A mistake in the settings; its text is a sentence for users."""


class _Given(msgspec.Struct, frozen=True):
    """One value that a layer sets, and how to name the place in a sentence."""

    value: Any
    place: str
    is_text: bool
    base: Path


def load_settings(
    file: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any]
) -> Settings:
    """Merge all layers into one tree.

    Args:
        file: The TOML file; None takes `KLINETOP_SETTINGS`, else the user's own where it exists.
        environ: The environment; variables of other programs are ignored.
        overrides: What the command line sets, by dotted name; text is parsed like a variable's.

    Returns:
        Settings whose paths are absolute and whose symbols are upper case.

    Raises:
        SettingsError: with a sentence for users.
    """
    keys = setting_keys()
    given: dict[str, _Given] = {}
    given |= _from_file(_settings_file(file, environ), keys)
    given |= _from_environment(environ, keys)
    given |= _from_overrides(overrides, keys)
    values = {name: _converted(keys[name], item) for name, item in given.items()}
    settings = _assembled(values)
    _check_source(settings, overrides)
    return settings


def default_settings_file() -> Path:
    """Return where the user's own settings file stands (it need not exist)."""
    import platformdirs

    return Path(platformdirs.user_config_dir("klinetop", appauthor=False)) / "settings.toml"


def option_name(name: str) -> str:
    """Return the command line option of the setting `name`."""
    return "--from" if name == "replay_from" else "--" + name.replace("_", "-")


def is_symbol(text: str) -> bool:
    """Tell whether `text` has the form of a symbol."""
    return _SYMBOL.fullmatch(text) is not None


# --- the layers -----------------------------------------------------------------------------------


def _settings_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    if file is None and environ.get(SETTINGS_VARIABLE):
        file = Path(environ[SETTINGS_VARIABLE])
    if file is not None:
        return file.expanduser()
    own = default_settings_file()
    return own if own.is_file() else None


def _from_file(file: Path | None, keys: Mapping[str, Key]) -> dict[str, _Given]:
    if file is None:
        return {}
    import tomllib

    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"There is no settings file {file}.") from None
    except OSError as error:
        raise SettingsError(
            f"The settings file {file} can not be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"The settings file {file} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The settings file {file} is not valid TOML: {error}.") from None
    base = file.resolve().parent
    return {
        name: _Given(value, f"{name} in {file}", is_text=False, base=base)
        for name, value in _flat(tree, "", keys, file)
    }


def _flat(
    tree: Mapping[str, Any], prefix: str, keys: Mapping[str, Key], file: Path
) -> Iterable[tuple[str, Any]]:
    tables = {name.partition(".")[0] for name in keys if "." in name}
    for key, value in tree.items():
        name = prefix + key
        if not prefix and key in tables:
            if not isinstance(value, dict):
                raise SettingsError(f"{name} in {file} is a table: write [{name}] on its own line.")
            yield from _flat(value, f"{key}.", keys, file)
        elif name in keys:
            yield name, value
        elif isinstance(value, dict) and not prefix:
            close = difflib.get_close_matches(name, tables, n=1)
            nearest = f"; did you mean [{close[0]}]?" if close else "."
            raise SettingsError(f"There is no table [{name}] of settings (in {file}){nearest}")
        else:
            nearest = _nearest(name, keys)
            raise SettingsError(f"There is no setting {name} (in {file}){nearest}")


def _from_environment(environ: Mapping[str, str], keys: Mapping[str, Key]) -> dict[str, _Given]:
    by_variable = {key.variable: name for name, key in keys.items()}
    given = {}
    for variable, text in environ.items():
        if not variable.startswith("KLINETOP_") or variable in _OTHER_VARIABLES:
            continue
        if variable not in by_variable:
            nearest = _nearest(variable, [*by_variable, *_OTHER_VARIABLES])
            raise SettingsError(
                f"The environment variable {variable} is no setting of klinetop{nearest}"
            )
        if text.strip():
            given[by_variable[variable]] = _Given(text, variable, is_text=True, base=Path.cwd())
    return given


def _from_overrides(overrides: Mapping[str, Any], keys: Mapping[str, Key]) -> dict[str, _Given]:
    given = {}
    for name, value in overrides.items():
        if name not in keys:
            raise SettingsError(f"There is no setting {name}{_nearest(name, keys)}")
        is_text = isinstance(value, str)
        given[name] = _Given(value, option_name(name), is_text=is_text, base=Path.cwd())
    return given


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return (
        f"; did you mean {close[0]}?" if close else "; docs/configuration.md lists all there are."
    )


# --- one value ------------------------------------------------------------------------------------


def _converted(key: Key, given: _Given) -> Any:
    value = given.value
    if given.is_text and not value.strip():
        raise _refused(key, given)
    if key.name == "speed" and value == "max":
        value = math.inf
    elif given.is_text:
        value = _split(key.name, value)
    elif key.name in _LISTS and isinstance(value, tuple):
        value = [str(item) for item in value]
    try:
        converted = msgspec.convert(value, key.type, strict=not given.is_text, dec_hook=decode_path)
    except msgspec.ValidationError:
        raise _refused(key, given) from None
    return _checked(key, converted, given)


def _split(name: str, text: str) -> Any:
    if name in _LISTS and name != "replay":
        return [item for item in re.split(r"[,\s]+", text) if item]
    if name == "replay":
        return [item for item in text.split(",") if item]
    return text.strip()


def _checked(key: Key, value: Any, given: _Given) -> Any:
    match key.name:
        case name if name in _PATHS:
            return None if value is None else _absolute(key, value, given)
        case "replay":
            return tuple(_replay_file(key, path, given) for path in value)
        case "symbols":
            return _symbols(key, value, given)
        case "interval":
            return _interval(value, given)
        case "intervals":
            return _intervals(key, value, given)
        case "markets":
            return tuple(dict.fromkeys(name if name == "all" else name.upper() for name in value))
        case "report.at":
            return _time_of_day(key, value, given)
        case "rest_url" | "stream_url":
            return _address(key, value, given)
        case _:
            return _number(key, value, given)


def _number(key: Key, value: Any, given: _Given) -> Any:
    if isinstance(value, int | float) and not key.low <= value <= key.high:
        raise _refused(key, given)
    return value


def _address(key: Key, value: str, given: _Given) -> str:
    if not _is_address(value, _SCHEMES[key.name]):
        raise _refused(key, given)
    return value.rstrip("/")


def _time_of_day(key: Key, value: str | None, given: _Given) -> str | None:
    if value is not None and not _TIME_OF_DAY.fullmatch(value):
        raise _refused(key, given)
    return value


def _interval(name: str, given: _Given) -> str:
    try:
        return parse_interval(name).name
    except UnknownInterval as error:
        raise SettingsError(f"{given.place}: {' '.join(str(error).split())}") from None


def _intervals(key: Key, names: tuple[str, ...], given: _Given) -> tuple[str, ...]:
    if not names:
        raise _refused(key, given)
    return tuple(dict.fromkeys(_interval(name, given) for name in names))


def _symbols(key: Key, names: tuple[str, ...], given: _Given) -> tuple[str, ...]:
    if not names or not all(map(is_symbol, names)):
        raise _refused(key, given)
    return tuple(dict.fromkeys(name.upper() for name in names))


def _replay_file(key: Key, path: Path, given: _Given) -> Path:
    absolute = _absolute(key, path, given)
    if absolute.is_dir():
        raise SettingsError(
            f"{given.place}: {_printable(path)} is a directory; name its files to replay."
        )
    if not absolute.is_file():
        raise SettingsError(f"{given.place}: there is no file {_printable(path)} to replay.")
    return absolute


def _printable(path: Path) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(path))


def _absolute(key: Key, path: Path, given: _Given) -> Path:
    try:
        return Path(given.base, path.expanduser()).resolve()
    except (ValueError, RuntimeError):
        raise _refused(key, given) from None


def _is_address(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _refused(key: Key, given: _Given) -> SettingsError:
    return SettingsError(
        f"{given.place} is {_shown(given.value)}, but takes {key.expects}; "
        f"its meaning: {key.description}."
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


# --- the whole ------------------------------------------------------------------------------------


def _assembled(values: Mapping[str, Any]) -> Settings:
    tables = {
        field.name: field.type
        for field in msgspec.structs.fields(Settings)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
    }
    parts: dict[str, dict[str, Any]] = {"": {}, **{name: {} for name in tables}}
    for name, value in values.items():
        table, _, key = name.rpartition(".")
        parts[table][key] = value
    made: dict[str, Any] = {name: kind(**parts[name]) for name, kind in tables.items()}
    return Settings(**parts[""], **made)


def _check_source(settings: Settings, overrides: Mapping[str, Any]) -> None:
    if settings.demo and settings.replay:
        raise SettingsError("A demo and a replay can not run together: choose --demo or --replay.")
    for name, sources in _NEEDS_SOURCE.items():
        if name in overrides and settings.source not in sources:
            wanted = " or ".join(f"--{source}" for source in sources)
            raise SettingsError(f"{option_name(name)} works only together with {wanted}.")
    if "speed" in overrides and settings.is_binance:
        raise SettingsError(
            f"{option_name('speed')} works only together with --demo, --replay or the addresses of "
            "a simulated exchange: Binance's own clock runs at 1."
        )
    if settings.demo and settings.speed is not None and math.isinf(settings.speed):
        raise SettingsError("Only a replay can run at speed max; give a demo a number such as 20.")
