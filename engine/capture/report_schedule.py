"""Makes the report of the day before at its time: a file, and a mail where mail is set up."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING

import msgspec

from engine.capture.collector import wall_ms
from engine.capture.coverage import DAY_MS
from engine.capture.day_report import NoReport, day_of, make_report
from engine.capture.mail_settings import MailConfig, MailFailed
from engine.capture.report_mail import Delivery, report_mail, send
from engine.reports.render import file_name, render
from engine.store import StoreError, open_reader
from engine.store.symbols import put_meta

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from engine.reports.values import DayReport
    from engine.store import Store

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
SETTLE_S = 5.0
CLOSE_S = 5.0
NOTE_S = 10.0
RETRY_FIRST_S, RETRY_CAP_S = 60.0, 3600.0
_FILED, _MAILED = "report_filed_day_ms", "report_mailed_day_ms"


class _NotMade(Exception):
    """The report could not be made; the text is a sentence for users."""


_EXPECTED = (MailFailed, _NotMade, StoreError, OSError)


class ReportSchedule:
    """Looks at the exchange's clock and sees to it that each day gets one report.

    A report that failed is tried again with growing waits until the next day's is due. What was
    filed and mailed stands in the store, so a restart repeats neither.

    Args:
        store: What the reports are about, read through a reader of its own.
        exchange_now_ms: Exchange time; the report of a day is due after it, at `at_ms`.
        at_ms: Milliseconds after midnight UTC; None makes no reports.
        form: One of `engine.reports.render.FORMS`.
        directory: Where the files go; it is made when it is not there.
        mail: The mail server.
        on_notice: Told what users should know, as level and text.

    Attributes:
        failures: How often a report or a mail failed; `last_error` says why.
        mailed: Mails sent.
    """

    def __init__(
        self,
        store: Store,
        exchange_now_ms: Callable[[], int | None],
        *,
        at_ms: int | None,
        form: str,
        directory: Path,
        mail: MailConfig,
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._now_ms = exchange_now_ms
        self._at_ms = at_ms
        self._form = form
        self._directory = directory
        self._mail = mail
        self._on_notice = on_notice
        self._filed_ms = self._mailed_ms = 0
        self._sending: asyncio.Task[Delivery] | None = None
        self._failing_day_ms = 0
        self._tries = 0
        self._next_try_s = float("-inf")
        self.failures = 0
        self.last_error = ""
        self.mailed = 0

    async def run(self) -> None:
        """Work for ever; without a time of day it ends at once."""
        if self._at_ms is None:
            return
        self._filed_ms = await asyncio.to_thread(self._kept, _FILED)
        self._mailed_ms = await asyncio.to_thread(self._kept, _MAILED)
        while True:
            day_ms = self._due_day()
            if day_ms is not None:
                await self._try(day_ms)
            await asyncio.sleep(LOOK_EVERY_S)

    async def close(self) -> None:
        """Wait some seconds for a mail that is on its way; call it after `run` was cancelled."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=CLOSE_S)

    def _kept(self, key: str) -> int:
        text = self._store.reader.meta(key) or ""
        return int(text) if text.isdecimal() else 0

    def _due_day(self) -> int | None:
        """Return the day whose report is to be made now."""
        now_ms = self._now_ms()
        if now_ms is None or self._at_ms is None:
            return None
        today_ms = day_of(now_ms)
        if now_ms < today_ms + self._at_ms:
            return None
        day_ms = today_ms - DAY_MS
        if day_ms != self._failing_day_ms:
            self._give_up_before(day_ms)
        elif time.monotonic() < self._next_try_s:
            return None
        is_done = self._filed_ms >= day_ms and (
            self._mailed_ms >= day_ms or not self._mail.is_set_up
        )
        return None if is_done else day_ms

    def _give_up_before(self, day_ms: int) -> None:
        """Say that the report of an earlier day never came to be, and start over with this one."""
        if self._failing_day_ms and self._tries:
            self._on_notice(
                "error", f"The report of an earlier day was not delivered: {self.last_error}"
            )
        self._failing_day_ms, self._tries, self._next_try_s = day_ms, 0, float("-inf")

    async def _try(self, day_ms: int) -> None:
        try:
            await self._report(day_ms)
        # What is wrong with one report is not to cost those of all days to come.
        except Exception as error:
            if not isinstance(error, _EXPECTED):
                log.exception("the report failed")
            self._failed(self._sentence(error))

    async def _report(self, day_ms: int) -> None:
        try:
            report = await asyncio.to_thread(self._made, day_ms)
        except NoReport as nothing:
            log.info("no report is due: %s", nothing)
            await self._note(_FILED, day_ms)
            await self._note(_MAILED, day_ms)
            self._filed_ms = self._mailed_ms = day_ms
            return
        except (StoreError, OSError, msgspec.DecodeError) as error:
            raise _NotMade(f"The report could not be made: {error}") from error
        if report.is_running:  # its last candles are still on their way
            self._next_try_s = time.monotonic() + SETTLE_S
            return
        await self._deliver(report, day_ms)
        self._tries = 0

    def _sentence(self, error: Exception) -> str:
        match error:
            case MailFailed() | _NotMade():
                return str(error)
            case StoreError():
                return f"It could not be noted that the report was delivered: {error}"
            case OSError():
                where = error.filename or self._directory
                return f"The report can not be written to {where} ({error.strerror})."
            case _:
                return f"The report failed ({type(error).__name__}: {error}); the log has more."

    async def _deliver(self, report: DayReport, day_ms: int) -> None:
        if self._filed_ms < day_ms:
            path = await asyncio.to_thread(self._file, report)
            self._filed_ms = day_ms
            await self._note(_FILED, day_ms)
            self._on_notice("info", f"The report of {report.day} is in {path}.")
        if self._mail.is_set_up and self._mailed_ms < day_ms:
            # A mail that is on its way when the engine stops is still noted.
            self._sending = asyncio.create_task(asyncio.to_thread(self._send, report, day_ms))
            self._sending.add_done_callback(_take_note)
            delivery = await asyncio.shield(self._sending)
            self.mailed += 1
            self._on_notice(
                "info", f"The report of {report.day} was mailed to {', '.join(delivery.taken)}."
            )
            for sentence in delivery.refusals:
                self._on_notice("warning", sentence)

    def _send(self, report: DayReport, day_ms: int) -> Delivery:
        mail = report_mail(report, self._form, self._mail)
        delivery = send(mail, self._mail, os.environ)
        self._mailed_ms = day_ms
        try:
            self._write(_MAILED, day_ms).result(NOTE_S)
        except (StoreError, TimeoutError) as error:
            log.warning("it could not be noted that a report was mailed: %s", error)
        return delivery

    def _made(self, day_ms: int) -> DayReport:
        reader = open_reader(self._store.directory)
        try:
            return make_report(reader, day_ms, wall_ms())
        finally:
            reader.close()

    def _file(self, report: DayReport) -> Path:
        """Write the report, whole or not at all."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / file_name(report, self._form)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(render(report, self._form, all_markets=True), encoding="utf-8")
        partial.replace(path)
        return path

    def _write(self, key: str, day_ms: int) -> Future[None]:
        return self._store.writer.run(lambda connection: put_meta(connection, key, str(day_ms)))

    async def _note(self, key: str, day_ms: int) -> None:
        await asyncio.wrap_future(self._write(key, day_ms))

    def _failed(self, sentence: str) -> None:
        self.failures += 1
        self.last_error = sentence
        wait_s = min(RETRY_CAP_S, RETRY_FIRST_S * 2.0 ** min(self._tries, 10))
        self._tries += 1
        self._next_try_s = time.monotonic() + wait_s
        log.warning("%s Trying again in %.0f s.", sentence, wait_s)
        if self._tries == 1:
            self._on_notice("warning", f"{sentence} It is tried again until it works.")


def _take_note(sending: asyncio.Task[Delivery]) -> None:
    """Log what nobody waits for any more."""
    if not sending.cancelled() and (error := sending.exception()) is not None:
        log.info("a mail was not sent: %s", error)
