"""report: how complete the capture of a day is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands.guard import FAILURE, USAGE, CommandError
from engine.commands.options import KlinetopCommand, given_options, settings_of
from engine.commands.output import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from email.message import EmailMessage

    from engine.capture.mail_settings import MailConfig
    from engine.reports.values import DayReport
    from engine.settings import Settings
    from engine.store import Reader


@click.command(
    "report", cls=KlinetopCommand, short_help="Report how complete the capture of a day is."
)
@click.option(
    "--day",
    metavar="DAY",
    help="The UTC day: 2026-11-21, today, yesterday; without it the newest of an hour or more.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "json", "html"]),
    help="The form; without it text, and for a mail that of the settings.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write into this file; - is stdout.",
)
@click.option("--all", "all_markets", is_flag=True, help="List all markets, not the worst only.")
@click.option("--mail", "as_mail", is_flag=True, help="Mail the report now.")
@click.option("--test-mail", is_flag=True, help="Mail a line only, to see whether mail works.")
@click.pass_context
def report(
    ctx: click.Context,
    day: str | None,
    form: str | None,
    output: Path | None,
    all_markets: bool,
    as_mail: bool,
    test_mail: bool,
) -> int:
    """Report how complete the capture of a day is, from the database alone; no engine is needed.

    Percentages leave out candles that the exchange itself does not have, and tell how many those
    are. What the stream brought and what REST repaired stand apart. Here --markets selects what the
    report is about. docs/reports.md explains the figures, the columns of the CSV form, and mail.
    """
    from engine.capture.report_mail import report_mail, test_mail_message
    from engine.reports.render import render

    settings = settings_of(ctx)
    mail = mail_config(settings)
    if test_mail:
        return _send(test_mail_message(mail), mail)
    wanted = settings.markets if "markets" in given_options(ctx) else ()
    made = _made(settings, day, wanted)
    if as_mail:
        status = _send(report_mail(made, form or settings.report.format, mail), mail)
        if output is None:
            return status
    text = render(made, form or "text", all_markets=all_markets)
    if output is None or str(output) == "-":
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        say(f"The report of {made.day} is in {output}.")
    return 0


def mail_config(settings: Settings) -> MailConfig:
    """Return the mail settings as the mail room takes them."""
    import msgspec

    from engine.capture.mail_settings import MailConfig

    return msgspec.convert(settings.mail, MailConfig, from_attributes=True)


def _made(settings: Settings, day: str | None, wanted: Sequence[str]) -> DayReport:
    import time

    from engine.capture.day_report import make_report, newest_day, running_day
    from engine.commands.times import iso
    from engine.store import open_reader

    wall_now_ms = time.time_ns() // 1_000_000
    reader = open_reader(settings.directory)
    try:
        day_ms = (
            newest_day(reader, wall_now_ms) if day is None else _day_ms(day, reader, wall_now_ms)
        )
        if day is None and day_ms < (running_ms := running_day(reader, wall_now_ms)):
            say(f"{iso(running_ms)[:10]} is younger than an hour; --day today reports it.")
        choose = _chooser(reader, wanted) if wanted else None
        return make_report(reader, day_ms, wall_now_ms, choose=choose)
    finally:
        reader.close()


def _day_ms(day: str, reader: Reader, wall_now_ms: int) -> int:
    """Return the begin of the day that a user named; today is the exchange's."""
    from engine.capture.day_report import day_of, running_day
    from engine.commands.times import iso, time_ms
    from engine.market.interval import DAY_MS

    words = {"today": 0, "yesterday": DAY_MS}
    if (ago_ms := words.get(day.strip().lower())) is not None:
        return running_day(reader, wall_now_ms) - ago_ms
    moment_ms = time_ms(day, "--day")
    assert moment_ms is not None
    day_ms = day_of(moment_ms)
    if iso(day_ms)[:10] != day.strip():
        say(f"day {iso(day_ms)[:10]} (UTC)")
    return day_ms


def _chooser(reader: Reader, wanted: Sequence[str]) -> Callable[[list[str]], Sequence[str]]:
    """Return what picks the markets that `wanted` means from the names of captured ones."""
    from engine.capture.selection import select_markets
    from engine.market.symbol import SymbolInfo

    known = {info.name: info for info in reader.symbol_infos()}

    def choose(names: list[str]) -> Sequence[str]:
        infos = [known.get(name) or SymbolInfo(name, "", "", "") for name in names]
        selection = select_markets(wanted, infos)
        if selection.unknown:
            raise CommandError(
                f"No captured market matches {', '.join(selection.unknown)}; without --markets "
                "the report tells of all.",
                status=USAGE,
            )
        return selection.symbols

    return choose


def _send(message: EmailMessage, mail: MailConfig) -> int:
    from engine.capture.mail_settings import MailFailed, MailNotSetUp
    from engine.capture.report_mail import send

    try:
        delivery = send(message, mail, os.environ)
    except MailNotSetUp:
        raise
    except MailFailed as error:
        raise CommandError(str(error)) from None
    for sentence in delivery.refusals:
        say(sentence)
    host, port = mail.address
    say(f"{message['Subject']!r} went to {', '.join(delivery.taken)} through {host}:{port}.")
    return FAILURE if delivery.refusals else 0
