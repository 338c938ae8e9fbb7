"""What went wrong with an SMTP server, as a sentence that says what to do."""

from __future__ import annotations

import smtplib
import socket
import ssl

from engine.capture.mail_login import MECHANISMS, NoCommonMechanism

_CLOSES = 421  # the reply of a server that closes the connection (RFC 5321, 3.8)


def mail_failure(error: OSError | ValueError, host: str, where: str, user: str | None) -> str:
    """Return the sentence for `error` (every `smtplib.SMTPException` is an `OSError`).

    Args:
        error: What was raised while connecting or sending.
        host: The server's name.
        where: The server's name and port.
        user: The account, if there was a login.
    """
    if isinstance(error, smtplib.SMTPException):
        return f"The mail server {where} {_refusal(error, user)}"
    if not isinstance(error, OSError):
        return f"The mail server {where} can not be told what it needs to know ({error})."
    return _unreachable(error, host, where)


def said(code: int, words: bytes | str) -> str:
    """Return a server's answer in one line."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} {' '.join(text.split())}".strip()


def _refusal(error: smtplib.SMTPException, user: str | None) -> str:
    match error:
        case smtplib.SMTPRecipientsRefused():
            told = "; ".join(
                f"{address}: {said(code, words)}"
                for address, (code, words) in error.recipients.items()
            )
            if any(code == _CLOSES for code, _ in error.recipients.values()):
                return f"closed the connection before the mail was sent ({told})."
            return f"refused every address ({told}); check mail.to."
        case NoCommonMechanism() if error.offered:
            return (
                f"offers only logins that klinetop does not have ({', '.join(error.offered)}); it "
                f"has {', '.join(MECHANISMS)}. Ask the provider for an app password or an SMTP "
                "relay."
            )
        case NoCommonMechanism():
            return "offers no login there; leave mail.user out, or check mail.port."
        case smtplib.SMTPAuthenticationError():
            answer = said(error.smtp_code, error.smtp_error)
            return f"refused the login of {user} ({answer}); check mail.user and the password."
        case smtplib.SMTPSenderRefused():
            answer = said(error.smtp_code, error.smtp_error)
            return f"refused the sender {error.sender} ({answer}); check mail.sender."
        case smtplib.SMTPResponseException():
            return f"refused the mail ({said(error.smtp_code, error.smtp_error)})."
        case smtplib.SMTPNotSupportedError():
            return f"does not offer what is needed ({error}); check mail.security and mail.user."
        case _:
            return f"broke off ({error}); check mail.port and mail.security."


def _unreachable(error: OSError, host: str, where: str) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"The certificate of the mail server {where} can not be trusted "
                f"({error.verify_message.rstrip('.')}); mail.ca_file names a private authority."
            )
        case ssl.SSLError():
            return (
                f"The mail server {where} does not speak TLS there ({error.reason}); check "
                "mail.port and mail.security."
            )
        case socket.gaierror():
            return f"The mail server {host} is not known ({error.strerror}); check mail.host."
        case TimeoutError():
            return (
                f"The mail server {where} did not answer in time; many providers block port 25, "
                "587 or 465 work with most."
            )
        case _:
            why = error.strerror or str(error)
            return (
                f"The mail server {where} can not be reached ({why}); check mail.host and "
                "mail.port."
            )
