"""A real mail server on loopback, with certificates of an authority of its own."""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from engine.capture.mail_settings import MailConfig


class Mailbox:
    """What the server took, and whom it refuses."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refused: set[str] = set()
        self.is_busy = False
        self.accounts = {b"reports": b"correct horse"}
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 5.1.1 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.is_busy:
            return "451 4.3.0 try again later"
        mail = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def check(self, server: SMTP, session: Session, envelope: Envelope, how: str, data: Any) -> Any:
        self.logins.append((data.login, data.password))
        return AuthResult(success=self.accounts.get(data.login) == data.password, handled=False)


class _Controller(Controller):
    """Its own first call to the server does not trust the certificate."""

    def _trigger_server(self) -> None:
        with socket.create_connection((self.hostname, self.port), 5) as plain:
            if self.ssl_context is None:
                plain.recv(1024)
                return
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) as encrypted:
                encrypted.recv(1024)


class Server:
    """A mail server on loopback."""

    def __init__(
        self, box: Mailbox, authority: trustme.CA, security: str, folder: Path, **smtp: Any
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        options: dict[str, Any] = {"authenticator": box.check, "auth_require_tls": False, **smtp}
        if security == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        else:
            options |= {"ssl_context": context}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.controller = _Controller(box, hostname="127.0.0.1", port=port, **options)
        self.controller.start()
        ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        self.config = MailConfig(
            host="127.0.0.1",
            port=port,
            security=security,
            user="reports",
            ca_file=ca_file,
            sender="klinetop@example.org",
            to=("ops@example.org", "desk@example.org"),
        )


@pytest.fixture
def box() -> Mailbox:
    return Mailbox()


@pytest.fixture
def serve(tmp_path: Path, box: Mailbox) -> Iterator[Callable[..., MailConfig]]:
    started: list[Server] = []

    def begin(security: str = "starttls", **smtp: Any) -> MailConfig:
        started.append(Server(box, trustme.CA(), security, tmp_path, **smtp))
        return started[-1].config

    yield begin
    for server in started:
        server.controller.stop(no_assert=True)
