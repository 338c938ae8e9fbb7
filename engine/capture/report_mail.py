"""Mailing a report by SMTP, over STARTTLS or TLS with the server's certificate checked."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from typing import TYPE_CHECKING

import msgspec

from engine.capture.mail_addresses import needs_smtputf8, read_addresses
from engine.capture.mail_failures import mail_failure, said
from engine.capture.mail_login import log_in
from engine.capture.mail_settings import (
    MailConfig,
    MailFailed,
    MailNotSetUp,
    check_set_up,
    credentials,
)
from engine.reports.render import file_name, media_subtype, render
from engine.reports.text import head
from engine.reports.words import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.reports.values import DayReport

TIMEOUT_S = 30.0


class Delivery(msgspec.Struct, frozen=True):
    """To whom a mail went.

    Attributes:
        taken: The addresses that the server took it for, at least one.
        refusals: A sentence for each address that it did not go to.
    """

    taken: tuple[str, ...]
    refusals: tuple[str, ...] = ()


def report_mail(report: DayReport, form: str, config: MailConfig) -> EmailMessage:
    """Return the mail of a report: the summary as text, the whole as an attachment.

    The same day of the same database always has the same Message-ID, so that servers and readers
    can tell a copy.
    """
    share = percent(report.totals.final_percent)
    mail = _mail(
        config,
        f"klinetop {report.day}: {share} captured, {report.totals.missing:,} missing",
        head(report),
    )
    mail["Message-ID"] = _message_id(report, config)
    main, sub = media_subtype(form)
    content = render(report, form)
    if main == "text":
        mail.add_attachment(
            content, subtype=sub, charset="utf-8", cte="base64", filename=file_name(report, form)
        )
    else:
        mail.add_attachment(
            content.encode(), maintype=main, subtype=sub, filename=file_name(report, form)
        )
    return mail


def test_mail_message(config: MailConfig) -> EmailMessage:
    """Return a mail that only shows that mail works."""
    from email.utils import make_msgid

    mail = _mail(
        config,
        "klinetop: mail works",
        "klinetop can send mail with these settings; reports will come to this address.\n",
    )
    mail["Message-ID"] = make_msgid(domain="klinetop.invalid")
    return mail


def send(mail: EmailMessage, config: MailConfig, environment: Mapping[str, str]) -> Delivery:
    """Send `mail`; this blocks for seconds.

    Args:
        mail: From `report_mail` or `test_mail_message`; its `To` is narrowed to what the server
            can take.
        config: The server.
        environment: Holds the password, if `password_file` does not.

    Raises:
        MailFailed: with a sentence for users; nothing was sent then.
    """
    check_set_up(config)
    secret = credentials(config, environment)
    context = _context(config)
    where = "{}:{}".format(*config.address)
    try:
        server = _connected(config, context)
        try:
            if secret is not None:
                log_in(server, *secret)
            delivery = _deliver(server, mail, config, where)
        finally:
            _part(server)
    # `smtplib` raises ValueErrors for what it can not put on the wire.
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise MailFailed(mail_failure(error, config.host or "", where, config.user)) from error
    return delivery


def _deliver(server: smtplib.SMTP, mail: EmailMessage, config: MailConfig, where: str) -> Delivery:
    server.ehlo_or_helo_if_needed()
    good, odd = read_addresses(config.to)
    usable = [each for each in good if server.has_extn("smtputf8") or not needs_smtputf8(each)]
    refusals = [f"{text!r} in mail.to is no mail address; nothing was sent to it." for text in odd]
    refusals += [
        f"Nothing was sent to {each.addr_spec}: the mail server {where} does not offer SMTPUTF8."
        for each in good
        if each not in usable
    ]
    if usable and len(usable) < len(good):
        del mail["To"]
        mail["To"] = usable
    refused = server.send_message(mail)
    refusals += [
        f"Nothing was sent to {address}: the mail server {where} refused the address "
        f"({said(code, words)})."
        for address, (code, words) in refused.items()
    ]
    taken = [each.addr_spec for each in usable or good if each.addr_spec not in refused]
    return Delivery(tuple(taken), tuple(refusals))


def _part(server: smtplib.SMTP) -> None:
    """Take leave; whatever the server says now, the mail went out or it did not."""
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        server.close()


def _mail(config: MailConfig, subject: str, body: str) -> EmailMessage:
    from email.utils import formatdate

    check_set_up(config)
    sender = read_addresses([config.sender or ""]).good
    if len(sender) != 1:
        raise MailNotSetUp(f"mail.sender {config.sender!r} is no mail address.")
    to = read_addresses(config.to).good
    if not to:
        raise MailNotSetUp(f"mail.to holds no mail address: {', '.join(map(repr, config.to))}.")
    mail = EmailMessage()
    mail["Subject"] = subject
    mail["From"] = sender
    mail["To"] = to
    mail["Date"] = formatdate(usegmt=True)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(body)
    return mail


def _message_id(report: DayReport, config: MailConfig) -> str:
    import hashlib

    key = [report.day, report.source, report.source_note, *config.to, config.sender or ""]
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
    running = f".{report.until_ms}" if report.is_running else ""
    return f"<{report.day}{running}.{digest}@klinetop.invalid>"


def _context(config: MailConfig) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except OSError as error:
        raise MailNotSetUp(
            f"mail.ca_file {config.ca_file} holds no certificates that can be read ({error})."
        ) from error


def _connected(config: MailConfig, context: ssl.SSLContext) -> smtplib.SMTP:
    host, port = config.address
    if config.security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    try:
        server.starttls(context=context)
    except (OSError, smtplib.SMTPException):
        server.close()
        raise
    return server
