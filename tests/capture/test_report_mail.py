"""Reports by mail, to a real SMTP server with certificates of an authority of its own."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller

from engine.capture import report_schedule
from engine.capture.day_report import make_report
from engine.capture.exchange_time import ExchangeTime, put_exchange_time
from engine.capture.mail_settings import MailConfig, MailFailed, MailNotSetUp
from engine.capture.report_mail import Delivery, report_mail, send
from engine.capture.report_mail import (
    test_mail_message as plain_mail,
)
from engine.capture.report_schedule import ReportSchedule

DAY_MS = 86_400_000
PASSWORD = {"KLINETOP_MAIL_PASSWORD": "correct horse"}


def changed(config: MailConfig, **values: Any) -> MailConfig:
    import msgspec

    return msgspec.structs.replace(config, **values)


@pytest.fixture
def report(captured_day) -> Any:
    captured_day.captured("BTCUSDT")
    captured_day.put("BTCUSDT", captured_day.minutes(0, 1400))
    now_ms = captured_day.start_ms + 30 * 3_600_000
    return make_report(captured_day.reader, captured_day.start_ms, now_ms)


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("form", ["html", "csv", "json", "text"])
def test_a_report_arrives_with_its_summary_and_the_whole_attached(
    serve, box, report, security, form
) -> None:
    config = serve(security)
    assert send(report_mail(report, form, config), config, PASSWORD) == Delivery(config.to)
    assert box.logins == [(b"reports", b"correct horse")]
    (mail,) = box.mails
    assert mail["Subject"] == "klinetop 2026-11-22: 97.22 % captured, 40 missing"
    assert mail["To"] == "ops@example.org, desk@example.org"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "Captured   97.22 % of 1,440 candles" in body.get_content()
    (attachment,) = mail.iter_attachments()
    suffix = "txt" if form == "text" else form
    assert attachment.get_filename() == f"klinetop-2026-11-22.{suffix}"
    content = attachment.get_content()
    assert "BTCUSDT" in (content if isinstance(content, str) else content.decode())
    assert report_mail(report, form, config)["Message-ID"] == mail["Message-ID"]


def test_a_certificate_of_a_stranger_is_refused_before_the_password_is_told(
    serve, box, tmp_path
) -> None:
    config = serve()
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    for ca_file in (other, None):
        strange = changed(config, ca_file=ca_file)
        with pytest.raises(MailFailed, match=r"certificate of the mail server .* mail.ca_file"):
            send(plain_mail(strange), strange, PASSWORD)
    assert (box.mails, box.logins) == ([], [])


def test_a_server_without_encryption_gets_nothing(box) -> None:
    controller = Controller(box, hostname="127.0.0.1", port=_free_port())
    controller.start()
    try:
        config = MailConfig(
            host="127.0.0.1", port=controller.port, sender="a@example.org", to=("b@example.org",)
        )
        with pytest.raises(MailFailed, match="does not offer what is needed"):
            send(plain_mail(config), config, {})
        with pytest.raises(MailFailed, match=r"does not speak TLS there .* mail.security"):
            send(plain_mail(config), changed(config, security="tls"), {})
    finally:
        controller.stop()
    assert box.mails == []


def test_every_refusal_is_a_sentence(serve, box) -> None:
    config = serve()
    mail = plain_mail(config)
    with pytest.raises(MailFailed, match=r"refused the login of reports \(535") as wrong:
        send(mail, config, {"KLINETOP_MAIL_PASSWORD": "guess"})
    assert "guess" not in str(wrong.value)
    box.refused = {"desk@example.org"}
    delivery = send(mail, config, PASSWORD)
    assert delivery.taken == ("ops@example.org",)
    (refusal,) = delivery.refusals
    assert refusal.startswith("Nothing was sent to desk@example.org: the mail server 127.0.0.1:")
    assert refusal.endswith("refused the address (550 5.1.1 no such person).")
    box.refused.add("ops@example.org")
    with pytest.raises(MailFailed, match=r"refused every address \(ops@example.org: 550 5.1.1"):
        send(mail, config, PASSWORD)
    box.refused, box.is_busy = set(), True
    with pytest.raises(MailFailed, match=r"refused the mail \(451 4.3.0 try again later\)"):
        send(mail, config, PASSWORD)
    nobody = changed(config, port=_free_port())
    with pytest.raises(MailFailed, match="can not be reached"):
        send(mail, nobody, PASSWORD)


def test_a_host_that_nobody_knows(monkeypatch, serve) -> None:
    config = changed(serve(), host="mail.example.invalid")

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(MailFailed, match=r"mail\.example\.invalid is not known"):
        send(plain_mail(config), config, PASSWORD)


def test_the_password_comes_from_a_file_that_nobody_else_reads(serve, box, tmp_path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    file.chmod(0o640)
    config = changed(serve(), password_file=file)
    with pytest.raises(MailNotSetUp, match="Others may read the password file"):
        send(plain_mail(config), config, {})
    file.chmod(0o600)
    assert send(plain_mail(config), config, {}) == Delivery(config.to)
    file.unlink()
    with pytest.raises(MailNotSetUp, match="can not be read"):
        send(plain_mail(config), config, {})
    assert len(box.mails) == 1


def test_what_is_not_set_is_named() -> None:
    with pytest.raises(MailNotSetUp, match=r"set host and sender and to in the table \[mail\]"):
        plain_mail(MailConfig())
    config = MailConfig(host="h", user="u", sender="a@example.org", to=("b@example.org",))
    with pytest.raises(MailNotSetUp, match="set KLINETOP_MAIL_PASSWORD"):
        send(plain_mail(config), config, {})
    broken = MailConfig(host="h", sender="a@example.org\nBcc: x@example.org", to=("b@example.org",))
    with pytest.raises(MailNotSetUp, match="is no mail address"):
        plain_mail(broken)


@pytest.fixture
def schedule(captured_day, tmp_path, monkeypatch) -> Any:
    """Make a schedule for 00:10 whose clock and waits a test may set."""
    monkeypatch.setattr(report_schedule, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(report_schedule, "RETRY_FIRST_S", 0.02)
    for name, value in PASSWORD.items():
        monkeypatch.setenv(name, value)
    day = captured_day
    day.captured("BTCUSDT")
    day.put("BTCUSDT", day.minutes(0, 1440))
    known = ExchangeTime(day.start_ms + 2 * DAY_MS, day.start_ms + 2 * DAY_MS, 0, 60.0)
    day.store.writer.run(lambda connection: put_exchange_time(connection, known))
    day.settle()

    class Clock:
        now_ms = day.start_ms + DAY_MS + 9 * 60_000

    def make(mail: MailConfig) -> tuple[ReportSchedule, type[Clock], list[tuple[str, str]]]:
        notices: list[tuple[str, str]] = []
        made = ReportSchedule(
            day.store,
            lambda: Clock.now_ms,
            at_ms=10 * 60_000,
            form="csv",
            directory=tmp_path / "reports",
            mail=mail,
            on_notice=lambda level, text: notices.append((level, text)),
        )
        return made, Clock, notices

    return make


async def _running(schedule: ReportSchedule, condition: Callable[[], Any], eventually: Any) -> None:
    import asyncio

    task = asyncio.create_task(schedule.run())
    try:
        await eventually(lambda: condition() or task.done())
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_day_is_mailed_once_whatever_happens(
    serve, box, schedule, tmp_path, eventually
) -> None:
    config = serve()
    box.is_busy = True
    first, clock, notices = schedule(config)
    passes = iter(range(10**9))
    await _running(first, lambda: next(passes) > 5, eventually)
    assert not (tmp_path / "reports").exists()  # 00:10 is not there yet
    clock.now_ms += 2 * 60_000
    await _running(first, lambda: first.failures >= 3, eventually)
    assert [level for level, _ in notices] == ["info", "warning"]
    assert "451 4.3.0 try again later" in notices[1][1]
    assert (tmp_path / "reports" / "klinetop-2026-11-22.csv").read_text().startswith("day,symbol")
    box.is_busy = False
    await _running(first, lambda: first.mailed, eventually)
    assert len(box.mails) == 1
    again, _, later = schedule(config)
    passes = iter(range(10**9))
    await _running(again, lambda: next(passes) > 20, eventually)
    assert (len(box.mails), later) == (1, [])
    clock.now_ms += DAY_MS  # nothing was stored on the next day, but it was promised
    await _running(again, lambda: again.mailed, eventually)
    assert re.match(r"klinetop 2026-11-23: 0.00 % captured", box.mails[1]["Subject"])


async def test_without_mail_the_file_alone_is_made(schedule, tmp_path, eventually) -> None:
    made, clock, notices = schedule(MailConfig())
    clock.now_ms += 2 * 60_000
    await _running(made, lambda: notices, eventually)
    assert notices[0][1].startswith("The report of 2026-11-22 is in ")
    assert [file.name for file in (tmp_path / "reports").iterdir()] == ["klinetop-2026-11-22.csv"]


async def test_a_refused_address_is_told_beside_those_that_got_the_mail(
    serve, box, schedule, eventually
) -> None:
    box.refused = {"desk@example.org"}
    made, clock, notices = schedule(serve())
    clock.now_ms += 2 * 60_000
    await _running(made, lambda: len(notices) == 3, eventually)
    assert notices[1] == ("info", "The report of 2026-11-22 was mailed to ops@example.org.")
    assert notices[2][0] == "warning"
    assert notices[2][1].startswith("Nothing was sent to desk@example.org: ")


async def test_no_exception_of_one_report_ends_the_schedule(schedule, eventually, caplog) -> None:
    impossible: Any = "carrier pigeon"
    config = MailConfig(host="h", security=impossible, sender="a@example.org", to=("b@c.org",))
    made, clock, notices = schedule(config)
    clock.now_ms += 2 * 60_000
    await _running(made, lambda: made.failures >= 3, eventually)
    assert [level for level, _ in notices] == ["info", "warning"]
    assert "The report failed (KeyError: 'carrier pigeon')" in notices[1][1]
    assert "Traceback" in caplog.text


def test_a_mail_that_can_not_be_noted_waits_for_the_store_no_longer_than_it_may(
    serve, box, schedule, report, captured_day, monkeypatch
) -> None:
    monkeypatch.setattr(report_schedule, "NOTE_S", 0.05)
    config = serve()
    made, _, _ = schedule(config)
    writer = captured_day.store.writer
    held = threading.Event()
    waiting = writer.run(lambda _: held.wait(60))  # as a full disk holds all work up
    try:
        assert made._send(report, captured_day.start_ms) == Delivery(config.to)
        assert not waiting.done()
    finally:
        held.set()
    assert len(box.mails) == 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
