"""What mail needs to know: the server, the addresses and the password."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

PORTS = {"starttls": 587, "tls": 465}
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


def check_set_up(config: MailConfig) -> None:
    """Raise `MailNotSetUp` with a sentence that names what is lacking or can not be."""
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
    try:
        (config.host or "").encode("idna")
    except UnicodeError as error:
        raise MailNotSetUp(f"mail.host {config.host!r} is no name of a host.") from error


def credentials(config: MailConfig, environment: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    """Return account and password as UTF-8, as they are on the wire; None without an account.

    The password is that of the file if one is set, else of the environment. The line break at its
    end is no part of it.

    Raises:
        MailNotSetUp: when there is no password, when the file can not be read or others may read
            it, or when account or password are nothing that a server can be told.
    """
    if config.user is None:
        return None
    if config.password_file is None:
        secret, place = environment.get(PASSWORD_VARIABLE), PASSWORD_VARIABLE
        if not secret:
            raise MailNotSetUp(
                f"There is no password for the mail account {config.user}: set "
                f"{PASSWORD_VARIABLE}, or mail.password_file to a file of mode 0600."
            )
    else:
        secret, place = _read_secret(config.password_file), str(config.password_file)
    return (
        _on_one_line(config.user, "The account mail.user"),
        _on_one_line(secret.rstrip("\r\n"), f"The mail password in {place}"),
    )


def _on_one_line(text: str, what: str) -> bytes:
    if not text:
        raise MailNotSetUp(f"{what} is empty.")
    if any(character in text for character in "\0\r\n"):
        raise MailNotSetUp(
            f"{what} holds a line break or a NUL character; it has to stand on one line alone."
        )
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MailNotSetUp(f"{what} is no UTF-8 text; write it as UTF-8.") from error


def _read_secret(file: Path) -> str:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise MailNotSetUp(
                f"Others may read the password file {file} (mode {mode:04o}): run "
                f"`chmod 600` on it."
            )
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MailNotSetUp(
            f"The password file {file} can not be read ({error.strerror})."
        ) from error
    except UnicodeDecodeError as error:
        raise MailNotSetUp(f"The password file {file} is no UTF-8 text.") from error
