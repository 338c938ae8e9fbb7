"""Logins, passwords and addresses as people have them, at a real SMTP server."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import AuthResult
from hypothesis import given
from hypothesis import strategies as st

from engine.capture.mail_addresses import read_addresses
from engine.capture.mail_settings import MailConfig, MailFailed, MailNotSetUp, credentials
from engine.capture.report_mail import send
from engine.capture.report_mail import test_mail_message as plain_mail

MECHANISMS = {"PLAIN", "LOGIN"}


def _send(config: MailConfig, password: str) -> Any:
    return send(plain_mail(config), config, {"KLINETOP_MAIL_PASSWORD": password})


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("reports", "pässwört"),
        ("Jürgen@exämple.org", "密码 🔑"),
        ("reports", "abcd efgh ijkl mnop"),
        ("reports", " spaces around "),
        ("reports", "long" * 150),
        ("rapports", "é" * 170),
    ],
)
def test_any_account_in_utf_8_logs_in(serve, box, mechanism, user, password) -> None:
    config = serve(auth_exclude_mechanism=MECHANISMS - {mechanism})
    box.accounts = {user.encode(): password.encode()}
    delivery = _send(msgspec.structs.replace(config, user=user), password)
    assert delivery.taken == config.to
    assert box.logins == [(user.encode(), password.encode())]


def test_a_wrong_password_in_utf_8_is_refused_in_words(serve) -> None:
    with pytest.raises(MailFailed, match=r"refused the login of reports \(535 .*the password"):
        _send(serve(), "pässwört")


def test_a_server_with_logins_of_another_kind_is_told_so(serve, box) -> None:
    class OAuthAlone:
        async def auth_XOAUTH2(self, server: Any, args: Any) -> AuthResult:  # noqa: N802
            raise AssertionError("no password is to be told")

    box.auth_XOAUTH2 = OAuthAlone().auth_XOAUTH2
    config = serve(auth_exclude_mechanism=MECHANISMS)
    with pytest.raises(MailFailed, match=r"does not have \(XOAUTH2\).*app password"):
        _send(config, "secret")


def test_a_server_without_logins_is_told_so(serve) -> None:
    config = serve(auth_exclude_mechanism=MECHANISMS)
    with pytest.raises(MailFailed, match=r"offers no login there; leave mail\.user out"):
        _send(config, "secret")


def test_a_server_that_has_cram_md5_alone(serve, box) -> None:
    async def answer(server: Any, args: Any) -> AuthResult:
        response = await server.challenge_auth("<1896.697170952@postoffice>")
        box.logins.append(tuple(response.split(b" ")))
        return AuthResult(success=True, handled=False)

    setattr(box, "auth_CRAM__MD5", answer)  # noqa: B010  aiosmtpd's way of writing CRAM-MD5
    config = serve(auth_exclude_mechanism=MECHANISMS)
    assert _send(config, "tänstaaf").taken == config.to
    # HMAC-MD5 by `printf '<…>' | openssl dgst -md5 -hmac 'tänstaaf'`
    assert box.logins == [(b"reports", b"ccce792df524a0b0382f880fcac43f2f")]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_password_file_of_any_editor(tmp_path, mark, end) -> None:
    file = tmp_path / "password"
    file.write_bytes(f"{mark}pässwört{end}".encode())
    file.chmod(0o600)
    config = MailConfig(user="reports", password_file=file)
    assert credentials(config, {}) == (b"reports", "pässwört".encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"secret\nuser: reports\n", "holds a line break"),
        (b"secret\r\nmore", "holds a line break"),
        (b"sec\0ret", "or a NUL character"),
        ("pässwört".encode("latin-1"), "is no UTF-8 text"),
        ("secret".encode("utf-16"), "is no UTF-8 text"),
    ],
)
def test_a_file_without_a_password_is_a_sentence(tmp_path, content, words) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(MailNotSetUp, match=words):
        credentials(MailConfig(user="reports", password_file=file), {})


_TEXT = st.text(st.sampled_from("aZ0 ~äß密🔑\udcff\r\n\0\t"), max_size=20)


@given(_TEXT, _TEXT)
def test_any_text_is_a_password_or_a_sentence(password: str, user: str) -> None:
    config = MailConfig(user=user)
    try:
        found = credentials(config, {"KLINETOP_MAIL_PASSWORD": password})
    except MailNotSetUp:
        return
    assert found == (user.encode(), password.rstrip("\r\n").encode())


@pytest.mark.parametrize("host", ["mail..example.org", "x" * 64 + ".org"])
def test_a_host_that_can_be_none_is_a_sentence(host) -> None:
    config = MailConfig(host=host, sender="a@example.org", to=("b@example.org",))
    with pytest.raises(MailNotSetUp, match=r"mail\.host '.*' is no name of a host"):
        _send(config, "secret")


def test_an_odd_address_is_named_and_the_others_get_the_mail(serve, box) -> None:
    odd = ("ops@@example.org", "<", "a@", "nobody", "x@example.org\nBcc: y@example.org")
    config = serve()
    mixed = msgspec.structs.replace(config, to=(*odd, "Ops <ops@example.org>", "desk@exämple.org"))
    delivery = _send(mixed, "correct horse")
    assert delivery.taken == ("ops@example.org", "desk@xn--exmple-cua.org")
    assert len(delivery.refusals) == len(odd)
    assert all(
        repr(text) in sentence for text, sentence in zip(odd, delivery.refusals, strict=True)
    )
    (mail,) = box.mails
    assert mail["To"] == "Ops <ops@example.org>, desk@xn--exmple-cua.org"
    with pytest.raises(MailNotSetUp, match=r"mail\.to holds no mail address: '<', 'a@'"):
        plain_mail(msgspec.structs.replace(config, to=("<", "a@")))


def test_an_address_that_the_server_has_no_letters_for_is_named(serve, box) -> None:
    config = msgspec.structs.replace(
        serve(enable_SMTPUTF8=False), to=("bücher@example.org", "ops@example.org")
    )
    delivery = _send(config, "correct horse")
    assert delivery.taken == ("ops@example.org",)
    assert "bücher@example.org" in delivery.refusals[0]
    assert "SMTPUTF8" in delivery.refusals[0]
    alone = msgspec.structs.replace(config, to=("bücher@example.org",))
    with pytest.raises(MailFailed, match="SMTPUTF8"):
        _send(alone, "correct horse")
    assert len(box.mails) == 1


def test_a_server_with_smtputf8_gets_all_letters(serve, box) -> None:
    config = msgspec.structs.replace(
        serve(enable_SMTPUTF8=True), to=("bücher@example.org", "ops@example.org")
    )
    assert _send(config, "correct horse").taken == config.to


_ADDRESS = st.text(st.sampled_from('ab.@<>,:;()\\" \r\n\0ä密\udcff=?-[]'), max_size=16)


@given(st.lists(_ADDRESS, max_size=4), st.integers(0, 4))
def test_no_text_hides_an_address(texts: list[str], at: int) -> None:
    found = read_addresses([*texts[:at], "ops@example.org", *texts[at:]])
    assert "ops@example.org" in [address.addr_spec for address in found.good]
    assert all(address.username and address.domain for address in found.good)


async def test_a_mail_that_arrived_is_not_called_failed_when_the_server_parts_rudely(
    serve, box
) -> None:
    async def rude(*_: Any) -> str:
        return "554 go away"

    box.handle_QUIT = rude
    config = serve()
    delivery = await asyncio.to_thread(_send, config, "correct horse")
    assert delivery.taken == config.to
    assert len(box.mails) == 1
