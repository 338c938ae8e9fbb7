import json
import ssl
import sys

import aiohttp
import pytest

from engine.simulator.protocol.tls import TlsFault, make_tls


async def test_rest_and_streams_speak_tls_with_the_ca_that_was_written(start, tmp_path):
    ca_file = tmp_path / "ca.pem"
    client = await start(tls=make_tls("127.0.0.1", ca_file), speed=60)
    assert client.running.rest_url.startswith("https://127.0.0.1:")
    assert client.running.stream_url.startswith("wss://127.0.0.1:")
    trust = ssl.create_default_context(cafile=str(ca_file))
    async with client.session.get(f"{client.running.rest_url}/api/v3/time", ssl=trust) as answer:
        assert (await answer.json())["serverTime"] > 0
    url = f"{client.running.stream_url}/ws/btcusdt@trade"
    async with client.session.ws_connect(url, ssl=trust) as socket:
        assert json.loads(await socket.receive_str(timeout=10))["e"] == "trade"
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await client.session.get(f"{client.running.rest_url}/api/v3/time")


def test_without_trustme_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(TlsFault, match=r"install it: pip install 'klinetop\[tls\]'"):
        make_tls("127.0.0.1", tmp_path / "ca.pem")


def test_a_ca_file_that_can_not_be_written_is_told_in_a_sentence(tmp_path):
    with pytest.raises(TlsFault, match="can not be written: No such file"):
        make_tls("127.0.0.1", tmp_path / "nowhere" / "ca.pem")
