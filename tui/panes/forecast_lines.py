"""The forecast in words and figures: one function for each part, from plain data to lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from engine.market.forecast import BETTER, RIVALLED, WORSE
from engine.market.interval import DAY_MS, parse_interval
from engine.service.contract import ForecastSection
from tui.cells import spread
from tui.model import DeskModel
from tui.panes.big_digits import big
from tui.widgets import formats
from tui.widgets.meter import meter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style

    from engine.market.forecast import JobInfo, ModelInfo, PredictionRow, TrackRecord
    from tui.cells import Cell, Line

BUSY: Final = ("queued", "fetching", "starting", "training", "evaluating")
COIN_BRIER: Final = 0.25
LEAST_TOLD_TIES: Final = 0.05
_LABEL: Final = 11


class Sheet(msgspec.Struct, frozen=True):
    """What the lines are made for.

    Attributes:
        width: Columns there are.
        height: Rows there are.
    """

    model: DeskModel
    section: ForecastSection
    width: int
    height: int

    def label(self, text: str) -> Cell:
        """Return a row's label in the pane's left column."""
        return (f" {text:<{_LABEL - 1}}", self.model.palette.dim)

    def joined(self, cells: Sequence[Cell]) -> Line:
        """Return `cells` with a quiet dot between them."""
        separator = (f" {self.model.glyphs.middot} ", self.model.palette.dim)
        line: list[Cell] = []
        for index, cell in enumerate(cells):
            if index:
                line.append(separator)
            line.append(cell)
        return tuple(line)


def forecast_lines(sheet: Sheet) -> list[Line]:
    """Return the pane's lines, the most important first, at most `sheet.height`."""
    section = sheet.section
    job = job_lines(sheet, section.job) if section.job is not None else []
    if section.latest is None:
        lines = [*_no_forecast(sheet), ()] if job else _no_forecast(sheet)
        return [*lines[: max(0, sheet.height - len(job))], *job]
    lines = _headline(sheet, section.latest)
    lines += _outcomes(sheet, section.recent)
    if section.record is not None:
        lines += _record(sheet, section.record)
    elif section.model is not None:
        lines += _model(sheet, section.model)
    room = sheet.height - len(job)
    lines = lines[: max(0, room)]
    if room - len(lines) >= 2:
        lines += _ledger(sheet, section.recent, room - len(lines))
    if job:
        lines += [()] * (sheet.height - len(lines) - len(job))
    return [*lines, *job]


def _is_busy(job: JobInfo | None) -> bool:
    return job is not None and job.state in BUSY


def _is_trained(section: ForecastSection) -> bool:
    job = section.job
    return job is not None and _is_busy(job) and _is_about(job, section)


def _is_about(job: JobInfo, section: ForecastSection) -> bool:
    return (job.symbol, job.interval) == (section.symbol, section.interval)


def _no_forecast(sheet: Sheet) -> list[Line]:
    section, palette = sheet.section, sheet.model.palette
    what = f"{section.symbol} {section.interval}"
    note = section.note or "There is no forecast for this symbol and interval yet."
    is_first_training = section.model is None and _is_trained(section)
    if is_first_training:
        note = f"The first model of {what} is being made; forecasts start when it is done."
    lines: list[Line] = [
        (),
        *((("  " + part, palette.text),) for part in _wrap(note, sheet.width - 4)),
    ]
    if section.model is None and not is_first_training:
        help_text = (
            f"t  trains an LSTM on the stored candles of {what}: is the close {section.lookahead} "
            "candles later higher? It takes about a minute, in a process of its own; x cancels it."
        )
        lines.append(())
        lines += [((f"  {part}", palette.dim),) for part in _wrap(help_text, sheet.width - 4)]
    elif section.model is not None:
        lines += [(), *_model(sheet, section.model)]
    return lines


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _headline(sheet: Sheet, latest: PredictionRow) -> list[Line]:
    palette, glyphs, section = sheet.model.palette, sheet.model.glyphs, sheet.section
    is_up = latest.p_up >= 0.5
    style = palette.up if is_up else palette.down
    arrow = glyphs.up if is_up else glyphs.down
    figure = f"{latest.p_up * 100:.0f}%"
    words = (
        (
            ("chance that the close in ", palette.dim),
            (f"{section.lookahead} candles", palette.text),
            (_higher(section.model), palette.dim),
        ),
        _due(sheet, latest),
        _verdict(sheet),
    )
    if glyphs.is_ascii or sheet.height < 9:
        head: Line = ((f"  {arrow} {figure[:-1]} %", style + palette.bright), ("   ", palette.text))
        return [(*head, *words[0]), (sheet.label(""), *words[1]), (sheet.label(""), *words[2])]
    rows = big(figure)
    middle = (" ", arrow, " ")
    return [((f"  {middle[row]} {rows[row]}  ", style), *words[row]) for row in range(3)]


def _higher(info: ModelInfo | None) -> str:
    """Say what the probability is about; where many closes stay the same, it leaves those out."""
    if info is not None and info.ties > LEAST_TOLD_TIES * (info.ties + info.test_rows):
        return " is higher, if it changes"
    return " is higher"


def _tie_cells(sheet: Sheet, ties: int) -> list[Cell]:
    """Return the count of ties, nothing where there are none."""
    if not ties:
        return []
    return [(f"{ties:,} {'tie' if ties == 1 else 'ties'}", sheet.model.palette.text)]


def _due(sheet: Sheet, latest: PredictionRow) -> Line:
    palette = sheet.model.palette
    cells: list[Cell] = [
        ("from ", palette.dim),
        (formats.price(latest.price, sheet.model.price_decimals()), palette.text),
    ]
    now = sheet.model.exchange_now_ms()
    if now is not None and latest.due_ms > now:
        cells += [
            (", known in ", palette.dim),
            (formats.duration((latest.due_ms - now) / 1000), palette.text),
        ]
    elif latest.state == "waiting":
        cells.append((", outcome due", palette.dim))
    cells.append((f"  ({formats.minute(latest.due_ms)} UTC)", palette.dim))
    return tuple(cells)


def _verdict(sheet: Sheet) -> Line:
    palette, info = sheet.model.palette, sheet.section.model
    if info is None:
        return ()
    has_edge = info.verdict == "edge"
    text = "beats its baselines" if has_edge else info.verdict
    style = palette.fine if has_edge else palette.warn
    figures = (
        f"unseen {info.accuracy * 100:.1f} % "
        f"[{info.low * 100:.1f}, {info.high * 100:.1f}] of {info.test_rows:,}"
    )
    return sheet.joined([(text, style), (figures, palette.text), *_tie_cells(sheet, info.ties)])


def model_title(model: DeskModel, info: ModelInfo) -> Cell:
    """Return version and age of the model, for the pane's title."""
    age = formats.age(model.wall_ms() - info.created_wall_ms)
    return (f"{_short(info.version)} {model.glyphs.middot} {age} old", model.palette.text)


def _short(version: str) -> str:
    digits = version.lstrip("v").lstrip("0")
    return f"v{digits}" if version.startswith("v") and digits.isdigit() else version


def _outcomes(sheet: Sheet, recent: Sequence[PredictionRow]) -> list[Line]:
    room = max(0, sheet.width - _LABEL - 1)
    shown = recent[-min(room, 60) :] if room else ()
    cells = [sheet.label(f"last {len(shown)}")]
    cells += [outcome_cell(sheet.model, row) for row in shown]
    return [tuple(cells)]


def outcome_cell(model: DeskModel, row: PredictionRow) -> Cell:
    """Return the mark of one prediction: right, wrong, tie, or not known yet."""
    palette, glyphs = model.palette, model.glyphs
    marks: dict[str, tuple[str, Style]] = {
        "hit": (glyphs.hit, palette.good),
        "miss": (glyphs.miss, palette.bad),
        "tie": (glyphs.tie, palette.text),
        "waiting": (glyphs.hollow_dot, palette.dim),
    }
    return marks.get(row.state, ("-", palette.dim))


def _record(sheet: Sheet, record: TrackRecord) -> list[Line]:
    palette = sheet.model.palette
    if record.hit_rate is None:
        nothing = ("no outcome known yet", palette.dim)
        ties = sheet.joined([nothing, *_tie_cells(sheet, record.ties)])
        return [(sheet.label("live"), *ties)]
    interval = ""
    if record.low is not None and record.high is not None:
        interval = f" [{record.low * 100:.1f}, {record.high * 100:.1f}]"
    hit: list[Cell] = [
        sheet.label("live"),
        (f"hit {record.hit_rate * 100:.1f} %", palette.bright),
        (f"{interval} of {record.resolved:,}", palette.text),
    ]
    if record.ties:
        hit += [(f" {sheet.model.glyphs.middot} ", palette.dim), *_tie_cells(sheet, record.ties)]
    brier: tuple[Cell, ...] = ()
    if record.brier is not None:
        brier = (
            ("Brier ", palette.dim),
            (f"{record.brier:.4f}", palette.text),
            (" (coin 0.25) ", palette.dim),
        )
    return [
        spread(hit, brier, sheet.width),
        (sheet.label("beside"), *_baselines(sheet, record.baselines)),
        (sheet.label("so far"), _standing(sheet, record)),
    ]


def _baselines(sheet: Sheet, baselines: dict[str, float]) -> Line:
    palette = sheet.model.palette
    if not baselines:
        return (("no baseline on these rows", palette.dim),)
    return sheet.joined(
        [
            (f"{name.replace('_', ' ')} {rate * 100:.1f}", palette.text)
            for name, rate in sorted(baselines.items(), key=lambda item: -item[1])
        ]
    )


def _standing(sheet: Sheet, record: TrackRecord) -> Cell:
    palette = sheet.model.palette
    rival = f"{record.rival} ({(record.rival_rate or 0.0) * 100:.1f} %)"
    told = {
        BETTER: f"better than a coin and than {rival}",
        RIVALLED: f"better than a coin, not than {rival}",
        WORSE: "worse than a coin",
    }
    if record.standing in told:
        return (told[record.standing], palette.text)
    outcomes = _rounded(record.needed or 1)
    words = f"could be chance; {outcomes:,} more outcomes will tell"
    hours = outcomes * parse_interval(sheet.section.interval).length_ms / (DAY_MS / 24)
    span = f"{hours / 24:,.0f} days" if hours >= 48 else f"{hours:,.0f} hours"
    long = f"{words} (about {span})"
    return (long if _LABEL + len(long) <= sheet.width else words, palette.dim)


def _rounded(count: int) -> int:
    """Round up to two digits: an estimate is not known to the last one."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def _model(sheet: Sheet, info: ModelInfo) -> list[Line]:
    palette = sheet.model.palette
    return [
        (
            sheet.label("model"),
            (f"{_short(info.version)}, {info.rows:,} rows", palette.text),
            (f", Brier {info.brier:.4f} (coin {COIN_BRIER})", palette.dim),
        ),
        (sheet.label("beside"), *_baselines(sheet, info.baselines)),
    ]


def _ledger(sheet: Sheet, recent: Sequence[PredictionRow], room: int) -> list[Line]:
    lines: list[Line] = [()]
    lines += [_ledger_line(sheet, row) for row in recent[:-room:-1]]
    return lines


def _ledger_line(sheet: Sheet, row: PredictionRow) -> Line:
    palette, glyphs, decimals = (
        sheet.model.palette,
        sheet.model.glyphs,
        sheet.model.price_decimals(),
    )
    is_up = row.p_up >= 0.5
    arrow, style = (glyphs.up, palette.up) if is_up else (glyphs.down, palette.down)
    cells: list[Cell] = [
        sheet.label(formats.minute(row.open_time_ms)),
        (f"{arrow} ", style),
        ("p(up) " if glyphs.is_ascii else "p↑ ", palette.dim),
        (f"{row.p_up * 100:.0f} %  ", style),
        outcome_cell(sheet.model, row),
        (f"  {formats.price(row.price, decimals)}", palette.text),
    ]
    if row.outcome_price is not None:
        cells.append((f" to {formats.price(row.outcome_price, decimals)}", palette.text))
        change = (row.outcome_price / row.price - 1) * 100 if row.price else None
        moved = palette.direction(change)
        cells.append((f"  {formats.percent(change, 3)}", moved))
    return tuple(cells)


def job_lines(sheet: Sheet, job: JobInfo) -> list[Line]:
    """Return what the training job does, or how this market's one ended; else nothing."""
    palette = sheet.model.palette
    what = f"{job.symbol} {job.interval}"
    if job.state in BUSY:
        return [_progress(sheet, job, what)]
    if not _is_about(job, sheet.section):
        return []
    if job.state == "failed":
        text = job.message or "The training job failed."
        parts = _wrap(f"training {what} failed: {text} (t tries again)", sheet.width - 3)
        return [((f" {part}", palette.error),) for part in parts[:3]]
    if job.state == "cancelled":
        return [((f" training {what} was cancelled; t starts again", palette.warn),)]
    parts = _wrap(job.message or f"training {what} is done", sheet.width - 3)
    return [((f" {part}", palette.dim),) for part in parts[:2]]


def _progress(sheet: Sheet, job: JobInfo, what: str) -> Line:
    palette = sheet.model.palette
    if job.state != "training" or not job.epochs or not job.seed_index:
        note = (job.message or job.state).removeprefix(f"{what}: ")
        return ((f" training {what}: ", palette.accent), (note, palette.text))
    done = (max(job.seed_index, 1) - 1) * job.epochs + job.epoch
    fraction = done / max(1, max(job.seeds, 1) * job.epochs)
    words = (
        f" training {what}  network {job.seed_index}/{job.seeds} epoch {job.epoch}/{job.epochs} "
    )
    eta = (
        f" {formats.duration(job.eta_s)} left  x cancels" if job.eta_s is not None else " x cancels"
    )
    if sheet.width < len(words) + len(eta) + 5:
        eta = eta.removesuffix(" x cancels").rstrip()
    room = min(20, sheet.width - len(words) - len(eta) - 1)
    bar: tuple[Cell, ...] = ()
    if room >= 4:
        bar = ((meter(fraction, room, sheet.model.glyphs), palette.accent),)
    return ((words, palette.accent), *bar, (eta, palette.text))
