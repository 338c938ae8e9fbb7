"""ccxt and an npm client against `klinetop simulate`; `make test-clients` runs it.

Both have environments of their own (build/clients), from pinned locks.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
CLIENTS = HERE.parents[1] / "build" / "clients"
LONGEST_S = 120


@pytest.fixture(scope="module")
def exchange():
    """Return the first line of a simulated exchange with a key."""
    command = [sys.executable, "-m", "tui.cli", "simulate", "--port", "0", "--json"]
    command += ["--symbols", "BTCUSDT,LTCUSDT", "--api-key", "new", "--speed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield json.loads(process.stdout.readline())
        process.terminate()


def told(command, exchange, **environment):
    arguments = [exchange[name] for name in ("rest_url", "stream_url", "api_key", "api_secret")]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_ccxt(exchange):
    found = told([CLIENTS / "bin" / "python", HERE / "with_ccxt.py"], exchange)
    sync = found["sync"]
    assert sync["markets"] == ["BTC/USDT", "LTC/USDT"]
    assert (sync["precision"], sync["smallest_cost"]) == (0.01, 5.0)
    assert (sync["bids"], sync["tickers"], sync["old_trades"]) == (100, 2, 500)
    assert sync["candles"] >= 12
    assert (sync["balance"], sync["fee"], sync["status"]) == (10_000, 0.001, "ok")
    assert sync["currencies"] == ["BTC", "LTC", "USDT"]
    assert sync["open_orders"] == sync["my_trades"] == []
    # ccxt takes -2015 after an answer that it was allowed for a ban of a while.
    refusals = [sync[name] for name in ("order", "wrong_secret", "wrong_key")]
    assert refusals == ["DDoSProtection", "AuthenticationError", "AuthenticationError"]
    assert found["async"] == {"candles": 1000, "asks": 100, "balance": 1}
    assert found["pro"] == {"crossed": False, "trades": True, "candles": True, "ticker": True}


def test_npm_binance(exchange):
    modules = str(CLIENTS / "node_modules")
    found = told(["node", HERE / "with_npm.cjs"], exchange, NODE_PATH=modules)
    assert found["symbols"] == ["BTCUSDT", "LTCUSDT"]
    assert found["depth"] == 100
    assert found["candles"] >= 12
    assert found["oldTrades"] == [-9000, -8999, -8998, -8997, -8996]
    assert (found["aggTrades"], found["average"], found["day"]) == (10, True, "BTCUSDT")
    assert found["balances"] == found["coins"] == ["BTC", "LTC", "USDT"]
    assert (found["openOrders"], found["restrictions"]) == ([], True)
    refusals = [found[name] for name in ("order", "wrongSecret", "wrongSymbol")]
    assert refusals == [-2015, -1022, -1121]
    assert found["streams"] == ["btcusdt@depth@100ms", "btcusdt@kline_1m", "btcusdt@trade"]
