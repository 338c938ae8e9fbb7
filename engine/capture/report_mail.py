"""Mailing a report by SMTP, over STARTTLS or TLS with the server's certificate checked."""

from __future__ import annotations

import smtplib
import ssl
import stat
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from engine.capture.mail_failures import mail_failure, said
from engine.reports.render import file_name, media_subtype, render
from engine.reports.text import head
from engine.reports.words import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.reports.values import DayReport

PORTS = {"starttls": 587, "tls": 465}
TIMEOUT_S = 30.0
PASSWORD_VARIABLE = "KLINETOP_MAIL_PASSWORD"  # noqa: S105  the name of a variable


class MailConfig(msgspec.Struct, frozen=True):
    """The SMTP server and the addresses; the same names as the settings' table `mail`."""

    host: str | None = None
    port: int | None = None
    security: Literal["starttls", "tls"] = "starttls"
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    sender: str | None = None
    to: tuple[str, ...] = ()

    @property
    def is_set_up(self) -> bool:
        """Whether mail is wanted at all."""
        return self.host is not None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host or "", self.port or PORTS[self.security]


class MailFailed(Exception):
    """A mail was not sent; the text is a sentence for users."""


class MailNotSetUp(MailFailed):
    """The settings lack what mail needs."""

    usage = True


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


def send(mail: EmailMessage, config: MailConfig, environment: Mapping[str, str]) -> list[str]:
    """Send `mail`; this blocks for seconds.

    Args:
        mail: From `report_mail` or `test_mail_message`.
        config: The server.
        environment: Holds the password, if `password_file` does not.

    Returns:
        A sentence for each address that the server refused while it took others.

    Raises:
        MailFailed: with a sentence for users; nothing was sent then.
    """
    check_set_up(config)
    secret = password(config, environment)
    context = _context(config)
    where = "{}:{}".format(*config.address)
    try:
        with _connected(config, context) as server:
            if config.user is not None:
                server.login(config.user, secret or "")
            refused = server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        raise MailFailed(mail_failure(error, config.host or "", where, config.user)) from error
    return [
        f"The mail server {where} refused the address {address}: {said(code, words)}."
        for address, (code, words) in refused.items()
    ]


def check_set_up(config: MailConfig) -> None:
    """Raise `MailNotSetUp` with a sentence that names what is lacking."""
    lacking = [
        name
        for name, value in (("host", config.host), ("sender", config.sender), ("to", config.to))
        if not value
    ]
    if lacking:
        raise MailNotSetUp(
            f"Mail is not set up: set {' and '.join(lacking)} in the table [mail] of the settings "
            "file."
        )


def password(config: MailConfig, environment: Mapping[str, str]) -> str | None:
    """Return the password: of the file if one is set, else of the environment.

    Raises:
        MailFailed: when the file can not be read or others may read it, or when none is there.
    """
    if config.user is None:
        return None
    if config.password_file is None:
        secret = environment.get(PASSWORD_VARIABLE)
        if not secret:
            raise MailNotSetUp(
                f"There is no password for the mail account {config.user}: set "
                f"{PASSWORD_VARIABLE}, or mail.password_file to a file of mode 0600."
            )
        return secret
    file = config.password_file
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise MailNotSetUp(
                f"Others may read the password file {file} (mode {mode:04o}): run "
                f"`chmod 600` on it."
            )
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise MailNotSetUp(
            f"The password file {file} can not be read ({error.strerror})."
        ) from error
    except UnicodeDecodeError as error:
        raise MailNotSetUp(f"The password file {file} is no UTF-8 text.") from error


def _mail(config: MailConfig, subject: str, body: str) -> EmailMessage:
    from email.utils import formatdate

    check_set_up(config)
    mail = EmailMessage()
    mail["Subject"] = subject
    try:
        mail["From"] = config.sender
        mail["To"] = ", ".join(config.to)
    except ValueError as error:
        raise MailNotSetUp(f"mail.sender or mail.to holds no mail address ({error}).") from error
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
