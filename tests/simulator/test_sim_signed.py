import asyncio
import functools
import hashlib
import hmac
import logging
from contextlib import asynccontextmanager

import pytest
from binance import AsyncClient
from binance.exceptions import BinanceAPIException
from Crypto.PublicKey import ECC, RSA
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from engine.simulator.protocol.keys import ApiKey, KeyFault, make_key, read_key
from engine.simulator.protocol.signing import signed_payload

KEY = "k" * 64
SECRET = "a secret of the test"


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def key(secret_file):
    return read_key(KEY, secret_file)


@asynccontextmanager
async def python_binance(client, **options):
    url = client.running.rest_url

    class LocalClient(AsyncClient):
        API_URL = API_TESTNET_URL = API_DEMO_URL = f"{url}/api"
        MARGIN_API_URL = MARGIN_API_TESTNET_URL = f"{url}/sapi"

    made = await LocalClient.create(**options)
    made.MARGIN_API_URL = f"{url}/sapi"
    made.timestamp_offset = (await made.get_server_time())["serverTime"] - int(now_ms())
    try:
        yield made
    finally:
        await made.close_connection()


def now_ms():
    import time

    return time.time() * 1000


def sign(query, secret=SECRET):
    return hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()


async def ask(client, path, query, *, key=KEY, secret=SECRET, method="GET"):
    signed = f"{query}&signature={sign(query, secret)}" if secret else query
    url = f"{client.running.rest_url}/{path}?{signed}"
    headers = {} if key is None else {"X-MBX-APIKEY": key}
    async with client.session.request(method, url, headers=headers) as response:
        return response.status, await response.json()


async def time_of(client):
    return (await client.get("time"))["serverTime"]


# -- python-binance --------------------------------------------------------------------------------


async def read_everything(binance):
    account = await binance.get_account()
    assert account["permissions"] == ["SPOT"]
    assert {row["asset"] for row in account["balances"]} == {"BTC", "LTC", "USDT"}
    assert await binance.get_open_orders() == []
    assert await binance.get_all_orders(symbol="BTCUSDT") == []
    assert await binance.get_my_trades(symbol="BTCUSDT") == []
    assert (await binance.get_system_status())["msg"] == "normal"
    assert (await binance.get_account_status())["data"] == "Normal"
    assert not (await binance.get_account_api_permissions())["enableSpotAndMarginTrading"]
    coins = await binance.get_all_coins_info()
    assert {coin["coin"] for coin in coins} == {"BTC", "LTC", "USDT"}
    fees = await binance.get_trade_fee(symbol="BTCUSDT")
    assert [row["symbol"] for row in fees] == ["BTCUSDT"]


async def test_an_hmac_key_reads_the_account(start, key):
    client = await start(keys=[key])
    async with python_binance(client, api_key=KEY, api_secret=SECRET) as binance:
        await read_everything(binance)


@pytest.mark.parametrize("kind", ["RSA", "Ed25519"])
async def test_other_kinds_of_keys_read_the_account(start, tmp_path, kind):
    private = RSA.generate(1024) if kind == "RSA" else ECC.generate(curve="Ed25519")
    public = private.public_key().export_key(format="PEM")
    path = tmp_path / "public.pem"
    path.write_text(public if isinstance(public, str) else public.decode())
    client = await start(keys=[read_key(KEY, path)])
    text = (
        private.export_key(format="PEM")
        if kind == "RSA"
        else private.export_key(format="PEM", protection=None, use_pkcs8=True)
    )
    text = text.decode() if isinstance(text, bytes) else text
    async with python_binance(client, api_key=KEY, private_key=text) as binance:
        await read_everything(binance)
    other = RSA.generate(1024) if kind == "RSA" else ECC.generate(curve="Ed25519")
    text = other.export_key(format="PEM")
    text = text.decode() if isinstance(text, bytes) else text
    async with python_binance(client, api_key=KEY, private_key=text) as binance:
        with pytest.raises(BinanceAPIException) as refused:
            await binance.get_account()
    assert refused.value.code == -1022


async def test_orders_are_refused_in_the_exchanges_words_and_logged(start, key, caplog):
    client = await start(keys=[key])
    caplog.set_level(logging.WARNING)
    async with python_binance(client, api_key=KEY, api_secret=SECRET) as binance:
        for order in (
            binance.order_limit_buy(symbol="BTCUSDT", quantity=1, price="1"),
            binance.create_test_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1),
            binance.cancel_order(symbol="BTCUSDT", orderId=1),
            binance.withdraw(coin="BTC", address="x", amount=1),
        ):
            with pytest.raises(BinanceAPIException) as refused:
                await order
            assert (refused.value.code, refused.value.status_code) == (-2015, 401)
            assert refused.value.message == "Invalid API-key, IP, or permissions for action."
    told = [record.getMessage() for record in caplog.records if "takes no orders" in record.msg]
    assert len(told) == 4
    assert told[0].startswith("refused POST /api/v3/order:")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("path", "status", "shown"),
    [
        ("/api/v3/order/", 401, "/api/v3/order/"),
        ("/api/v3/%6Frder", 401, "/api/v3/order"),
        ("/api/v3/Order", 404, "/api/v3/Order"),
        ("//api/v3/order", 404, "//api/v3/order"),
        ("/fapi/v1/order", 404, "/fapi/v1/order"),
        ("/api/v3/order/%0A%1B[31m%E2%80%AE", 404, r"/api/v3/order/\n\x1b[31m\u202e"),
        ("/sapi/v1/" + "x" * 5000, 401, "/sapi/v1/" + "x" * 191),
    ],
)
async def test_no_spelling_of_an_order_passes_or_harms_the_log(
    start, key, caplog, method, path, status, shown
):
    client = await start(keys=[key])
    text = f"timestamp={await time_of(client)}"
    url = URL(f"{client.running.rest_url}{path}?{text}&signature={sign(text)}", encoded=True)
    async with client.session.request(method, url, headers={"X-MBX-APIKEY": KEY}) as response:
        assert response.status == status
    told = [record.getMessage() for record in caplog.records if "takes no orders" in record.msg]
    assert told == [f"refused {method} {shown}: the simulated exchange takes no orders"]


async def test_who_leaves_in_the_middle_of_an_order_is_no_fault(start, key, caplog, eventually):
    client = await start(keys=[key])
    port = URL(client.running.rest_url).port
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /api/v3/order HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab")
    await eventually(lambda: "takes no orders" in caplog.text)
    writer.close()
    await writer.wait_closed()
    await time_of(client)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ("symbol=BTCUSDT&side=BUY&timestamp={now}", "application/x-www-form-urlencoded", -2015),
        ("symbol=BTCUSDT&side=BUY", "application/x-www-form-urlencoded", -1102),
        ('{{"symbol": "BTCUSDT"}}', "application/json", -1102),
        ("--x", "multipart/form-data; boundary=y", -1102),
        ("", "text/plain; charset=nonsense", -1102),
    ],
)
async def test_any_body_of_an_order_is_refused_in_the_exchanges_form(start, key, body, kind, code):
    client = await start(keys=[key])
    body = body.format(now=await time_of(client))
    text = f"{body}&signature={sign(body)}" if code == -2015 else body
    async with client.session.post(
        f"{client.running.rest_url}/api/v3/order",
        data=text,
        headers={"X-MBX-APIKEY": KEY, "Content-Type": kind},
    ) as response:
        assert (await response.json())["code"] == code


async def test_nobody_reads_without_a_key(start, key):
    client = await start(keys=[key])
    async with python_binance(client) as binance:
        with pytest.raises(Exception, match="API Secret required"):
            await binance.get_account()
    closed = await start()
    async with python_binance(closed, api_key=KEY, api_secret=SECRET) as binance:
        with pytest.raises(BinanceAPIException) as refused:
            await binance.get_account()
        assert refused.value.code == -2015


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "options", "status", "code", "words"),
    [
        ("timestamp={now}", {"key": None}, 401, -2014, "API-key format invalid."),
        ("timestamp={now}", {"key": "short"}, 401, -2014, "API-key format invalid."),
        ("timestamp={now}", {"key": "x" * 64}, 401, -2015, "Invalid API-key, IP, or permissions"),
        ("timestamp={now}", {"secret": None}, 400, -1102, "parameter 'signature' was not sent"),
        ("recvWindow=5000", {}, 400, -1102, "parameter 'timestamp' was not sent"),
        ("timestamp=", {}, 400, -1105, "Parameter 'timestamp' was empty."),
        ("timestamp=soon", {}, 400, -1100, "parameter 'timestamp'; legal range"),
        ("timestamp={old}", {}, 400, -1021, "outside of the recvWindow."),
        ("timestamp={late}", {}, 400, -1021, "1000ms ahead of the server's time."),
        ("timestamp={now}&recvWindow=60001", {}, 400, -1102, "Cannot be greater than 60000."),
        ("timestamp={now}", {"secret": "another"}, 400, -1022, "Signature for this request"),
        ("timestamp={now}&foo=1", {}, 400, -1104, "read '2' parameter(s) but was sent '3'"),
    ],
)
async def test_a_wrong_signed_request_gets_the_official_error(
    start, key, query, options, status, code, words
):
    client = await start(keys=[key])
    client.running.exchange.clock.stop()
    now = await time_of(client)
    query = query.format(now=now, old=now - 5001, late=now + 1000)
    found, body = await ask(client, "api/v3/account", query, **options)
    assert (found, body["code"]) == (status, code), body
    assert words in body["msg"]


async def test_times_in_microseconds_and_wide_windows_pass(start, key):
    client = await start(keys=[key])
    client.running.exchange.clock.stop()
    now = await time_of(client)
    for query in (
        f"timestamp={now * 1000}",
        f"timestamp={now - 50_000}&recvWindow=60000",
        f"timestamp={now}&recvWindow=500.5",
        f"omitZeroBalances=true&timestamp={now}",
    ):
        status, body = await ask(client, "api/v3/account", query)
        assert status == 200, body


async def test_an_order_that_is_asked_for_does_not_exist(start, key):
    client = await start(keys=[key])
    now = await time_of(client)
    status, body = await ask(client, "api/v3/order", f"symbol=BTCUSDT&orderId=1&timestamp={now}")
    assert (status, body) == (400, {"code": -2013, "msg": "Order does not exist."})


async def test_signed_answers_have_their_weights(start, key):
    client = await start(keys=[key])
    used = 0
    for path, query, weight in (
        ("account", "", 20),
        ("account/commission", "symbol=BTCUSDT&", 20),
        ("openOrders", "", 80),
        ("openOrders", "symbol=BTCUSDT&", 6),
        ("rateLimit/order", "", 40),
        ("allOrders", "symbol=BTCUSDT&", 20),
        ("myTrades", "symbol=BTCUSDT&", 20),
        ("myFilters", "symbol=BTCUSDT&", 40),
    ):
        now = await time_of(client)
        status, body = await ask(client, f"api/v3/{path}", f"{query}timestamp={now}")
        assert status == 200, body
        _, _, headers = await client.ask("ping")
        used += 1 + weight + 1
        assert int(headers["X-MBX-USED-WEIGHT"]) == used


# -- keys and payloads -----------------------------------------------------------------------------


def test_the_signature_is_of_all_other_parameters_in_their_order():
    query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
    body = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559&signature=abc"
    assert signed_payload(query, body) == (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
        "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    )


@functools.cache
def keys_of_every_kind():
    rsa, ed25519 = RSA.generate(1024), ECC.generate(curve="Ed25519")
    return [make_key(), *(ApiKey(KEY, public_key=pair.public_key()) for pair in (rsa, ed25519))]


@given(st.binary(max_size=80), st.text(max_size=80) | st.from_regex(r"([A-Za-z0-9+/]{4}){1,30}"))
@settings(max_examples=40)
def test_no_text_breaks_a_signature_check(payload, signature):
    for key in keys_of_every_kind():
        assert not key.verifies(payload, signature)


def test_a_made_key_signs_and_differs_from_the_next():
    one, other = make_key(), make_key()
    assert one.verifies(b"a=1", sign("a=1", one.secret).upper())
    assert (one.name, one.secret) != (other.name, other.secret)
    assert len(one.name) == len(one.secret) == 64


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"secret", 0o644, "is open to others; close it: chmod 600"),
        (b"", 0o600, "holds no secret"),
        (b"\xff\xfe", 0o600, "can not be read: it is no text"),
        (b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", 0o600, "is no public key"),
        (b"-----BEGIN RSA PRIVATE KEY-----", 0o600, "holds a private key"),
        (None, 0o600, "can not be read: No such file"),
    ],
)
def test_a_wrong_secret_file_is_told_in_a_sentence(tmp_path, content, mode, words):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(KeyFault, match=words):
        read_key(KEY, path)
