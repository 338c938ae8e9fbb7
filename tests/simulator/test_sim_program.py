import contextlib
import hmac
import json
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from engine.simulator.access import make_access
from engine.simulator.protocol.keys import KeyFault
from engine.simulator.protocol.tls import TlsFault


@contextlib.contextmanager
def program(*options):
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.simulator", "--symbols", "LTCUSDT", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def test_it_says_where_it_is_and_ends_when_standard_input_closes():
    with program("--watch-stdin", "--speed", "20", "--start-ms", "1795000012345") as process:
        ready = json.loads(process.stdout.readline())
        assert ready["symbols"] == ["LTCUSDT"]
        assert ready["speed"] == 20.0
        assert ready["exchange_time_ms"] == 1795000012345
        assert ready["stream_url"].startswith("ws://127.0.0.1:")
        with urllib.request.urlopen(f"{ready['rest_url']}/api/v3/time", timeout=5) as answer:
            assert json.load(answer)["serverTime"] >= 1795000012345
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_it_ends_on_sigterm():
    with program() as process:
        assert process.stdout.readline()
        process.terminate()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_a_port_in_use_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with program("--port", str(port)) as process:
            assert process.wait(60) == 2
            text = process.stderr.read()
    assert text.startswith(f"The simulated exchange can not listen on 127.0.0.1:{port}")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--symbols", "btc usd"], "is no market name"),
        (["--speed", "0"], "write a number above 0"),
        (["--source", "replay"], "A replay needs a file"),
        (["--start-ms", "1"], "from 2010 to 2059"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with program(*options) as process:
        assert process.wait(60) == 2
        text = process.stderr.read()
    assert words in text
    assert "Traceback" not in text


def test_a_new_key_is_printed_and_the_ca_can_be_trusted(tmp_path):
    with program("--api-key", "new", "--tls", "--watch-stdin") as process:
        ready = json.loads(process.stdout.readline())
        trust = ssl.create_default_context(cafile=ready["ca_file"])
        query = f"timestamp={ready['exchange_time_ms']}&recvWindow=60000"
        signature = hmac.new(ready["api_secret"].encode(), query.encode(), "sha256").hexdigest()
        request = urllib.request.Request(
            f"{ready['rest_url']}/api/v3/account?{query}&signature={signature}",
            headers={"X-MBX-APIKEY": ready["api_key"]},
        )
        with urllib.request.urlopen(request, timeout=5, context=trust) as answer:
            assert json.load(answer)["accountType"] == "SPOT"
        process.stdin.close()
        assert process.wait(10) == 0
    assert not Path(ready["ca_file"]).exists()


def test_a_wrong_key_is_refused():
    with program("--api-key", "k") as process:
        assert process.wait(20) == 2
        text = process.stderr.read()
    assert text == "Name a key and its file: --api-key KEY --api-secret-file FILE.\n"


@pytest.mark.parametrize(
    ("options", "fault", "words"),
    [
        ({"api_key": "a key", "secret_file": Path("nowhere")}, KeyFault, "'a key' is no API key"),
        ({"api_key": "k", "secret_file": Path("nowhere")}, KeyFault, "can not be read"),
        ({"secret_file": Path("x")}, KeyFault, "Name a key and its file"),
        ({"api_key": "new", "secret_file": Path("x")}, KeyFault, "Name a key and its file"),
        ({"ca_file": Path("/nowhere/ca.pem")}, TlsFault, "can not be written"),
    ],
)
def test_wrong_keys_and_certificates_are_told_in_a_sentence(options, fault, words):
    usual = {"api_key": None, "secret_file": None, "tls": False, "ca_file": None}
    with contextlib.ExitStack() as stack, pytest.raises(fault, match=words):
        make_access(stack, host="127.0.0.1", **usual | options)
